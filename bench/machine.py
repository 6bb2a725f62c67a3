"""Measurements from the kernel: CPU time and memory of process trees, and how busy the machine is."""

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROBE_ROUNDS = 2_000_000


def cpu_s(roots: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """Return the CPU seconds used so far by the trees of processes under each name, their dead children included."""
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for pid in _pids():
        if fields := _stat(pid):
            parents[pid] = int(fields[1])
            used[pid] = sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime: proc_pid_stat(5)
    return {name: _sum_of(set(pids), parents, used) / _TICKS_PER_S for name, pids in roots.items()}


def busy_s() -> float:
    """Return the CPU seconds that this machine has spent on anything, interrupts included.

    What its host took away for others (steal) is not among them: it slows all systems alike, and waiting helps none.
    """
    user, nice, system, _, _, irq, softirq = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    )
    return (user + nice + system + irq + softirq) / _TICKS_PER_S


def stolen_s() -> float:
    """Return the CPU seconds that this machine's host has spent on others while this one had something to do."""
    return int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8]) / _TICKS_PER_S


def memory_kb(roots: Mapping[str, Iterable[int]]) -> dict[str, dict[str, int]]:
    """Return `pss` and `rss` of each process, by name and number, such as `web/0`; a master comes before its workers.

    PSS counts a shared page in equal parts for all who share it, so the sum over processes is what they use together.
    """
    parents = {pid: int(fields[1]) for pid in _pids() if (fields := _stat(pid))}
    return {
        f"{name}/{number}": _rollup(pid)
        for name, pids in roots.items()
        for number, pid in enumerate(sorted(_tree(set(pids), parents)))
    }


def speed_probe_ms() -> float:
    """Return how long a fixed piece of single-core work takes, to distinguish a slow machine from a slow program."""
    began = time.perf_counter()
    total = 0
    for number in range(_PROBE_ROUNDS):
        total += number & 3
    return (time.perf_counter() - began) * 1000


def description() -> dict[str, object]:
    """Return what a reader of the numbers must know of the machine."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        "?",
    )
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory) / 1e6),
        "kernel": os.uname().release,
    }


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - ten times faster


def _stat(pid: int) -> list[str] | None:
    """Return the fields after the program's name, which may itself hold spaces and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _tree(roots: set[int], parents: Mapping[int, int]) -> set[int]:
    members = roots & parents.keys()
    while True:
        children = {pid for pid, parent in parents.items() if parent in members} - members
        if not children:
            return members
        members |= children


def _sum_of(roots: set[int], parents: Mapping[int, int], used: Mapping[int, int]) -> int:
    return sum(used[pid] for pid in _tree(roots, parents))


def _rollup(pid: int) -> dict[str, int]:
    sizes = dict.fromkeys(("rss", "pss"), 0)
    for line in _lines(f"/proc/{pid}/smaps_rollup"):
        name, _, rest = line.partition(":")
        if name.lower() in sizes:
            sizes[name.lower()] = int(rest.split()[0])
    return sizes


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text().splitlines()
    except OSError:
        return []
