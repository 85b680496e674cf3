"""What the processes write: for each a file of at most 10 MB, the one before it, and the screen."""

import contextlib
import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
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
        self._last: deque[bytes] = deque(maxlen=KEPT_LINES)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def follow(self, output: Iterable[bytes]) -> None:
        """Copy what `output` brings, in pieces of any size, until it ends, in a thread of its own."""
        self._last = deque(maxlen=KEPT_LINES)
        self._copying = threading.Thread(target=self._copy, args=(output, self._last), daemon=True)
        self._copying.start()

    def settle(self) -> None:
        """After a process ended: return when its last words are written."""
        if self._copying is not None:
            self._copying.join(2)

    def _copy(self, output: Iterable[bytes], last: deque[bytes]) -> None:
        file: IO[bytes] = self.path.open("ab", buffering=0)
        for lines in _whole_lines(output):
            with contextlib.suppress(OSError):  # a full disk must not stop the process that writes
                file = self._write(file, lines)
            each = lines.removesuffix(b"\n").split(b"\n")
            last.extend(each)
            if self.echo is not None:
                for line in each:
                    self.echo(_text(line))
        file.close()

    def _write(self, file: IO[bytes], lines: bytes) -> IO[bytes]:
        while len(lines) > (room := self._largest_bytes - file.tell()):
            fitting = lines.rfind(b"\n", 0, max(room, 0)) + 1
            if not fitting and not file.tell():  # a line that is longer than a file
                fitting = lines.find(b"\n") + 1 or len(lines)
            file.write(lines[:fitting])
            lines = lines[fitting:]
            file.close()
            self.path.replace(self.path.with_name(self.path.name + ".1"))
            file = self.path.open("ab", buffering=0)
        file.write(lines)
        return file

    def last_lines(self, count: int) -> list[str]:
        """The last lines of the process that was started last, the oldest first; 50 are kept."""
        return [_text(line) for line in list(self._last.copy())[-count:]]


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")


def _whole_lines(output: Iterable[bytes]) -> Iterator[bytes]:
    """All lines that are there already together: a line at a time costs as much as writing it does."""
    rest = b""
    for piece in output:
        whole, end, rest = (rest + piece).rpartition(b"\n")
        if end:
            yield whole + end
    if rest:
        yield rest


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
