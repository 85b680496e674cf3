"""Which part of a process its Python time belongs to: the innermost frame of a stack that is of a known part.

Frames of libraries that several parts use, as asyncio or orjson, belong to whoever called them.
"""

import re
from collections import Counter
from collections.abc import Iterable

SERVER, OTHER = "HTTP server and event loop", "other"
_FILES = {
    "AMQP": r"shared/amqp/|shared/(bus|confirms|consuming|topology)\.py|/pamqp/",
    SERVER: r"/uvloop/|/uvicorn/|shared/http/|shared/process\.py",
    "gateway: checks and routing": (
        r"gateway/(lean|limits|deadline|methods|compression|conditions|errors|parameters|preferences|gateway"
        r"|operations|reading|streaming|routes/\w+)\.py|/starlette/|/fastapi/"
    ),
    "asking and the cache": (
        r"gateway/(asking|cache|valkey_level|event_line)\.py|shared/asking\.py|/valkey/"
    ),
    "batch, inbox, outbox": (
        r"shared/(batch|computing|delivery|holding|journal|leaving|places|preparing|querying|recovery|service|starts|unsettled)\.py"
    ),
    "store": (
        r"/sqlalchemy/|/asyncpg/|/pymongo/|/bson/|shared/journal_\w+\.py|(\w+_service|text_worker)/store\.py"
    ),
    "handlers, domain, contracts": (
        r"(\w+_service|text_worker)/(handlers|domain/\w+|domain)\.py|shared/contracts/|/pydantic"
        r"|shared/(messages|handling|kinds|operations|paging)\.py"
    ),
    "logs and metrics": (
        r"/logging/|shared/(telemetry|redaction|health)\.py|gateway/metrics\.py|/prometheus_client/"
    ),
}
PARTS = (*_FILES, OTHER)
_PATTERNS = {part: re.compile(files) for part, files in _FILES.items()}
_WAITS = re.compile(r"_worker \([^()]*/concurrent/futures/thread\.py:\d+\)$")
_PLACE = re.compile(r"\((.*?)(?::\d+)?\)$")


def part_of(stack: str) -> str:
    """Of frames `function (file:line)` from the outermost to the innermost, with semicolons between.

    Every stack begins in the event loop, so what is called from it and known to nobody is not its own.
    """
    unknown = False
    for frame in reversed(stack.split(";")):
        place = _PLACE.search(frame)
        file = place[1] if place else ""
        if part := next((part for part, pattern in _PATTERNS.items() if pattern.search(file)), ""):
            return OTHER if part == SERVER and unknown else part
        unknown = unknown or "/asyncio/" not in file
    return OTHER


def shares(lines: Iterable[str]) -> dict[str, float]:
    """Of all samples, by part; `lines` as `py-spy record --format raw` writes them.

    A thread that has no Python frame at the moment is none of Python's time, nor one that waits for work.
    """
    samples: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if stack and not _WAITS.search(stack):
            samples[part_of(stack)] += int(count)
    return {part: samples[part] / (samples.total() or 1) for part in PARTS}
