"""`make backup TO=folder` and `make restore FROM=folder`: all stores of the containers at one moment.

Everything stops for it, so that what a store, a queue and a blob say fits together; a volume is a file then.
Passwords are not in there: whoever restores on another machine brings `infra/secrets` along.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from infra.local.passwords import private_folder

VOLUMES = ("rabbitmq", "postgresql", "mongodb", "mongodb_key", "blobs")
"""What has to be kept; Valkey is a cache, and Prometheus nobody's memory but its own."""
IMAGE = "postgres:17"
"""Has tar, and is there anyway."""
ALONE = ("docker", "run", "--rm", "--interactive", "--network=none", "--user=0", "--entrypoint=bash")
Compose = Callable[..., str]


def back_up(folder: Path, compose: Compose, project: str) -> None:
    """Stop everything, keep each volume as a file in `folder`, start what ran."""
    private_folder(folder)
    ran = compose("ps", "--services").split()
    compose("stop")
    try:
        for volume in VOLUMES:
            with (folder / f"{volume}.tar.gz").open("wb") as file:
                _in_volume(project, volume, "tar -C /data -czf - .", stdout=file)
    finally:
        compose("start", *ran)


def restore(folder: Path, compose: Compose, project: str) -> None:
    """Remove what the volumes hold and fill them from `folder`. Everything is stopped afterwards."""
    missing = [volume for volume in VOLUMES if not (folder / f"{volume}.tar.gz").exists()]
    if missing:
        sys.exit(f"{folder} is no backup: {missing[0]}.tar.gz is not there. Nothing was changed.")
    compose("down")
    compose("create")  # the volumes, where there are none
    for volume in VOLUMES:
        with (folder / f"{volume}.tar.gz").open("rb") as file:
            emptied = "find /data -mindepth 1 -delete && tar -C /data -xzf -"
            _in_volume(project, volume, emptied, stdin=file)


def _in_volume(project: str, volume: str, script: str, **files: object) -> None:
    mounted = f"--volume={project}_{volume}:/data"
    subprocess.run([*ALONE, mounted, IMAGE, "-c", f"set -o pipefail; {script}"], check=True, **files)  # type: ignore[call-overload]


def _compose(*words: str) -> str:
    return subprocess.run(["docker", "compose", *words], stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    verb, place = sys.argv[1:]
    if not place:
        sys.exit("Which folder? make backup TO=folder, make restore FROM=folder")
    try:
        {"backup": back_up, "restore": restore}[verb](Path(place), _compose, "conveyor")
    except subprocess.CalledProcessError as error:
        sys.exit(f"'{' '.join(map(str, error.cmd))}' failed.")
    print("Start it again: docker compose up --detach --wait" if verb == "restore" else f"Kept in {place}.")
