"""What a process tells the people who run it: structured log lines and Prometheus metrics.

Every line about a message carries the id of its conversation, so that one search finds a whole story.
"""

import asyncio
import logging
import sys
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, TextIO

import orjson
from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from shared.redaction import redacted_text

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the page and tell nothing here

MESSAGES = Counter("messages_handled_total", "Messages that came to an end here.", ["message", "outcome"])
MESSAGE_SECONDS = Histogram(
    "message_duration_seconds",
    "From taking a message in hand to its commit; those of one batch share it.",
    ["message"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
BATCH_SIZE = Histogram(
    "batch_size", "Messages that shared one transaction.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)
OUTBOX_ROWS = Gauge("outbox_rows", "Events that are committed and not yet known to be published.")
OUTBOX_AGE = Gauge("outbox_oldest_seconds", "Age of the oldest of them; minutes mean that events are stuck.")
DEPENDENCY_UP = Gauge("dependency_up", "1 when the last probe of the dependency succeeded.", ["dependency"])


log = logging.getLogger(__name__)


@cache
def handled(message: str, outcome: str) -> Counter:
    """The counter of `MESSAGES` for these: looking it up costs more than counting."""
    return MESSAGES.labels(message, outcome)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, service, event, then what the line is about."""

    def __init__(self, service: str):
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        if record.exc_info:
            fields = {**fields, "traceback": redacted_text(self.formatException(record.exc_info))}
        return self.line(record.levelname.lower(), record.getMessage(), fields)

    def line(self, level: str, event: str, fields: Mapping[str, Any]) -> str:
        told = {"time": datetime.now(UTC), "level": level, "service": self.service, "event": event, **fields}
        return orjson.dumps(told, default=str).decode()


class ReadableLines(logging.Formatter):
    """The same for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{name}={value}" for name, value in getattr(record, "fields", {}).items())
        line = f"{time} {record.levelname.lower():7} {record.getMessage()} {fields}".rstrip()
        return f"{line}\n{redacted_text(self.formatException(record.exc_info))}" if record.exc_info else line


class Lines(logging.StreamHandler[TextIO]):
    """What is told in one turn of the event loop leaves in one write; a warning takes it along at once.

    Nobody's work ends because a line cannot be written: the terminal may be gone, the disk full.
    """

    def __init__(self, stream: TextIO):
        super().__init__(stream)
        self.waiting: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.add(self.format(record))
        except Exception:
            self.handleError(record)
        if record.levelno >= logging.WARNING:
            self.flush()

    def add(self, line: str) -> None:
        self.waiting.append(f"{line}\n")
        if len(self.waiting) > 1:
            return  # they leave together
        try:
            asyncio.get_running_loop().call_soon(self.flush)
        except RuntimeError:  # no turn will end
            self.flush()

    def flush(self) -> None:
        with self.lock or nullcontext():
            if not self.waiting:
                return  # it may have left already; an empty write is a system call, too
            waiting, self.waiting = self.waiting, []
            with suppress(OSError, ValueError):
                self.stream.write("".join(waiting))
                self.stream.flush()


_direct: tuple[Lines, JsonLines] | None = None


def tell() -> None:
    """Have all lines leave that wait for the end of the turn."""
    for handler in logging.root.handlers:
        handler.flush()


def tell_of_message(event: str, fields: Mapping[str, Any]) -> None:
    """A line at level info that nearly every message makes: past `logging`, which takes five times that."""
    if _direct:
        lines, form = _direct
        try:
            lines.add(form.line("info", event, fields))
            return
        except TypeError:  # half a pair of surrogates: `logging` says what cannot be written
            pass
    log.info(event, extra={"fields": fields})


def start_logging(service: str, form: Literal["json", "text"], level: str) -> None:
    """Send all log lines of this process to standard error, in the chosen form."""
    global _direct  # noqa: PLW0603  where a process's lines go, as in `logging`
    handler = Lines(sys.stderr)
    json = JsonLines(service)
    handler.setFormatter(json if form == "json" else ReadableLines())
    _direct = (handler, json) if form == "json" and level.upper() in {"DEBUG", "INFO"} else None
    logging._srcfile = None  # nobody asks for the line of code, which takes longest to find out
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for chatty in ("alembic", "sqlalchemy", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
