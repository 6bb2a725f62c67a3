"""`make reset`: remove the demo's data, keys and logs, unless a demo is using them.

Needs no .venv, so that it works whatever state that is in.
"""

import shutil
import sys

from dev.var_folder import LOCK, VAR, AlreadyRunningError, sole_use


def main() -> int:
    """Empty var/ but for the lock, which others may be waiting for."""
    if not VAR.exists():
        return 0
    try:
        with sole_use():
            for path in VAR.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path != LOCK:
                    path.unlink()
    except AlreadyRunningError as error:
        print(f"A demo of this folder is running (process {error}); stop it first.", file=sys.stderr)
        return 1
    print("Removed the demo's data; .venv stays.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
