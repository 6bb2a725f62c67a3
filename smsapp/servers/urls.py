"""What the URLs of all servers have in common."""

from urllib.parse import SplitResult, urlsplit


def split_url(value: str) -> SplitResult:
    """Split a URL, and reject one that later code could not parse.

    Raises:
        ValueError: the text says why.
    """
    try:
        parts = urlsplit(value)
        _ = parts.port  # the port is only validated on access
    except ValueError:
        raise ValueError("is not a URL that can be read") from None
    if not value.isprintable() or " " in value:
        raise ValueError("must not contain spaces")
    return parts
