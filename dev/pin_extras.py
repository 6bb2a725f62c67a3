"""Make lock files work with every pip: `python -m dev.pin_extras requirements.txt …`, the last part of `make lock`.

uv pins a package that is asked for with an extra as `pydantic[email]==2.14.3`. To pip before 23.3, `pydantic[email]`
and `pydantic` are two requirements: with `--require-hashes` it refuses whichever the file does not pin, as soon as
a newer release exists, and which of them it looks at first depends on the order of the packages. So the files pin both.
"""

import re
import sys
from pathlib import Path

_ENTRY = re.compile(r"^(?=[a-z])", re.MULTILINE)
_WITH_EXTRAS = re.compile(r"^([a-z0-9._-]+)\[[^\]]*\]")


def pin_both(text: str) -> str:
    """Return the lock file with each package that has extras pinned without them, too."""
    entries = _ENTRY.split(text)
    plain = {entry for entry in entries if not _WITH_EXTRAS.match(entry)}
    pinned = []
    for entry in entries:
        without_extras = _WITH_EXTRAS.sub(r"\1", entry)
        if without_extras not in plain:
            pinned.append(without_extras)
        pinned.append(entry)
    return "".join(pinned)


def main(files: list[str]) -> None:
    """Rewrite the files."""
    for file in map(Path, files):
        file.write_text(pin_both(file.read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
