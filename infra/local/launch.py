"""`launch.py PARENT SIGNAL COMMAND…` becomes COMMAND, which gets SIGNAL as soon as its parent is gone.

Linux alone can promise that (prctl PR_SET_PDEATHSIG, kept over exec); elsewhere the next start ends what was
left.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for the signal, make sure that the parent still lives, become the command."""
    parent, signal, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal))
    if os.getppid() != int(parent):
        sys.exit("The process that started this one is gone.")
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
