"""Break the running service in every way we can think of, under load, and count what was lost, doubled or wrong.

One line per case, a table at the end; exits 1 unless nothing was. `--only` and `--db` choose cases, `--messages` the
load of each.
"""
# ruff: noqa: T201 - this talks to a person in a terminal

import argparse
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dev.servers import PostgresServer
from tests.faults.cases import CASES, MESSAGES, RATE, Case
from tests.faults.clock import run_clock_case
from tests.faults.load import Load
from tests.faults.refusals import SmallDiskMissing, small_disk
from tests.support.audit import Audit, audit
from tests.support.stack import DATABASES, Database, Stack

SETTLE_S = 90.0
CLOCK = "clock-stepped"


@dataclass(frozen=True, slots=True)
class Result:
    """How one case ended; `fault` says why it failed, `said` what the service told of its state meanwhile."""

    name: str
    database: Database
    audit: Audit
    recovery_s: float
    fault: str = ""
    said: str = ""

    @property
    def line(self) -> str:
        """The one line that everybody reads."""
        found = self.audit
        return (
            f"CASE name={self.name} db={self.database} accepted={found.accepted} at_twilio={found.at_twilio} "
            f"lost={len(found.lost)} doubled={len(found.doubled)} wrong={len(found.wrong)} "
            f"unconfirmed={found.unconfirmed} recovery_s={self.recovery_s:.1f}"
        )


def run_case(
    case: Case, database: Database, folder: Path, options: argparse.Namespace, postgres: PostgresServer | None
) -> Result:
    """Run one case and return how it ended; the folder keeps its logs.

    Raises:
        SmallDiskMissing: the case cannot be run on this machine.
    """
    with ExitStack() as cleanup:
        if case.small_disk:
            disk = cleanup.enter_context(small_disk())
            postgres = cleanup.enter_context(PostgresServer(disk / "postgres"))
        return _run_case(case, database, folder, options, postgres)


def _run_case(
    case: Case, database: Database, folder: Path, options: argparse.Namespace, postgres: PostgresServer | None
) -> Result:
    stack = Stack(
        folder,
        database=database,
        workers=case.workers,
        environment=case.environment,
        simulator=case.simulator,
        postgres=postgres,
        without=case.without,
    )
    messages, rate = options.messages or case.messages, options.rate or case.rate
    with stack, Load(stack, messages, rate=rate, **case.fields) as load:
        said = case.fault(stack, load) or ""
        accepted = load.wait()
        began = time.monotonic()
        fault = ""
        try:
            stack.wait_until_settled(accepted, SETTLE_S)
        except TimeoutError as error:
            fault = str(error)
        recovery_s = time.monotonic() - began
        stack.simulator.wait_until_idle(60)
        stack.wait_until_tracked()
        found = audit(stack, accepted)
    fault = fault or judge(found, may_double=case.may_double)
    return Result(case.name, database, found, recovery_s, fault, said)


def judge(found: Audit, *, may_double: bool) -> str:
    """Return what is not as promised, or nothing."""
    allowed = found.hidden if may_double else 0
    faults = [*found.lost, *found.wrong, *found.ledger_faults]
    if len(found.doubled) > allowed:
        faults += [f"doubled {len(found.doubled)}, allowed {allowed}", *found.doubled]
    return "\n".join(faults[:10])


def chosen(options: argparse.Namespace) -> list[tuple[str, Database]]:
    """Return the cases to run, each with its database."""
    known = {case.name: case.databases for case in CASES} | {CLOCK: DATABASES}
    unknown = sorted(set(options.only or ()) - known.keys())
    if unknown:
        sys.exit(f"no case is called {', '.join(unknown)}; there are: {', '.join(known)}")
    return [
        (name, database)
        for name, databases in known.items()
        for database in databases
        if name in (options.only or known) and options.db in {None, database}
    ]


def run_all(plan: Sequence[tuple[str, Database]], options: argparse.Namespace) -> list[Result]:
    """Run the cases one after the other; one that breaks down counts as failed and stops no other."""
    cases = {case.name: case for case in CASES}
    logs = Path(options.logs or tempfile.mkdtemp(prefix="smsapp-faults-"))
    results = []
    with ExitStack() as cleanup:
        postgres = None
        if any(database == "postgres" for _, database in plan):
            postgres = cleanup.enter_context(PostgresServer(logs / "postgres"))
        for name, database in plan:
            folder = logs / f"{name.replace('-', '_')}_{database}"
            server = postgres if database == "postgres" else None
            try:
                if name == CLOCK:
                    found, took_s = run_clock_case(folder, database, options.messages or MESSAGES, server)
                    result = Result(name, database, found, took_s, judge(found, may_double=False))
                else:
                    result = run_case(cases[name], database, folder, options, server)
            except SmallDiskMissing as error:
                print(f"SKIPPED name={name} db={database}: {error}", flush=True)
                continue
            except Exception as error:  # noqa: BLE001 - the other cases are still worth running
                traceback.print_exc()
                result = Result(name, database, Audit(0), 0.0, f"broke down: {error}")
            print(result.line, flush=True)
            if result.said:
                print(f"  {result.said}", flush=True)
            if result.fault:
                print(f"  FAILED, logs in {folder}\n  " + result.fault.replace("\n", "\n  "), flush=True)
            results.append(result)
    return results


def table(results: Sequence[Result]) -> str:
    """Return the results as a table for people."""
    head = (
        "case",
        "database",
        "accepted",
        "at Twilio",
        "lost",
        "doubled",
        "wrong",
        "unconfirmed",
        "recovery",
        "",
    )
    rows: list[tuple[str, ...]] = [head]
    for result in results:
        found = result.audit
        counts = (found.accepted, found.at_twilio, len(found.lost), len(found.doubled), len(found.wrong))
        rows.append(
            (
                result.name,
                result.database,
                *map(str, counts),
                str(found.unconfirmed),
                f"{result.recovery_s:.1f} s",
                "FAILED" if result.fault else "ok" if not found.doubled else f"ok, {found.hidden} hidden",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def main() -> int:
    """Run the chosen cases; 0 if all went as promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", help="run this case; may be repeated")
    parser.add_argument("--db", choices=DATABASES, help="on one database")
    parser.add_argument("--messages", type=int, help=f"load of each case (mostly {MESSAGES})")
    parser.add_argument("--rate", type=float, help=f"messages per second (mostly {RATE:g})")
    parser.add_argument("--logs", metavar="FOLDER", help="where data and logs go (a temporary folder)")
    parser.add_argument("--list", action="store_true", help="show the cases and end")
    options = parser.parse_args()
    plan = chosen(options)
    if options.list:
        print("\n".join(f"{name} {database}" for name, database in plan))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    results = run_all(plan, options)
    failed = sum(bool(result.fault) for result in results)
    print(f"\n{table(results)}\n\n{len(results)} cases in {time.monotonic() - began:.0f} s, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
