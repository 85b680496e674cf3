"""Asking over the broker and waiting for the answer, any number at a time.

Questions leave on the publishing connection, answers come to an exclusive queue on a connection of its own
(direct reply-to drops answers under load). A command that was sent and not answered may have been done: it is
sent again under the same id when a lost connection is back, and whoever gave up can do the same later.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
from pamqp.commands import Queue
from uuid_utils import uuid4

from shared.amqp.channel import Channel
from shared.amqp.connection import Connection
from shared.amqp.content import Incoming, Properties, Unsendable
from shared.amqp.errors import ConnectionLost
from shared.amqp.fields import Table
from shared.amqp.link import Link
from shared.bus import (
    CONFIRM_SECONDS,
    PROBE_SECONDS,
    BrokerAway,
    Publisher,
    Unconfirmed,
    Undelivered,
    Unroutable,
    retrieve,
)
from shared.handling import EVERYBODY
from shared.messages import Command, Invalid, Refusal, Request, Unavailable

log = logging.getLogger(__name__)


class OutcomeUnknown(Refusal):
    """The broker did not confirm the command. It may have been done; repeat it under its message id."""

    code = "outcome_unknown"


class NotAnsweredYet(Exception):
    """The broker has taken the command, and its owner has not answered in time: it will be done."""


class AnswersLost(Exception):
    """The connection that answers come by was lost while they were awaited."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as it came: JSON, and whether the command had been answered with it before.

    `versions`: what else the command brought to a new version, by address; None for more than can be told.
    """

    body: bytes
    repeated: bool
    visible_to: tuple[str, ...]
    versions: dict[str, int] | None

    @classmethod
    def of(cls, message: Incoming) -> "Answered":
        headers = message.headers
        return cls(
            message.body,
            "repeated" in headers,
            tuple(headers.get("visible-to", EVERYBODY)),
            orjson.loads(headers["versions"]) if "versions" in headers else {},
        )


class RequestClient:
    """A process's questions and their answers, matched by correlation id.

    `also` is called with each new channel that answers are heard on, to hear something else there too.
    """

    def __init__(self, url: str, publisher: Publisher, also: Callable[[Channel], Awaitable[None]]):
        self.publisher = publisher
        self.also = also
        self.link = Link(url, f"{publisher.process} hears", self._opened, self._lost)
        self.queue = f"answers.{publisher.process}.{uuid4().hex[:8]}"
        self.awaited: dict[str, asyncio.Future[Incoming]] = {}

    @property
    def hears(self) -> bool:
        return self.link.connection is not None

    async def ask(
        self,
        request: Request[Any],
        *,
        actor: str,
        wait: float,
        message_id: str | None = None,
        conversation: str | None = None,
        traceparent: str = "",
        queue: str = "",
    ) -> Answered:
        """The answer, or what it was refused with.

        `Unavailable`: nothing was done (the broker is away, or nobody has a queue for it). For commands
        `NotAnsweredYet` when `wait` seconds are over (with none always, once the broker has it),
        `OutcomeUnknown` when not even the broker confirmed. `queue` where the contract leaves the owner open.
        `conversation`: the correlation id of this question alone, also when it is sent again.
        """
        ids = message_id or uuid4().hex, conversation or uuid4().hex
        until = self.publisher.loop.time() + (wait or CONFIRM_SECONDS)
        question = _Question(request, queue or request.queue, actor, wait, until, *ids, traceparent)
        try:
            message = await self._persist(question)
        except (TimeoutError, Unconfirmed, Undelivered) as error:
            raise _unanswered(question) from error
        if not wait:
            raise NotAnsweredYet(question.message_id)  # an answer that overtook the confirmation proves it
        answered = Answered.of(message)
        if message.type == "Refusal":
            raise _refusal(answered)
        return answered

    async def probe(self) -> None:
        """Ask oneself: both connections work, or `Unconfirmed`."""
        if self.link.connection is None:
            raise BrokerAway("answers could not be heard")
        name = uuid4().hex
        heard = self._await(name)
        heard.add_done_callback(retrieve)  # both may fail, and only one is waited for
        properties = Properties(message_id=name, correlation_id=name)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self.publisher.publish("", self.queue, b"", properties, mandatory=True)
                await heard
        except (TimeoutError, AnswersLost, Undelivered) as error:
            raise Unconfirmed(f"a probe was not heard: {error!r}") from error
        finally:
            self._await_no_more(name)

    def _await(self, correlation_id: str) -> "asyncio.Future[Incoming]":
        answered = self.awaited[correlation_id] = self.publisher.loop.create_future()
        return answered

    def _await_no_more(self, correlation_id: str) -> None:
        """What comes later finds it done, and fails nothing that nobody waits for."""
        self.awaited.pop(correlation_id).cancel()

    async def _persist(self, question: "_Question") -> Incoming:
        """Send until answered. Only what was never sent is known to have had no effect."""
        sent = False
        while True:
            try:
                return await self._send_and_wait(question)
            except Unroutable as error:
                if not sent:
                    raise Unavailable(f"Nobody serves {question.queue}; is its service set up?") from error
            except Unsendable as error:
                raise Invalid(f"{type(question.request).__name__} cannot be sent: {error}.") from error
            except BrokerAway as error:
                if not sent:
                    raise Unavailable("The message broker cannot be reached; try again shortly.") from error
            except (AnswersLost, Unconfirmed):
                sent = True
            if self.publisher.blocked:
                raise TimeoutError  # an alarm may last for hours
            async with asyncio.timeout_at(question.until):
                await asyncio.sleep(0.05)
                await self.link.back.wait()
                await self.publisher.link.back.wait()

    async def _send_and_wait(self, question: "_Question") -> Incoming:
        """One future for all that may come, so that one turn of the loop suffices: answer, error, time."""
        if self.link.connection is None:
            raise BrokerAway("answers could not be heard")
        answered = self._await(question.conversation)
        timer = answered.get_loop().call_at(question.until, _fail, answered, TimeoutError())
        how: Any = {"mandatory": True, "waiting": answered, "hurried": True, "alone": len(self.awaited) == 1}
        try:
            message = "", question.queue, question.request.to_json(), self._properties(question)
            self.publisher.send(*message, partial(question.note_sent, answered), **how)
            return await answered
        finally:
            timer.cancel()
            self._await_no_more(question.conversation)
            del answered, how  # its error knows this frame, which would know its error

    def _properties(self, question: "_Question") -> Properties:
        durable = isinstance(question.request, Command)
        headers: Table = {"actor": question.actor}
        if question.traceparent:
            headers["traceparent"] = question.traceparent
        return Properties(
            content_type="application/json",
            delivery_mode=2 if durable else 1,
            expiration=None if durable else str(int(question.wait * 1000)),
            message_id=question.message_id,
            correlation_id=question.conversation,
            reply_to=self.queue,
            timestamp=datetime.now(UTC),
            type=type(question.request).__name__,
            app_id=self.publisher.process,
            user_id=self.publisher.user,
            headers=headers,
        )

    async def _opened(self, connection: Connection) -> None:
        channel = await connection.channel(vital=True)
        await channel.call(Queue.Declare(queue=self.queue, exclusive=True, auto_delete=True))
        gone = partial(connection.drop, ConnectionLost("the queue of answers is gone"))
        name = self.publisher.process
        await channel.consume(self.queue, self._heard, name=name, cancelled=gone, no_ack=True)
        await self.also(channel)

    def _lost(self) -> None:
        for answered in self.awaited.values():
            _fail(answered, AnswersLost())

    def _heard(self, message: Incoming) -> None:
        answered = self.awaited.get(message.correlation_id or "")
        if answered and not answered.done():
            answered.set_result(message)


@dataclass(slots=True)
class _Question:
    request: Request[Any]
    queue: str
    actor: str
    wait: float
    until: float
    message_id: str
    conversation: str
    traceparent: str
    confirmed: bool = False

    def note_sent(self, answered: "asyncio.Future[Incoming]", error: Exception | None) -> None:
        """What the broker says of it, which may come behind the answer."""
        if error:
            _fail(answered, error)
        else:
            self.confirmed = True
            if not self.wait:
                _fail(answered, TimeoutError())


def _refusal(answered: Answered) -> Refusal:
    """Made here, so that no frame of its traceback knows it: what is in a cycle stays for long."""
    refusal = Refusal.from_json(answered.body)
    refusal.repeated = answered.repeated
    return refusal


def _fail(answered: "asyncio.Future[Incoming]", error: Exception) -> None:
    if not answered.done():
        answered.set_exception(error)


def _unanswered(question: _Question) -> Exception:
    name = type(question.request).__name__
    if not isinstance(question.request, Command):
        return Unavailable(f"{name} was not answered in time; try again.")
    if question.confirmed:
        return NotAnsweredYet(question.message_id)
    return OutcomeUnknown(
        f"The broker did not confirm {name}. It may be done, or not: repeat it with the same key."
    )
