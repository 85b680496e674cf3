"""Inbox and outbox: what makes a command's effect exactly one.

The inbox row of a command, its change and its outbox rows are written in ONE transaction. A repeat finds the
row and is answered from it. What was committed is published, by the process that committed it or, after a
crash, by whichever process finds the row old. The forms for each kind of store stand in `journal_*.py`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple, Protocol

from shared.amqp.content import BASIC, HEADER, LONG_LONG
from shared.amqp.fields import LONG, Table, encoded_fields, long_text, seconds, short
from shared.bus import Publisher
from shared.holding import Held
from shared.telemetry import OUTBOX_AGE, OUTBOX_ROWS

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""What a command is known by: its queue and its message id."""


class StoreAway(Exception):
    """The store cannot be reached at the moment. No attempt is charged to anybody."""


class Conflict(Exception):
    """Two transactions were in each other's way; nothing was written, and it can be repeated at once."""


class Outcome(NamedTuple):
    """How a command ended, as the inbox keeps it. `answer` is the JSON that whoever asked gets.

    `versions`: what else it brought to a new version, as JSON by address; null for too much to tell.
    """

    ending: Literal["done", "refused", "failed"]
    answer: bytes
    fingerprint: bytes
    versions: str = "{}"


class Settled(NamedTuple):
    """A command that ended in this batch, with what the inbox is to remember of it."""

    queue: str
    message_id: str
    actor: str
    outcome: Outcome


class Said(NamedTuple):
    """An event on its way out, as the outbox keeps it; or a command, which has no exchange but its queue.

    `id`: a UUIDv7 as text, in which form it travels.
    """

    id: str
    exchange: str
    routing_key: str
    type: str
    conversation: str
    causation: str
    traceparent: str
    body: bytes
    said_at: datetime

    @property
    def is_command(self) -> bool:
        return self.exchange == ""

    @property
    def identity(self) -> dict[str, Any]:
        """What every log line about it says first; `causation` is the message that it was said by."""
        return {
            "message": self.type,
            "message_id": self.id,
            "conversation": self.conversation,
            "causation": self.causation,
        }


class Noted(NamedTuple):
    """What the inbox has of a command, whether it has ended or not."""

    ending: str | None
    answer: bytes | None
    attempt: int
    due_at: datetime | None
    error: str | None
    versions: str


async def at_once() -> None:
    """The store is free."""


class Transaction(Protocol):
    """One batch's transaction. `writes` counts what the stores wrote; their own methods are their own."""

    writes: int

    def next_message(self) -> None:
        """What is written from here on is another message's."""

    async def find(self, keys: Sequence[Key]) -> Mapping[Key, Outcome]:
        """The outcomes of those of the commands that have ended before."""

    async def look_up(self, key: Key) -> Noted | None:
        """What the inbox has of one command, if anything."""

    async def conclude(self, settled: Sequence[Settled], said: Sequence[Said], *, last: bool = False) -> None:
        """Write inbox and outbox. `Conflict` if another process has ended one of the commands meanwhile.

        `last`: nothing but the commit comes after it, which a store may join to it.
        """


class Journal(Protocol):
    """A service's inbox and outbox in its own store."""

    async def migrate(self) -> None:
        """Bring the store's schema up to date. Started by several processes at once, it runs once.

        StoreAway where it cannot be reached or lets nobody in.
        """

    async def open(self) -> None:
        """Get ready, at the start of a process. StoreAway where waiting would not help."""

    async def close(self) -> None:
        """Give the connections back."""

    def transaction(
        self, *, contended: bool = False, turn: Callable[[], Awaitable[None]] = at_once
    ) -> AbstractAsyncContextManager[Transaction]:
        """Committed at the end, rolled back on an error; `StoreAway` and `Conflict` as they happen.

        `turn` is awaited before it touches the store: the later that is, the more is done meanwhile.
        """

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        """A connection for queries, outside any batch."""

    async def probe(self) -> None:
        """Ask the store something trivial, at most 2 s; `StoreAway` if it does not answer."""

    async def note_start(self, key: Key, actor: str, by: int = 1) -> int:
        """Count that a redelivered message begins to run; how often it has. 0 if it is done or refused.

        By 0 it only tells, by -1 it takes a start back.
        """

    async def note_attempt(self, key: Key, actor: str, attempt: int, due: datetime, error: str) -> None:
        """Remember that a command broke and when it is tried again."""

    async def clear(self, ids: Sequence[str]) -> None:
        """Forget events whose publishing was confirmed."""

    async def stranded(self, older_than: timedelta) -> list[Said]:
        """About 500 events that nobody has cleared since, the oldest first; others get them later."""

    async def backlog(self) -> tuple[int, float]:
        """How many events there are, and the age of the oldest in seconds."""

    async def purge(self, keep: timedelta) -> None:
        """Forget inbox rows older than that, in chunks."""


