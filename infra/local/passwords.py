"""Generated passwords, kept for the next start: files 0600 in folders 0700, written whole or not at all."""

import os
import secrets
from pathlib import Path


def private_folder(folder: Path) -> Path:
    """The folder, made when it is missing, open to its owner alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole; nobody but its owner can read it at any moment."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)


def remembered(path: Path) -> str:
    """The password in `path`, generated the first time; letters and digits, so any shell and URL takes it."""
    if not path.exists():
        private_folder(path.parent)
        write_private(path, secrets.token_hex(16))
    return path.read_text().strip()
