"""Turn this process into a server that does not outlive its parent.

Run as a script in front of the server's own command, so that nothing of ours has to run between
fork and exec in a program with threads (which `preexec_fn` would do, and Python 3.12 warns of).
The process id stays the same: the server replaces this script.
"""

import argparse
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(death_signal: int, parent: int) -> None:
    """Ask the kernel for a signal once the thread that started us is gone; on Linux only."""
    if not sys.platform.startswith("linux"):
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if parent and os.getppid() != parent:  # it died before we could ask
        os.kill(os.getpid(), signal.SIGKILL)


def become(uid: int, gid: int) -> None:
    """Drop root privileges permanently."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main() -> None:
    """Set user, working folder and parent-death signal, then exec the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, default=0, help="0: live on when the parent dies")
    parser.add_argument("--death-signal", type=int, default=signal.SIGTERM)
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--cwd", default="/")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()

    if options.uid is not None:
        become(options.uid, options.gid)
    os.chdir(options.cwd)
    if options.parent:  # after the change of user, which clears the request (prctl(2))
        die_with_parent(options.death_signal, options.parent)
    os.execv(options.command[0], options.command)  # noqa: S606 - a fixed command, and no shell is the point


if __name__ == "__main__":
    main()