async def keep_doing(housekeeping: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Again and again, so many seconds apart; while the store is away it can wait."""
    while True:
        try:
            await housekeeping()
        except (StoreAway, Conflict) as error:
            log.debug("%s waits: %r", housekeeping, error)
        await asyncio.sleep(seconds)


class Outbox:
    """Publishes what was committed, and clears what is known to have arrived."""

    CLEAR_EVERY = 0.2
    RELAY_EVERY = 2.0
    STRANDED_AFTER = timedelta(seconds=5)

    def __init__(self, journal: Journal, publisher: Publisher, service: str):
        self.journal = journal
        self.publisher = publisher
        self.service = service
        self.arrived: list[str] = []
        self.under_way: set[str] = set()
        """Held or sent here, and neither confirmed nor given up: not to be sent again."""
        self.held = Held(self._publish)
        self.clearing = asyncio.Lock()

    def send(self, said: Sequence[Said], *, at_once: bool = False) -> None:
        """Publish events soon and with others, commands at once.

        Each row is cleared some time after the broker has confirmed it.
        """
        self.under_way.update(event.id for event in said)
        self.held.add(said, at_once=at_once or any(event.is_command for event in said))

    def leave_now(self) -> None:
        """Publish what is held, if anything."""
        self.held.leave()

    def _publish(self, said: Sequence[Said]) -> None:
        for event in said:
            envelope = Envelope(event, self.service, self.publisher.user)
            message = event.exchange, event.routing_key, event.body, envelope
            self.publisher.send(*message, partial(self._note, event.id), mandatory=event.is_command)

    def _note(self, event: str, error: Exception | None) -> None:
        self.under_way.discard(event)
        if error is None:
            self.arrived.append(event)

    async def clear(self) -> None:
        async with self.clearing:
            arrived, self.arrived = self.arrived, []
            if not arrived:
                return
            try:
                await self.journal.clear(arrived)
            except (StoreAway, Conflict):
                self.arrived += arrived

    async def relay(self) -> None:
        """Send what a crash, a lost connection or an unconfirmed publish left behind."""
        rows, age = await self.journal.backlog()
        OUTBOX_ROWS.set(rows)
        OUTBOX_AGE.set(age)
        if age < self.STRANDED_AFTER.total_seconds() or not self.publisher.connected:
            return
        stranded = await self.journal.stranded(self.STRANDED_AFTER)
        late = [event for event in stranded if event.id not in self.under_way]
        for event in late:
            log.warning("sent late", extra={"fields": event.identity})
        self.send(late, at_once=True)


class Envelope:
    """The properties of what a service says, put together by hand: a busy process sends thousands a second,
    and most of each is the same.

    CloudEvents 1.0 attributes have the names of its AMQP binding, which is written for AMQP 1.0.
    """

    __slots__ = ("said", "service", "user")

    def __init__(self, said: Said, service: str, user: str):
        self.said = said
        self.service = service
        self.user = user

    @property
    def message_id(self) -> str:
        return self.said.id

    def header(self, size: int) -> bytes:
        said = self.said
        headers, behind = _in_common(self.service, self.user, said.exchange, said.routing_key, said.type)
        headers += long_text(said.causation)
        if not said.is_command:
            headers += _TIME + long_text(said.said_at.isoformat()) + _ID + long_text(said.id)
        if said.traceparent:
            headers += encoded_fields({"traceparent": said.traceparent})
        ahead = HEADER.pack(BASIC, 0, size, _HAS) + _JSON + LONG.pack(len(headers))
        ids = short(said.conversation) + short(said.id)
        return b"".join((ahead, headers, _PERSISTENT, ids, LONG_LONG.pack(seconds(said.said_at)), behind))


_HAS = 0b1011_0100_1111_1000
"""Content type, headers, delivery mode, correlation id, message id, timestamp, type, user id, app id."""
_JSON, _PERSISTENT = short("application/json"), b"\x02"
_CAUSATION, _ID, _TIME = map(short, ("causation-id", "cloudEvents_id", "cloudEvents_time"))


@lru_cache(1024)
def _in_common(service: str, user: str, exchange: str, routing_key: str, kind: str) -> tuple[bytes, bytes]:
    """The headers of all of a kind, up to the first that differs, and what follows after the timestamp."""
    headers: Table = {"actor": service}  # a command, sent in the service's own name
    if exchange:
        headers = {
            "cloudEvents_specversion": "1.0",
            "cloudEvents_source": f"/{service}",
            "cloudEvents_type": routing_key,
        }
    return encoded_fields(headers) + _CAUSATION, short(kind) + short(user) + short(service)
