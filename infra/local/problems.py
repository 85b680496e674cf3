"""What a person can put right is said in one sentence that tells what to do, never by a traceback."""

import shutil
from pathlib import Path

ROOM_NEEDED_BYTES = 1_000_000_000


class Problem(Exception):
    """One sentence for the person at the keyboard: what is wrong here and what to do about it."""


def check_room(folder: Path) -> None:
    """A Problem where less than 1 GB is free."""
    free = shutil.disk_usage(folder).free
    if free < ROOM_NEEDED_BYTES:
        free_mb = free // 1_000_000
        raise Problem(f"No room: {folder} has {free_mb} MB free; free at least 1 GB there and try again.")
