"""One message as it arrived: who sent it, what it says, and what it is answered."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from time import time_ns
from typing import Any, cast
from uuid import uuid4

import orjson
from pydantic import ValidationError
from uuid_utils import uuid7

from shared.amqp.channel import Channel
from shared.amqp.content import Incoming, Properties
from shared.amqp.fields import Table
from shared.bus import Publisher
from shared.handling import DIRECT, EVERYBODY, Handler, Work
from shared.journal import Key, Said
from shared.kinds import is_a
from shared.messages import Answer, Command, Event, Invalid, Raw, Resource
from shared.topology import EVENTS_EXCHANGE

LINE = 200
"""Characters of a field's name, or of what is wrong with it, that a refusal repeats."""

MOST_VERSIONS = 100
"""An answer's headers have to fit into one frame."""

ENVELOPE = (
    *("message_id", "correlation_id", "type", "user_id", "app_id"),
    *("content_type", "timestamp", "routing_key"),
)
"""What a raw message's handler sees of its properties."""

SPEAK_FOR_OTHERS = ("gateway", "desk_service")
"""Broker users whose word on who acts is believed; RabbitMQ checks `user_id` against the connection."""


@dataclass(slots=True, eq=False)
class Delivery:
    """A message in hand. `message` is None until `read` has made the contract's model of the body.

    `headers_travel` is whether its copies carry its headers; some headers cannot be sent again. `touched`:
    the addresses of the resources that it was about. `started`: that it runs is noted. `suspect`: a process
    has died while it ran.
    """

    handler: Handler
    queue: str
    raw: Incoming
    channel: Channel
    message_id: str
    actor: str
    attempt: int
    errors: list[str]
    traceback: str
    fingerprint: bytes
    message: Any = field(default=None)
    headers_travel: bool = True
    prepared: Any = None
    blobs: Any = None
    started: bool = False
    suspect: bool = False
    visible_to: tuple[str, ...] = EVERYBODY
    touched: list[str] = field(default_factory=list)
    key: Key = field(init=False)
    conversation: str = field(init=False)

    def __post_init__(self) -> None:
        self.key = self.queue, self.message_id
        self.conversation = (self.raw.correlation_id or self.message_id).replace("\x00", "")

    @property
    def traceparent(self) -> str:
        return str(self.raw.headers.get("traceparent", "")).replace("\x00", "")[:55]

    @property
    def name(self) -> str:
        return self.handler.message.__name__

    @property
    def identity(self) -> dict[str, Any]:
        """What every log line about it says first: `make story` finds it by that."""
        return {
            "message": self.name,
            "message_id": self.message_id,
            "conversation": self.conversation,
            "actor": self.actor,
        }

    def work(self, transaction: Any, now: datetime | None = None) -> Work:
        """What its handler gets; `now` where others share it."""
        return Work(
            id=self.message_id,
            actor=self.actor,
            conversation=self.conversation,
            queue=self.queue,
            now=now or this_moment(),
            transaction=transaction,
            attempt=self.attempt,
            prepared=self.prepared,
            blobs=self.blobs,
        )

    def everything_said(self, work: Work) -> list[Said]:
        """What its handler said and had sent."""
        return [*map(self.saying, work.said), *map(self.saying, work.sent)]

    def saying(self, message: Event | Command[Any], routing_key: str = "") -> Said:
        """An event, or a command for whoever owns it, as a consequence of this message."""
        if is_a(message, Event):
            exchange, own_key = EVENTS_EXCHANGE, message.routing_key
        else:
            exchange, own_key = "", cast(Command[Any], message).queue
        return Said(
            id=str(uuid7()),
            exchange=exchange,
            routing_key=routing_key or own_key,
            type=type(message).__name__,
            conversation=self.conversation,
            causation=self.message_id,
            traceparent=self.traceparent,
            body=message.to_json(),
            said_at=datetime.now(UTC),
        )

    @property
    def lost(self) -> bool:
        """Its channel has closed: the broker will deliver it again, here or elsewhere."""
        return bool(self.channel.is_closed)

    def older_than(self, age: timedelta, now: datetime) -> bool:
        sent = None if self.handler.is_raw else self.raw.timestamp  # its envelope is about another time
        return sent is not None and now - sent.replace(tzinfo=UTC) > age

    def read(self) -> None:
        """Make the model of the body, whatever the content type says; `Invalid` names what does not fit."""
        form = self.handler.message
        if self.handler.is_raw:
            assert issubclass(form, Raw)
            properties = {name: getattr(self.raw, name) for name in ENVELOPE}
            headers = dict(self.raw.headers)
            self.message = form.model_construct(body=self.raw.body, headers=headers, properties=properties)
            return
        if "\x00" in self.message_id:
            raise Invalid("The message_id holds a NUL character; give it another one.")
        try:
            self.message = form.model_validate_json(self.raw.body.removeprefix(b"\xef\xbb\xbf"))
        except ValidationError as error:
            raise invalid(error) from None


