"""Installs what the system lacks with apt, and never lets the installation start a system service.

While apt runs, a temporary policy-rc.d forbids starting services; the shell that runs apt removes it again in
every case, also after Ctrl-C. Standard library only: bootstrap.py uses this before `.venv` exists.
"""

import os
import shutil
import subprocess
import sys
import time

from infra.local.problems import Problem

SHOWN = ("Get:", "Fetched", "Unpacking", "Setting up")
# $1 is the package. The lock on /usr/sbin keeps two clones from restoring each other's policy too early.
INSTALL = r"""
policy=/usr/sbin/policy-rc.d
restore() {
    rm -f "$policy"
    if [ -e "$policy.before-conveyor" ]; then mv "$policy.before-conveyor" "$policy"; fi
}
running() { grep -lxE 'epmd|beam.smp' /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3; }
install_package() {
    apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$1"
}
exec 9</usr/sbin
if command -v flock >/dev/null; then flock 9; fi
trap restore EXIT
trap 'exit 130' INT TERM HUP
if [ -e "$policy" ] && ! grep -q conveyor "$policy"; then mv "$policy" "$policy.before-conveyor"; fi
printf '#!/bin/sh\n# conveyor: start nothing while a package is installed\nexit 101\n' > "$policy"
chmod 755 "$policy"
export DEBIAN_FRONTEND=noninteractive
before=" $(running | tr '\n' ' ') "
apt-cache show "$1" >/dev/null 2>&1 || apt-get update
install_package "$1" || { apt-get update && install_package "$1"; } || exit 1
for pid in $(running); do
    case "$before" in *" $pid "*) continue ;; esac
    if tr '\0' ' ' < "/proc/$pid/cmdline" | grep -qE 'epmd -daemon|/var/lib/rabbitmq'; then kill "$pid"; fi
done
if command -v systemctl >/dev/null && [ "$1" = rabbitmq-server ]; then
    systemctl disable rabbitmq-server.service epmd.socket epmd.service >/dev/null 2>&1
fi
exit 0
"""


def install(package: str, purpose: str) -> None:
    """Install the distribution's `package`; a Problem that names it where that is not possible."""
    by_hand = _by_hand(package)
    if not shutil.which("apt-get"):
        raise Problem(f"{purpose} is missing here: install it with '{by_hand}' and try again.")
    rights = _as_root(purpose, by_hand)
    print(f"Installing {package} with apt: {purpose} …", flush=True)
    lines = _run([*rights, "/bin/sh", "-c", INSTALL, "sh", package])
    if lines is not None:
        raise Problem(
            f"apt could not install {package}; try '{by_hand}' yourself. It said: {' | '.join(lines)}"
        )


def _as_root(purpose: str, by_hand: str) -> list[str]:
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        if sys.stdin is not None and sys.stdin.isatty():
            return ["sudo"]
        if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0:
            return ["sudo", "-n"]
    raise Problem(f"{purpose} is missing and installing it needs root: run '{by_hand}' once and try again.")


def _by_hand(package: str) -> str:
    if sys.platform == "darwin":
        return f"brew install {package.removesuffix('-server')}"
    tool = next((name for name in ("apt-get", "dnf", "zypper") if shutil.which(name)), "apt-get")
    return f"sudo {tool} install {package}"


def _run(command: list[str]) -> list[str] | None:
    """Run apt and show how it gets on; None when it went well, else the last lines that it said."""
    said: list[str] = []
    shown = 0.0
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as apt:
        assert apt.stdout is not None
        for line in apt.stdout:
            said = [*said[-4:], line.strip()]
            if line.startswith(SHOWN) and time.monotonic() > shown + 1:
                shown = time.monotonic()
                print(f"  {line.strip()[:100]}", flush=True)
    return None if apt.returncode == 0 else said
