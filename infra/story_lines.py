"""Finding a story's lines in the logs, which may be large: read as streams, several times, little kept.

The first time looks for what the person gave, the next ones for the ids that stood beside it (message,
conversation, cause), until there are no new ones.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import orjson
from itsdangerous import URLSafeTimedSerializer
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

MOST_LINES = 2000
"""Kept of one search, the newest."""
FEW_NAMES = 16
"""Up to so many it is quicker to look for them in a line than to read it."""
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
    request_id: str = ""

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
    """What the logs in a folder tell of one story or several.

    `reads` counts the requests that only looked the resource up and are left out; from before `cut` older
    lines are left out.
    """

    folder: Path
    found: dict[bytes, Line] = field(default_factory=dict)
    reads: int = 0
    cut: datetime | None = None

    @property
    def files(self) -> list[Path]:
        """What was put aside comes before what is written now."""
        return sorted(self.folder.glob("*.log*"), reverse=True)

    def look_for(self, given: str) -> list[Line]:
        """Every line of the stories that it is part of, by their beginnings."""
        name = name_in(given)
        known: set[str] = set()
        new = self._keep((raw, line) for raw, line in self._lines({name}) if self._is_named(line, name))
        while new:
            known |= new
            beside = ((raw, line) for raw, line in self._lines(new) if not line.ids.isdisjoint(new))
            new = self._keep(beside) - known
        self._forget_oldest(MOST_LINES)
        return sorted(self.found.values(), key=lambda line: line.began_at)

    def count(self) -> tuple[int, datetime | None]:
        """How many lines are about messages, and since when."""
        times = [line.time for _, line in self._lines(set())]
        return len(times), min(times, default=None)

    def _is_named(self, line: Line, name: str) -> bool:
        if name in line.ids | {line.key, line.request_id} or any(
            is_at(name, address) for address in line.about
        ):
            return True
        if not is_at(name, line.path):
            return False
        self.reads += line.is_read
        return not line.is_read

    def _lines(self, names: set[str]) -> Iterator[tuple[bytes, Line]]:
        """The lines that have one of these names somewhere; all, where there are many names or none."""
        few = [orjson.dumps(name)[1:-1] for name in names] if len(names) <= FEW_NAMES else []
        for path in self.files:
            with path.open("rb") as file:
                for raw in file:
                    if few and not any(name in raw for name in few):
                        continue
                    if line := parsed(raw):
                        yield raw, line

    def _keep(self, lines: Iterable[tuple[bytes, Line]]) -> set[str]:
        """The ids in those that were kept."""
        ids: set[str] = set()
        for raw, line in lines:
            if self.cut is None or line.time >= self.cut:
                ids |= line.ids
                self.found[raw] = line
                self._forget_oldest(2 * MOST_LINES)
        return ids

    def _forget_oldest(self, most: int) -> None:
        if len(self.found) > most:
            newest = sorted(self.found.items(), key=lambda item: item[1].time)[-MOST_LINES:]
            self.found = dict(newest)
            self.cut = newest[0][1].time


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
