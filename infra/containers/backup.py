"""`make backup TO=folder` and `make restore FROM=folder`: all stores of the containers at one moment.

Everything stops for it, so that what a store, a queue and a blob say fits together. Each volume is a file,
named when all are whole. Passwords are not in there: whoever restores on another machine brings
`infra/secrets` along.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from infra.containers import running
from infra.local.passwords import write_private
from infra.local.problems import Problem

VOLUMES = ("rabbitmq", "postgresql", "mongodb", "mongodb_key", "blobs")
"""What has to be kept; Valkey is a cache, and Prometheus nobody's memory but its own."""
IMAGE = "postgres:17"
"""Has tar, and is there anyway."""
ALONE = ("docker", "run", "--rm", "--interactive", "--network=none", "--user=0", "--entrypoint=bash")
MAY = {"backup": "write", "restore": "read"}
Compose = Callable[..., str]


def volumes(compose: Compose) -> dict[str, str]:
    """What the engine calls them, which has the project's name in it, by what docker-compose.yml does.

    Without those of servers that somebody else runs.
    """
    known = json.loads(compose("config", "--format=json"))["volumes"]
    return {volume: known[volume]["name"] for volume in VOLUMES if volume in known}


def back_up(folder: Path, compose: Compose) -> None:
    """Stop everything, keep each volume as a file in `folder`, start what ran."""
    names = volumes(compose)
    subprocess.run(["docker", "volume", "inspect", *names.values()], stdout=subprocess.DEVNULL, check=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = {volume: folder / f"{volume}.tar.gz.unfinished" for volume in names}
    for begun in unfinished.values():
        write_private(begun, "")
    ran = compose("ps", "--services").split()
    try:
        compose("stop")
        for volume, name in names.items():
            with unfinished[volume].open("wb") as file:
                _in_volume(name, "tar --numeric-owner -C /data -czf - .", stdout=file)
        for whole in unfinished.values():
            whole.rename(whole.with_suffix(""))
    finally:
        if ran:
            compose("start", *ran)


def restore(folder: Path, compose: Compose) -> None:
    """Remove what the volumes hold and fill them from `folder`. Everything is stopped afterwards.

    Broken off in between, it leaves stores that do not fit together, and says so.
    """
    names = volumes(compose)
    for volume in names:
        if wrong := _why_no_archive(folder / f"{volume}.tar.gz"):
            sys.exit(f"{folder} is no backup: {volume}.tar.gz {wrong}. Nothing was changed.")
    compose("down")
    compose("create")  # the volumes, where there are none
    try:
        for volume, name in names.items():
            with (folder / f"{volume}.tar.gz").open("rb") as file:
                emptied = "find /data -mindepth 1 -delete && tar --numeric-owner -C /data -xzf -"
                _in_volume(name, emptied, stdin=file)
    except BaseException:
        print("Only a part of it is back: start nothing, run 'make restore' again.", file=sys.stderr)
        raise


def _why_no_archive(file: Path) -> str:
    """What is wrong with it; empty where it is whole."""
    if not file.exists():
        return "is not there"
    whole = all(
        subprocess.run([*words, file], capture_output=True, check=False).returncode == 0
        for words in (["gzip", "-t"], ["tar", "-tzf"])
    )
    return "" if whole else "is damaged"


def _in_volume(name: str, script: str, **files: object) -> None:
    mounted = f"--volume={name}:/data"
    subprocess.run([*ALONE, mounted, IMAGE, "-c", f"set -o pipefail; {script}"], check=True, **files)  # type: ignore[call-overload]


def _compose(*words: str) -> str:
    return subprocess.run(running.compose(*words), stdout=subprocess.PIPE, text=True, check=True).stdout


def _agreed(folder: str) -> bool:
    if not sys.stdin.isatty():
        sys.exit("Nobody is here to be asked: for a restore without a question say FORCE=1.")
    return input(f"Replace what all stores hold by what is in {folder}? Type yes: ").strip() == "yes"


if __name__ == "__main__":
    verb, place, *force = sys.argv[1:]
    if not place:
        sys.exit("Which folder? make backup TO=folder, make restore FROM=folder")
    if verb == "restore" and not force and not _agreed(place):
        sys.exit("Nothing was changed.")
    for end in (signal.SIGTERM, signal.SIGHUP):  # what was stopped is started again, as after Ctrl-C
        signal.signal(end, lambda *_: sys.exit("Broken off."))
    try:
        {"backup": back_up, "restore": restore}[verb](Path(place), _compose)
    except Problem as problem:
        sys.exit(str(problem))
    except subprocess.CalledProcessError as error:
        sys.exit(f"'{' '.join(map(str, error.cmd))}' failed.")
    except OSError as error:
        sys.exit(f"{error.filename or place}: {error.strerror}. Give a folder that you may {MAY[verb]}.")
    print("Start it again: docker compose up --detach --wait" if verb == "restore" else f"Kept in {place}.")
