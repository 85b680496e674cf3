"""`make logs`: the last lines of the processes' logs, then what comes, also after a file was replaced."""

import time
from pathlib import Path

from infra.local.clone import Clone
from infra.local.logs import readable
from infra.local.problems import Problem

LAST_LINES = 200
Place = tuple[int, int]  # a file's inode, and how far it was shown


def follow(clone: Clone, names: list[str]) -> None:
    """Print the logs of these processes (of all without a name) until Ctrl-C."""
    paths = {path.stem: path for path in sorted(clone.logs.glob("*.log"))}
    for name in names:
        if name not in paths:
            raise Problem(f"There is no log of '{name}'; there are: {', '.join(paths) or 'none yet'}.")
    chosen = {name: path for name, path in paths.items() if name in names or not names}
    prefix = max(len(name) for name in chosen) if len(chosen) > 1 else 0
    places = {name: _show(path, (0, 0), prefix, LAST_LINES) for name, path in chosen.items()}
    while True:
        time.sleep(0.3)
        for name, path in chosen.items():
            places[name] = _show(path, places[name], prefix)


def _show(path: Path, place: Place, prefix: int, at_most: int | None = None) -> Place:
    """Print the whole lines that are new in a file, with its name in front; how far it was shown."""
    inode, position = place
    try:
        status = path.stat()
    except FileNotFoundError:
        return place
    if status.st_ino != inode or status.st_size < position:
        position = 0
    with path.open("rb") as file:
        file.seek(position)
        new, end, _ = file.read().rpartition(b"\n")
    lines = new.decode(errors="replace").splitlines()
    for line in lines[-at_most:] if at_most else lines:
        said = readable(line)
        print(f"{path.stem:<{prefix}} | {said}" if prefix else said, flush=True)
    return status.st_ino, position + len(new) + len(end)
