"""Run the simulator: `python -m simulator`, or write to a running one: `python -m simulator inbound STOP`."""

import asyncio
import gc
import sys

from simulator import phone
from simulator.app import serve
from simulator.options import parse_options


def main() -> None:
    """Run until stopped, or write to a running simulator."""
    if sys.argv[1:2] == ["inbound"]:
        sys.exit(phone.main(sys.argv[2:]))
    settings, behaviour = parse_options(sys.argv[1:])
    # The ledger only grows: garbage collections that scan it took 8 % of a load run.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    try:
        asyncio.run(serve(settings, behaviour))
    except OSError as error:
        sys.exit(f"simulator: {error}")  # most likely the port is taken


if __name__ == "__main__":
    main()
