"""Raise the GC thresholds: a batch of callbacks allocates tens of thousands of objects, and almost none form cycles.

Measured: 92 µs of CPU to persist a callback with Python's default thresholds, 70 µs with these.
"""

import gc

_THRESHOLDS = (10_000, 10, 10)
"""Allocations before generation 0 is collected, then collections of one generation before the next
(https://docs.python.org/3/library/gc.html#gc.set_threshold); Python 3.11 defaults to 700, 10, 10."""


def tune_gc() -> None:
    """Raise the GC thresholds and freeze existing objects. Call once, when all modules are loaded and will stay."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
