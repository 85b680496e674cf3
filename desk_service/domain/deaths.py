"""Reads a dead letter: what it was, where, of what and how often it died, and who had sent it.

A service that gives a message up says so in headers of its own (shared/recovery.py); the broker says it in
`x-death`. Whose word on who acts is believed follows from `user_id`, which RabbitMQ checks.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from desk_service.domain.causes import cause_of, group_of
from desk_service.domain.headers import kept
from shared.contracts.desk import DeadLetter
from shared.messages import EVENTS, REQUESTS

SPEAK_FOR_OTHERS = ("gateway", "desk_service")
PROCESSES = {
    "desk": "desk_service",
    "tasks": "task_service",
    "waste": "waste_service",
    "texts": "text_worker",
}
"""The broker user of each owner, by what its queues begin with.

Whoever takes a message believes who acts from the owner of the queue itself and from those who speak for
others, and so does the desk: a replay would carry anybody else's word under the desk's name.
"""
DIRECT = "direct"
REPLAY = "replay"
"""The header that ties a death to the replay that ended in it."""
OF_ITS_DEATH = ("reason", "queue", "attempt", "errors", "traceback", "died-at", "actor", REPLAY)
BY_BROKER = {
    "delivery_limit": "delivery_limit: whoever took it died or gave it back, time and again",
    "expired": "expired: nobody took it in time",
    "rejected": "rejected: whoever took it refused it",
    "maxlen": "maxlen: its queue was full",
}
NOBODY_SAID = "unknown: it came to the dead letters without a reason"
LONGEST_NAME = 255
MOST_DEATHS_READ = 100


@dataclass(frozen=True)
class Death:
    """One death of a message. `headers` are those it was sent with, in the form in which they are kept.

    `replay`: which replay ended in it.
    """

    queue: str
    message_id: str
    fingerprint: str
    service: str
    message: str
    actor: str
    conversation: str | None
    type: str | None
    app_id: str | None
    content_type: str | None
    sent_at: datetime | None
    body: bytes
    headers: dict[str, Any]
    reason: str
    cause: str
    cause_group: str
    attempts: int
    errors: list[str]
    traceback: str
    replay: str | None
    by: str
    died_at: datetime


def death_of(letter: DeadLetter, given_id: str, now: datetime) -> Death:
    """`given_id` stands in where the message has no id of its own."""
    headers, properties = plain(letter.headers), letter.properties
    queue, reason, by, died_at = _where_and_why(letter.headers, text(properties.get("routing_key")), now)
    queue = queue[:LONGEST_NAME]
    errors = headers.get("errors")
    attempt = headers.get("attempt")
    believed = properties.get("user_id") in (*SPEAK_FOR_OTHERS, PROCESSES.get(queue.partition(".")[0]))
    cause = cause_of(reason)
    return Death(
        queue=queue,
        message_id=text(properties.get("message_id")) or given_id,
        fingerprint=hashlib.blake2b(letter.body, digest_size=16).hexdigest(),
        service=queue.partition(".")[0],
        message=message_in(queue),
        actor=text(headers.get("actor", DIRECT)) if believed else DIRECT,
        conversation=text(properties.get("correlation_id")) or None,
        type=text(properties.get("type")) or None,
        app_id=text(properties.get("app_id")) or None,
        content_type=text(properties.get("content_type")) or None,
        sent_at=_aware(properties.get("timestamp")),
        body=letter.body,
        headers=kept({name: value for name, value in letter.headers.items() if may_travel(text(name))}),
        reason=reason,
        cause=cause,
        cause_group=group_of(queue, cause),
        attempts=attempt if isinstance(attempt, int) and 0 < attempt < 1000 else 1,
        errors=[text(error) for error in errors] if isinstance(errors, list) else [],
        traceback=text(headers.get("traceback", "")),
        replay=text(headers.get(REPLAY, "")) or None,
        by=by,
        died_at=died_at,
    )


def _where_and_why(
    headers: dict[str, Any], routing_key: str, now: datetime
) -> tuple[str, str, str, datetime]:
    """Queue, reason, who gave it up, when."""
    deaths = headers.get("x-death")
    first = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else None
    if first:
        queue, died_at = text(first.get("queue")), _aware(first.get("time")) or now
        if queue.startswith("delay."):
            return (
                routing_key,
                f"unroutable: there is no queue {routing_key!r} to go back to",
                "broker",
                died_at,
            )
        why = text(first.get("reason"))
        return queue or routing_key, BY_BROKER.get(why, why or NOBODY_SAID), "broker", died_at
    if "queue" in headers and "reason" in headers:
        said = text(headers.get("died-at", ""))
        return text(headers["queue"]), text(headers["reason"]), "service", _time_in(said) or now
    return routing_key, NOBODY_SAID, "unknown", now


def message_in(queue: str) -> str:
    """What the contract of a queue is called; the queue itself where there is none."""
    contract = REQUESTS.get(queue) or EVENTS.get(queue.partition(".on.")[2])
    return contract.__name__ if contract else queue


def may_travel(name: str) -> bool:
    """Whether a header goes with a replay, rather than telling of a death or being the broker's own."""
    return not name.lower().startswith("x-") and name not in OF_ITS_DEATH


def text(value: Any) -> str:
    """PostgreSQL's text holds neither NUL nor half of a pair."""
    said = "" if value is None else str(value)
    return said.encode(errors="replace").decode().replace("\x00", "\ufffd")


def plain(value: Any) -> Any:
    """An AMQP value as JSON; what JSON has no form for becomes text."""
    if isinstance(value, dict):
        return {text(name)[:LONGEST_NAME]: plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value[:MOST_DEATHS_READ]]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if value == value and abs(value) != float("inf") else text(value)  # noqa: PLR0124
    return text(value.decode(errors="replace") if isinstance(value, bytes | bytearray) else value)


def _aware(value: Any) -> datetime | None:
    """None too for what is no time in UTC that PostgreSQL could hold."""
    if not isinstance(value, datetime) or not datetime.min.year < value.year < datetime.max.year:
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _time_in(said: str) -> datetime | None:
    try:
        return _aware(datetime.fromisoformat(said))
    except ValueError:
        return None
