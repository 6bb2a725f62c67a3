"""`python -m bench`: start everything, measure, print a line per figure, write var/bench/<time>.json."""

import importlib
import os
import signal
import subprocess
import sys
import time

from bench import machine
from bench.children import BenchError
from bench.context import Context
from bench.plan import Plan, parse
from bench.results import Report
from bench.stand import FOLDER
from dev.servers import ServerError
from dev.var_folder import ROOT


def main() -> int:
    """Run the parts; return 0 when all of them finished."""
    plan = parse()
    for signum in (signal.SIGTERM, signal.SIGINT):  # a shell's background job has SIGINT ignored
        signal.signal(signum, signal.default_int_handler)
    report = Report(conditions(plan))
    status = 0
    try:
        with Context(plan, report) as context:
            for part in plan.parts:
                importlib.import_module(f"bench.parts.{part}").run(context)
    except (BenchError, ServerError) as error:
        print(f"\nThe benchmark ended early: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        status = 130
    report.finish(FOLDER / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json")
    return status


def conditions(plan: Plan) -> dict[str, object]:
    """Return the conditions that the numbers depend on."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    found = machine.description() | {
        "python": sys.version.split()[0],
        "commit": commit or "unknown",
        "load_average": os.getloadavg()[0],
        "speed_probe_ms": round(machine.speed_probe_ms()),
        "parts": list(plan.parts),
        "rounds": plan.rounds,
    }
    print(", ".join(f"{name} {value}" for name, value in found.items()), flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
