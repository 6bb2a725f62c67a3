"""Run the simulator: `python -m simulator`, or write to a running one: `python -m simulator inbound STOP`."""

import sys

from simulator import phone


def main() -> None:
    """Run until stopped, or write to a running simulator."""
    if sys.argv[1:2] == ["inbound"]:
        sys.exit(phone.main(sys.argv[2:]))
    from simulator.server import run  # noqa: PLC0415 - a phone's message needs no server

    run(sys.argv[1:])


if __name__ == "__main__":
    main()
