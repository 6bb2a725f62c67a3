"""`make demo`: the whole service on this machine, with a simulated Twilio and one message sent."""

import argparse
import os
import signal
import sys

from dev.var_folder import AlreadyRunningError, sole_use


def hang_up(_signum: int, _frame: object) -> None:
    """Shut down cleanly when the terminal is closed; printing to it is no longer possible."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Run the demo; 0 if its message was delivered, or if it was interrupted while all was well."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, hang_up)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that knows only ASCII
    parser = argparse.ArgumentParser(prog="python -m dev.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop after the first delivered message")
    options = parser.parse_args()
    try:
        from dev import show  # noqa: PLC0415 - it takes a while, and a Ctrl-C is handled only from here on

        with sole_use():
            return show.run(once=options.once)
    except AlreadyRunningError as error:
        print(f"A demo of this folder is running already (process {error}).", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130 if options.once else 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
