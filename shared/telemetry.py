"""What a process tells the people who run it: structured log lines and Prometheus metrics.

Every line about a message carries the id of its conversation, so that one search finds a whole story.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the page and tell nothing here

MESSAGES = Counter("messages_handled_total", "Messages that came to an end here.", ["message", "outcome"])
MESSAGE_SECONDS = Histogram(
    "message_duration_seconds",
    "From taking a message in hand to its commit; those of one batch share it.",
    ["message"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
BATCH_SIZE = Histogram(
    "batch_size", "Messages that shared one transaction.", buckets=(1, 2, 4, 8, 16, 32, 64)
)
OUTBOX_ROWS = Gauge("outbox_rows", "Events that are committed and not yet known to be published.")
OUTBOX_AGE = Gauge("outbox_oldest_seconds", "Age of the oldest of them; minutes mean that events are stuck.")
DEPENDENCY_UP = Gauge("dependency_up", "1 when the last probe of the dependency succeeded.", ["dependency"])


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, service, event, then what the line is about."""

    def __init__(self, service: str):
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "service": self.service,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class ReadableLines(logging.Formatter):
    """The same for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{name}={value}" for name, value in getattr(record, "fields", {}).items())
        line = f"{time} {record.levelname.lower():7} {record.getMessage()} {fields}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def start_logging(service: str, form: Literal["json", "text"], level: str) -> None:
    """Send all log lines of this process to standard error, in the chosen form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service) if form == "json" else ReadableLines())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for chatty in ("aiormq", "aio_pika", "alembic", "sqlalchemy", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL if chatty == "aiormq" else logging.WARNING)
