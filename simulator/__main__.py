"""Run the simulator: `python -m simulator`, or write to a running one: `python -m simulator inbound STOP`."""

import asyncio
import gc
import sys

from simulator import phone
from simulator.app import serve
from simulator.options import parse_options


def main() -> None:
    """Run until told to stop, or write to a simulator that runs."""
    if sys.argv[1:2] == ["inbound"]:
        sys.exit(phone.main(sys.argv[2:]))
    settings, behaviour = parse_options(sys.argv[1:])
    # The ledger only grows: scanning it over and over for garbage took 8 % of a load run.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    try:
        asyncio.run(serve(settings, behaviour))
    except OSError as error:
        sys.exit(f"simulator: {error}")  # most likely the port is taken


if __name__ == "__main__":
    main()
