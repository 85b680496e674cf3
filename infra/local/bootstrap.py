"""Makes `.venv` equal to requirements.lock, whatever state it was left in, then hands over to `infra.local`.

Standard library only, and readable by Pythons as old as 3.6, so that an old one can say what is needed. Once
set up it costs a few hundredths of a second.
"""

import os
import shutil
import subprocess
import sys

NEEDED = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120


def main() -> None:
    """Set up what is missing and become `.venv/bin/python -m infra.local …`."""
    os.chdir(ROOT)
    if sys.version_info < NEEDED:
        become_a_newer_python()
    sys.path[0] = ROOT
    from infra.local import environment  # noqa: PLC0415 an old Python could not read it

    python = environment.ready(ROOT)
    os.execv(python, [python, "-m", "infra.local"] + sys.argv[1:])  # noqa: RUF005


def become_a_newer_python() -> None:
    """Replace this process by a newer Python from the PATH, or say that one is needed."""
    for minor in range(19, NEEDED[1] - 1, -1):
        newer = shutil.which("python3.%d" % minor)  # noqa: UP031
        if newer and subprocess.call([newer, "-c", "import venv"], stderr=subprocess.DEVNULL) == 0:
            os.execv(newer, [newer] + sys.argv)  # noqa: RUF005
    found = ".".join(str(number) for number in sys.version_info[:3])
    sys.exit(
        "Conveyor needs Python 3.11 or newer; found " + found + " as 'python3'; install python3.11 or newer "
        "(macOS: 'brew install python'; Debian 12 and Ubuntu 24.04 have it as 'python3')."
    )


if __name__ == "__main__":
    main()
