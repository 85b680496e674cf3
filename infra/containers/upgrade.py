"""`make upgrade`: newer images in place of what runs, a service at a time, with nothing refused meanwhile.

New containers join, and the old ones end as soon as the new are healthy, after what they have in hand.
Services come before gateways, since commands forbid fields that an older service does not know. Migrations
and the topology step run first, beside the old ones: they have to leave what these can still work with.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable

from infra.containers import running
from infra.local.problems import Problem
from infra.local.system import CONVEYOR

Run = Callable[..., str]
"""Runs Docker Compose, or the engine, with these words: what it says."""
IN_ORDER = sorted(CONVEYOR.services, key=lambda service: not service.owner)
UP = ("up", "--detach", "--no-recreate", "--wait", "--wait-timeout=300")
"""With what they depend on: without it Compose would take them for other containers than `up` makes."""
IMAGE_AND_HASH = '{{.Image}} {{index .Config.Labels "com.docker.compose.config-hash"}}'
NAMES_SECONDS = 3.0
"""After which NGINX knows a new container by its name."""


def upgrade(compose: Run, engine: Run, say: Callable[[str], None]) -> None:
    """From what runs to what the compose file and its images are now; can be run again where it broke off."""
    jobs = ["topology", *(f"{service.name}_migration" for service in IN_ORDER if service.has_store)]
    for job in jobs:
        say(f"{job} …")
        compose("run", "--rm", "--no-deps", "--no-TTY", job)
        # What an older image left would be started again below, and meet a schema that it does not know.
        compose("rm", "--stop", "--force", job)
    for service in IN_ORDER:
        _replace(service.name, compose, engine, say)


def _replace(name: str, compose: Run, engine: Run, say: Callable[[str], None]) -> None:
    old, new = _containers(name, compose, engine)
    number = max(len(old), len(new))
    if not old:
        say(f"{name}: {f'all {number} are as they should be' if number else 'does not run'}")
        return
    say(f"{name}: {number} beside {len(old)} …")
    compose(*UP, f"--scale={name}={len(old) + number}", name)
    time.sleep(NAMES_SECONDS)
    for container in old:
        engine("stop", container)
        engine("rm", container)
    compose(*UP, f"--scale={name}={number}", name)


def _containers(name: str, compose: Run, engine: Run) -> tuple[list[str], list[str]]:
    """Those that run something else than would be started now, and those that do not."""
    image = json.loads(compose("config", "--format=json"))["services"][name]["image"]
    wanted = engine("image", "inspect", "--format={{.Id}}", image).strip()
    wanted += " " + compose("config", f"--hash={name}").split()[1]
    found: dict[bool, list[str]] = {True: [], False: []}
    for container in compose("ps", "--quiet", name).split():
        has = engine("inspect", f"--format={IMAGE_AND_HASH}", container).strip()
        found[has == wanted].append(container)
    return found[False], found[True]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"'{' '.join(command)}' failed; what runs goes on: mend that, then 'make upgrade' again.")
    return done.stdout


if __name__ == "__main__":
    try:
        upgrade(
            lambda *words: _run(running.compose(*words)), lambda *words: _run(running.engine(*words)), print
        )
    except Problem as problem:
        sys.exit(str(problem))
