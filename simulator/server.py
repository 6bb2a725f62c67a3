"""The simulator as a process that serves until it is stopped."""

import asyncio
import gc
import sys

from simulator.app import serve
from simulator.options import parse_options


def run(arguments: list[str]) -> None:
    """Serve as the command line says."""
    settings, behaviour = parse_options(arguments)
    # The ledger only grows: garbage collections that scan it took 8 % of a load run.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    try:
        asyncio.run(serve(settings, behaviour))
    except OSError as error:
        sys.exit(f"simulator: {error}")  # most likely the port is taken
