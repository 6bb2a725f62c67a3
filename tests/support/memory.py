"""A folder in memory for the tests' files: creating and removing small files is what disks are slowest at."""

import os
import shutil
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's; nothing there survives a reboot
_ROOM = 2 * 1024**3
"""Bytes: several times what a run was seen to need, and more than containers have by default."""


def folder_in_memory() -> Path | None:
    """Return a folder in memory with room for a run of all tests, or None if the machine has none."""
    if not os.access(_SHARED_MEMORY, os.W_OK | os.X_OK):
        return None
    if os.statvfs(_SHARED_MEMORY).f_flag & os.ST_NOEXEC:  # tests run programs that they make
        return None
    return _SHARED_MEMORY if shutil.disk_usage(_SHARED_MEMORY).free >= _ROOM else None
