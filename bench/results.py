"""Results: runs, and the figures and ratios that follow from them."""

import json
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.load import Load

PERCENTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1.0}


@dataclass
class Run:
    """One run of one system: numbers by name, such as `per_s`, `p99_ms` and `cpu_us.web`."""

    system: str
    values: dict[str, float] = field(default_factory=dict)

    def add_load(self, load: Load) -> None:
        """Add the load generator's numbers."""
        self.values["per_s"] = load.ok / load.wall_s
        self.values["failed"] = load.failed
        for name, share in PERCENTILES.items():
            self.values[name] = load.percentile_ms(share)

    def add_cpu(self, used_s: Mapping[str, float], items: int) -> None:
        """Add the CPU time of each process, per item."""
        for name, seconds in used_s.items():
            self.values[f"cpu_us.{name}"] = seconds * 1e6 / items


@dataclass(frozen=True)
class Spread:
    """The median of several runs, and their extremes."""

    median: float
    lowest: float
    highest: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values), len(values))


class Report:
    """Collects runs, prints their summary, and keeps everything for the file and the last lines."""

    def __init__(self, conditions: Mapping[str, object]) -> None:
        self._conditions = dict(conditions)
        self._began = time.time()
        self._runs: dict[str, list[Run]] = {}
        self._figures: dict[str, tuple[float, str]] = {}
        self._ratios: dict[str, Spread] = {}

    def add(self, part: str, run: Run) -> None:
        """Keep a run under the name of what was measured."""
        self._runs.setdefault(part, []).append(run)

    def values(self, part: str, system: str, name: str) -> list[float]:
        """Return one number of every run of a system, in order."""
        return [run.values[name] for run in self._runs[part] if run.system == system and name in run.values]

    def systems(self, part: str) -> list[str]:
        """Return the systems that were measured, in order of appearance."""
        return list(dict.fromkeys(run.system for run in self._runs.get(part, ())))

    def best(self, part: str, systems: Iterable[str], name: str) -> str | None:
        """Return the system with the highest median, or None when none of them took part."""
        present = [system for system in systems if system in self.systems(part)]
        return max(
            present, key=lambda system: statistics.median(self.values(part, system, name)), default=None
        )

    def figure(self, name: str, value: float, unit: str) -> None:
        """Keep an absolute number."""
        self._figures[name] = (value, unit)

    def medians(self, part: str, system: str, figures: Mapping[str, tuple[str, str]]) -> None:
        """Keep the medians of a system's numbers as figures; `figures` maps a number to the figure's name and unit."""
        for value_name, (name, unit) in figures.items():
            if values := self.values(part, system, value_name):
                self.figure(name, statistics.median(values), unit)

    def ratio(self, name: str, ours: Sequence[float], theirs: Sequence[float]) -> None:
        """Keep the ratios of runs that were taken one after the other."""
        pairs = [mine / other for mine, other in zip(ours, theirs, strict=True) if other]
        if pairs:
            self._ratios[name] = Spread.of(pairs)

    def print_table(self, part: str, columns: Mapping[str, str]) -> None:
        """Print one line per system: the median of each column, its range in the first, and all CPU times."""
        heads = ["", *columns.values()]
        rows = [[system, *self._cells(part, system, columns)] for system in self.systems(part)]
        widths = [max(len(line[index]) for line in (heads, *rows)) for index in range(len(heads))]
        print(f"\n{part}")
        for line, system in zip((heads, *rows), ("", *self.systems(part)), strict=True):
            cells = "  ".join(
                cell.rjust(width) if at else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            print(
                f"  {cells}  {self._cpu(part, system) if system else 'CPU µs an item'}".rstrip(), flush=True
            )

    def finish(self, file: Path) -> None:
        """Write the file and print the last lines, if anything was measured."""
        if not self._runs:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        document = {
            "began_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._began)),
            "took_s": round(time.time() - self._began),
            "conditions": self._conditions,
            "ratios": {name: asdict(spread) for name, spread in self._ratios.items()},
            "figures": {
                name: {"value": value, "unit": unit} for name, (value, unit) in self._figures.items()
            },
            "runs": {part: [asdict(run) for run in runs] for part, runs in self._runs.items()},
        }
        file.write_text(json.dumps(document, indent=1))
        print(f"\n{file}: everything, took {document['took_s']} s\n")
        for name, (value, unit) in self._figures.items():
            print(f"FIGURE name={name} value={_short(value)} unit={unit}")
        for name, spread in self._ratios.items():
            print(
                f"RATIO name={name} median={spread.median:.2f} min={spread.lowest:.2f} max={spread.highest:.2f} "
                f"rounds={spread.rounds}",
                flush=True,
            )

    def _cells(self, part: str, system: str, columns: Mapping[str, str]) -> list[str]:
        cells = []
        for index, name in enumerate(columns):
            values = self.values(part, system, name)
            spread = Spread.of(values) if values else None
            text = _short(spread.median) if spread else "-"
            if spread and index == 0 and spread.rounds > 1:
                text += f" ({_short(spread.lowest)}..{_short(spread.highest)})"
            cells.append(text)
        return cells

    def _cpu(self, part: str, system: str) -> str:
        names = {name for run in self._runs[part] if run.system == system for name in run.values}
        medians = {
            name.removeprefix("cpu_us."): statistics.median(self.values(part, system, name))
            for name in names
            if name.startswith("cpu_us.")
        }
        largest_first = sorted(medians, key=lambda name: medians[name], reverse=True)
        return " ".join(f"{name} {medians[name]:.0f}" for name in largest_first if medians[name] >= 0.5)


def _short(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
