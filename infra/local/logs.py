"""What the processes write: for each a file of at most 10 MB, the one before it, and the screen."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

LARGEST_BYTES = 10_000_000
Echo = Callable[[str], None]


class Log:
    """The output of one process. Set `echo` to also see each line as it comes."""

    def __init__(self, path: Path, largest_bytes: int = LARGEST_BYTES) -> None:
        self.path = path
        self.echo: Echo | None = None
        self._largest_bytes = largest_bytes
        self._copying: threading.Thread | None = None
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def follow(self, output: IO[bytes]) -> None:
        """Copy `output` until it ends, in a thread of its own."""
        self._copying = threading.Thread(target=self._copy, args=(output,), daemon=True)
        self._copying.start()

    def settle(self) -> None:
        """After a process ended: return when its last words are written."""
        if self._copying is not None:
            self._copying.join(2)

    def _copy(self, output: IO[bytes]) -> None:
        file: IO[bytes] = self.path.open("ab", buffering=0)
        for line in output:
            with contextlib.suppress(OSError):  # a full disk must not stop the process that writes
                file = self._write(file, line)
            if self.echo is not None:
                self.echo(line.decode(errors="replace").rstrip("\n"))
        file.close()

    def _write(self, file: IO[bytes], line: bytes) -> IO[bytes]:
        if file.tell() + len(line) > self._largest_bytes:
            file.close()
            self.path.replace(self.path.with_name(self.path.name + ".1"))
            file = self.path.open("ab", buffering=0)
        file.write(line)
        return file

    def last_lines(self, count: int) -> list[str]:
        """The last lines that were written, the oldest first."""
        lines: list[str] = []
        for path in (self.path, self.path.with_name(self.path.name + ".1")):
            if len(lines) < count and path.exists():
                lines = [*path.read_text(errors="replace").splitlines()[len(lines) - count :], *lines]
        return lines[-count:]
