"""Reference cycles are looked for seldom, and still found."""

import subprocess
import sys

PROGRAM = """
import gc, weakref
from smsapp.queue.tune_gc import tune_gc

class Ring:
    def __init__(self):
        self.own = self

tune_gc()
kept = gc.get_freeze_count()
rings = [weakref.ref(Ring()) for _ in range({made})]
print(kept > 1000, sum(ring() is not None for ring in rings))
"""


def run(made: int) -> list[str]:
    program = PROGRAM.format(made=made)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_batch_of_objects_is_not_searched() -> None:
    assert run(4000) == ["True", "4000"]


def test_cycles_are_removed_all_the_same() -> None:
    frozen, left = run(200_000)

    assert frozen == "True"
    assert int(left) < 20_000