def this_moment() -> datetime:
    """To the millisecond: not every store keeps more."""
    return datetime.fromtimestamp(time_ns() // 1_000_000 / 1000, UTC)


def invalid(error: ValidationError) -> Invalid:
    """What pydantic found, in the system's own words."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    errors = [fault(one["loc"], one["msg"]) for one in found[:20]]
    return Invalid(f"The message does not fit its contract: {first_three(errors)}.", errors=errors)


def fault(location: Iterable[int | str], message: str) -> dict[str, str]:
    """What is wrong with a field, in lines that a person reads; the sender may have written a book."""
    field = ".".join(str(part).strip() for part in location if part != "[key]")  # pydantic's word for a key
    return {"field": _line(field), "message": _line(message)}


def _line(text: str) -> str:
    return text if len(text) <= LINE else f"{text[: LINE - 1]}…"


def first_three(faults: list[dict[str, str]]) -> str:
    return "; ".join(f"{one['field'] or 'body'}: {one['message']}" for one in faults[:3])


def received(raw: Incoming, handler: Handler, queue: str, own_user: str) -> Delivery:
    """Take the envelope apart. What only the system may say is dropped when somebody else says it."""
    is_raw = handler.is_raw
    trusted = raw.user_id == own_user or raw.user_id in SPEAK_FOR_OTHERS
    headers = raw.headers if trusted and not is_raw else {}
    attempt = headers.get("attempt", 1)
    return Delivery(
        handler=handler,
        queue=queue,
        raw=raw,
        channel=raw.channel,
        message_id=(_sum(raw) if is_raw else raw.message_id) if raw.message_id else uuid4().hex,
        actor=str(headers.get("actor", DIRECT)).replace("\x00", ""),
        attempt=attempt if isinstance(attempt, int) else 1,
        errors=[str(error) for error in _list(headers.get("errors"))],
        traceback=str(headers.get("traceback", "")),
        fingerprint=b"" if handler.is_query else hashlib.blake2b(raw.body, digest_size=16).digest(),
    )


def _sum(raw: Incoming) -> str:
    """Of all of a message but what the broker counts: the same when it is delivered again, and only then."""
    headers = sorted((name, value) for name, value in raw.headers.items() if not name.endswith("-count"))
    whole = repr((raw.message_id, raw.correlation_id, raw.timestamp, raw.routing_key, headers, raw.body))
    return hashlib.blake2b(whole.encode(errors="replace"), digest_size=16).hexdigest()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def touched_by(work: Work, answer: Answer | None) -> tuple[list[str], str]:
    """The addresses of what it answered with and of what its events tell a new version of, 100 at most; and
    what else than the answer has a new version by now, for whoever keeps copies: JSON by address.

    Null stands for more of them than can be told: an answer's headers have to fit into one frame.
    """
    versions: dict[str, int] = {}
    for event in work.said:
        versions.update(event.versions())
    touched = []
    if is_a(answer, Resource):
        touched.append(answer.address_of(answer.id))
        versions.pop(touched[0], None)
    if not versions:
        return touched, "{}"
    touched += islice(versions, MOST_VERSIONS - len(touched))
    return touched, orjson.dumps(versions if len(versions) <= MOST_VERSIONS else None).decode()


def send_answer(
    publisher: Publisher,
    delivery: Delivery,
    kind: str,
    body: bytes,
    *,
    versions: str = "{}",
    repeated: bool = False,
    alone: bool = False,
) -> None:
    """Answer whoever asked, if somebody did. Who misses an answer asks again with the same id.

    `alone`: no other is about to follow.
    """
    if not delivery.raw.reply_to or delivery.handler.is_raw:
        return
    headers: Table = {"repeated": True} if repeated else {}
    if versions != "{}":
        headers["versions"] = versions
    if delivery.visible_to != EVERYBODY:
        headers["visible-to"] = list(delivery.visible_to)
    properties = Properties(
        content_type="application/json",
        correlation_id=delivery.raw.correlation_id or delivery.message_id,
        message_id=delivery.message_id,
        type=kind,
        app_id=publisher.process,
        user_id=publisher.user,
        timestamp=datetime.now(UTC),
        headers=headers,
    )
    publisher.answer(delivery.raw.reply_to, body, properties, alone=alone)
