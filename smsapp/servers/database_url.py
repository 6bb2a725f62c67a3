"""The address of the database, in the form in which SQLAlchemy takes it in every process."""

from urllib.parse import parse_qsl

from smsapp.servers.urls import split_url


def parse_database_url(value: str) -> str:
    """Return the URL as SQLAlchemy takes it; the driver of PostgreSQL is always psycopg.

    Raises:
        ValueError: a process could not use it; the text says why, and repeats nothing of it.
    """
    if value.startswith("sqlite:///"):
        return _sqlite(value)
    scheme, _, rest = value.partition("://")
    if scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
        raise ValueError("must begin with postgresql:// or sqlite:///")
    parts = split_url(value)
    if "%" in (parts.hostname or ""):
        raise ValueError("must name a socket's folder at its end: postgresql:///name?host=/run/postgresql")
    if parts.query:
        _check_libpq_options({name for name, _ in parse_qsl(parts.query, keep_blank_values=True)})
    return f"postgresql+psycopg://{rest}"


def _sqlite(value: str) -> str:
    file, has_options, _ = value.removeprefix("sqlite:///").partition("?")
    if file in {"", ":memory:"} or file.startswith("file:"):
        raise ValueError("must name a file by its path: processes share no memory")
    if has_options:
        raise ValueError("must not have options after a ?: how SQLite is used is settled")
    return value


def _check_libpq_options(names: set[str]) -> None:
    from psycopg.pq import Conninfo  # noqa: PLC0415 - only URLs with options need it

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    if not names <= known:
        raise ValueError(
            "has an option that is none of libpq's (https://www.postgresql.org/docs/current/libpq-connect.html)"
        )
