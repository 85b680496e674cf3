"""Finding a story's lines in the logs, which may be large: read as streams, several times, little kept.

The first time looks for what the person gave, the next ones for the ids that stood beside it (message,
conversation, cause), until there are no new ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from itsdangerous import URLSafeTimedSerializer
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

MOST_LINES = 2000
"""Kept of one search, the newest."""
READS = ("GET", "HEAD")


class Told(BaseModel):
    """An event, as the line of the message that said it names it."""

    message: str
    message_id: str


class Line(BaseModel):
    """A log line about a request or a message; shared/batch.py, shared/recovery.py and gateway/metrics.py
    write them."""

    model_config = ConfigDict(extra="allow")

    time: AwareDatetime
    service: str
    event: str
    message: str
    message_id: str
    conversation: str
    causation: str = ""
    said: list[Told] = []
    about: list[str] = []
    seconds: float = 0
    attempt: int = 1
    repeated: bool = False
    start: int = 0
    again_in_seconds: int | None = None
    code: str = ""
    reason: str = ""
    method: str = ""
    path: str = ""
    status: int = 0
    key: str = ""

    @property
    def began_at(self) -> datetime:
        return self.time - timedelta(seconds=self.seconds)

    @property
    def is_read(self) -> bool:
        """A request that changed nothing, and went well."""
        return self.method in READS and self.status < 400

    @property
    def ids(self) -> set[str]:
        """By which it hangs together with others. `about` may name the message that an operation asks for."""
        told = (event.message_id for event in self.said)
        about = (one for one in self.about if not one.startswith("/"))
        return {self.message_id, self.conversation, self.causation, *told, *about} - {""}


@dataclass
class Search:
    """What the logs in a folder tell of one story or several, and how much of them was looked at.

    `reads` counts the requests that looked the resource up and are left out; `cut` says that older lines are.
    """

    folder: Path
    found: dict[bytes, Line] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    lines: int = 0
    since: datetime | None = None
    reads: int = 0
    cut: bool = False

    def look_for(self, given: str) -> list[Line]:
        """Every line of the stories that it is part of, by their beginnings."""
        self.files = [path.name for path in sorted(self.folder.glob("*.log*"), reverse=True)]
        name = name_in(given)
        known = new = self._keep(line for line in self._count(self._all()) if self._is_named(line[1], name))
        while new:
            beside = self._keep(line for line in self._all() if not new.isdisjoint(line[1].ids))
            known, new = known | beside, beside - known
        self._forget_oldest(MOST_LINES)
        return sorted(self.found.values(), key=lambda line: line.began_at)

    def _is_named(self, line: Line, name: str) -> bool:
        if name in line.ids or name == line.key or any(is_at(name, address) for address in line.about):
            return True
        if not is_at(name, line.path):
            return False
        self.reads += line.is_read
        return not line.is_read

    def _all(self) -> Iterator[tuple[bytes, Line]]:
        """Every line about a message, those of the file that was put aside before those of the newer one."""
        for name in self.files:
            with (self.folder / name).open("rb") as file:
                for raw in file:
                    if line := parsed(raw):
                        yield raw, line

    def _count(self, lines: Iterator[tuple[bytes, Line]]) -> Iterator[tuple[bytes, Line]]:
        for raw, line in lines:
            self.lines += 1
            self.since = min(self.since or line.time, line.time)
            yield raw, line

    def _keep(self, lines: Iterator[tuple[bytes, Line]]) -> set[str]:
        """The ids in them."""
        ids: set[str] = set()
        for raw, line in lines:
            ids |= line.ids
            self.found[raw] = line
            if len(self.found) > 2 * MOST_LINES:
                self._forget_oldest(MOST_LINES)
        return ids

    def _forget_oldest(self, most: int) -> None:
        if len(self.found) > most:
            self.cut = True
            self.found = dict(sorted(self.found.items(), key=lambda item: item[1].time)[-most:])


def parsed(raw: bytes) -> Line | None:
    """The line, if it is one about a message and whole."""
    try:
        return Line.model_validate_json(raw) if raw.startswith(b"{") else None
    except ValidationError:
        return None


def name_in(given: str) -> str:
    """What a person copied, as the logs have it: of an operation the message id that it holds."""
    text = given.strip().strip("\"'")
    path = unquote(urlsplit(text).path).rstrip("/") if text.startswith(("/", "http://", "https://")) else text
    _, operation = URLSafeTimedSerializer("").loads_unsafe(path.rpartition("/")[2])
    return str(operation[1]) if isinstance(operation, list) and len(operation) == 3 else path


def is_at(name: str, place: str) -> bool:
    """Whether an address is the one that was given, one below it, or one with the id that was given."""
    if name.startswith("/"):
        return place == name or place.startswith(f"{name}/")
    return name in place.split("/")
