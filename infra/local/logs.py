"""What the processes write: for each a file of at most 10 MB, the one before it, and the screen."""

import contextlib
import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import IO

LARGEST_BYTES = 10_000_000
KEPT_LINES = 50
Echo = Callable[[str], None]


class Log:
    """The output of one process. Set `echo` to also see each line as it comes."""

    def __init__(self, path: Path, largest_bytes: int = LARGEST_BYTES) -> None:
        self.path = path
        self.echo: Echo | None = None
        self._largest_bytes = largest_bytes
        self._copying: threading.Thread | None = None
        self._last: deque[str] = deque(maxlen=KEPT_LINES)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def follow(self, output: Iterable[bytes]) -> None:
        """Copy the lines of `output` until it ends, in a thread of its own."""
        self._last = deque(maxlen=KEPT_LINES)
        self._copying = threading.Thread(target=self._copy, args=(output, self._last), daemon=True)
        self._copying.start()

    def settle(self) -> None:
        """After a process ended: return when its last words are written."""
        if self._copying is not None:
            self._copying.join(2)

    def _copy(self, output: Iterable[bytes], last: deque[str]) -> None:
        file: IO[bytes] = self.path.open("ab", buffering=0)
        for line in output:
            with contextlib.suppress(OSError):  # a full disk must not stop the process that writes
                file = self._write(file, line)
            text = line.decode(errors="replace").rstrip("\n")
            last.append(text)
            if self.echo is not None:
                self.echo(text)
        file.close()

    def _write(self, file: IO[bytes], line: bytes) -> IO[bytes]:
        if file.tell() + len(line) > self._largest_bytes:
            file.close()
            self.path.replace(self.path.with_name(self.path.name + ".1"))
            file = self.path.open("ab", buffering=0)
        file.write(line)
        return file

    def last_lines(self, count: int) -> list[str]:
        """The last lines of the process that was started last, the oldest first; 50 are kept."""
        return list(self._last.copy())[-count:]


def readable(line: str) -> str:
    """A JSON line as a person reads it on a terminal; any other as it is."""
    if not sys.stdout.isatty():
        return line
    try:
        fields = json.loads(line)
        time = datetime.fromisoformat(fields.pop("time")).astimezone().strftime("%H:%M:%S.%f")[:-3]
        level, event = fields.pop("level"), fields.pop("event")
    except (ValueError, TypeError, AttributeError, KeyError):
        return line
    fields.pop("service", None)
    traceback = str(fields.pop("traceback", "")).splitlines()
    said = " ".join([time, f"{level:7}", event, *(f"{name}={value}" for name, value in fields.items())])
    return "\n".join(printable(part) for part in [said, *traceback])


def printable(text: str) -> str:
    """Without control characters, which would be orders to the terminal: the text may be a stranger's."""
    return "".join(one if one.isprintable() else "�" for one in text)
