"""`make upgrade`: newer images in place of what runs, a service at a time, with nothing refused meanwhile.

New containers join, and the old ones end as soon as the new are healthy, after what they have in hand.
Services come before gateways, since commands forbid fields that an older service does not know. Migrations
and the topology step run first, beside the old ones: they have to leave what these can still work with.
"""

import subprocess
import sys
from collections.abc import Callable

from infra.local.system import CONVEYOR

Compose = Callable[..., str]
"""Runs Docker Compose with these words: what it says."""
IN_ORDER = sorted(CONVEYOR.services, key=lambda service: not service.owner)
UP = ("up", "--detach", "--no-deps", "--no-recreate", "--wait", "--wait-timeout=300")


def upgrade(compose: Compose, engine: Compose, say: Callable[[str], None]) -> None:
    """From the images that run to those that the compose file names now."""
    jobs = ["topology", *(f"{service.name}_migration" for service in IN_ORDER if service.has_store)]
    for job in jobs:
        say(f"{job} …")
        compose("run", "--rm", "--no-deps", "--no-TTY", job)
    for service in IN_ORDER:
        old = compose("ps", "--quiet", service.name).split()
        say(f"{service.name}: {len(old)} beside {len(old)} …")
        compose(*UP, f"--scale={service.name}={2 * len(old)}", service.name)
        for container in old:
            engine("stop", container)
            engine("rm", container)
        compose(*UP, f"--scale={service.name}={len(old)}", service.name)


def _run(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"'{' '.join(command)}' failed; what runs goes on: mend that, then 'make upgrade' again.")
    return done.stdout


if __name__ == "__main__":
    upgrade(lambda *words: _run("docker", "compose", *words), lambda *words: _run("docker", *words), print)
