"""Mixed commands with known ids, by every way in; each is repeated until its fate is known.

Accepted is what was answered with 2xx or confirmed by the broker. A 5xx and a lost connection say nothing:
the command is sent again with its key, and must end as one effect. What had no key of its own takes the one
that its 5xx names; after a lost connection it has none, so it may have happened, once.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random
from time import monotonic
from typing import Any, Literal

import aio_pika
import httpx2
from aiormq.exceptions import AMQPError

from tests.faults.stage import ORGANIZATION, Stage

Kind = Literal["task", "waste", "text"]
Way = Literal["awaited", "keyed", "async", "queue"]
QUEUES: dict[Kind, str] = {
    "task": "tasks.create_task",
    "waste": "waste.generate_waste",
    "text": "texts.submit_text",
}
PATHS: dict[Kind, str] = {
    "task": "/tasks",
    "waste": f"/waste/organizations/{ORGANIZATION}/waste",
    "text": "/texts",
}
ANSWERS = "accountant.answers"
"""Where what is published carefully has its answers sent."""
UNKNOWN_AT_MOST_SECONDS = 120.0
BURST = 250
_amounts = count(1)


@dataclass(eq=False)
class Fact:
    """One command: by what it is known in the stores and in events, and what its sender knows of it."""

    kind: Kind
    label: str
    accepted: bool = False
    fate_known: bool = False
    asked: bool = False
    """It went into a queue, and an answer was asked for."""
    gave_up: bool = False
    """Its connection was lost, and it had no key under which it could be sent again."""
    operation: str = ""
    said: str = ""
    """What its operation said in the end, unless that is an answer."""
    ids: set[str] = field(default_factory=set)
    """What its effect is called in the answers: more than one is a doubled effect."""

    @property
    def body(self) -> dict[str, Any]:
        if self.kind == "task":
            return {"title": self.label}
        if self.kind == "waste":
            return {"amounts": {"glass": self.label}}
        return {"title": self.label, "text": f"A text called {self.label}. It has two sentences."}

    @property
    def message(self) -> dict[str, Any]:
        """The command as it is typed into its queue."""
        return self.body | ({"organization": ORGANIZATION} if self.kind == "waste" else {})


class Load:
    """What was sent during one fault, and what came of it as far as senders can tell."""

    def __init__(self, stage: Stage, name: str, seed: int, pause: float = 0.05):
        self.stage = stage
        self.name = name
        self.random = Random(seed)
        self.pause = pause
        self.facts: list[Fact] = []
        self.accepted = 0
        self.statuses: Counter[int] = Counter()
        self.refused: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        """What left the outcome open, in words."""
        self.slowest_503 = 0.0
        self.stopped = False

    def new(self, kind: Kind | None = None) -> Fact:
        """A command that nobody has sent before. Texts are the slowest to do, so they are the fewest."""
        kind = kind or self.random.choices(("task", "waste", "text"), (20, 10, 1))[0]
        number = len(self.facts)
        label = f"{next(_amounts) / 1000:.3f}" if kind == "waste" else f"{self.name}.{number}"
        fact = Fact(kind, label)
        self.facts.append(fact)
        return fact

    async def by_rest(self, way: Way) -> None:
        async with self.stage.http() as http:
            while not self.stopped:
                await self._until_known(http, self.new(), way)
                await asyncio.sleep(self.pause * self.random.uniform(0.5, 1.5))

    async def _until_known(self, http: httpx2.AsyncClient, fact: Fact, way: Way) -> None:
        headers = {} if way == "awaited" else {"idempotency-key": f'"{fact.label}"'}
        if way == "async":
            headers["prefer"] = "respond-async"
        end = monotonic() + UNKNOWN_AT_MOST_SECONDS
        while not fact.fate_known and monotonic() < end:
            began = monotonic()
            try:
                answer = await http.post(PATHS[fact.kind], json=fact.body, headers=headers)
            except httpx2.TransportError as error:
                self.unknown[repr(error)] += 1
                if "idempotency-key" not in headers:
                    fact.gave_up = True
                    return
                await asyncio.sleep(0.1)
                continue
            self._note(fact, answer, monotonic() - began)
            if not fact.fate_known:
                headers["idempotency-key"] = answer.headers.get("idempotency-key", f'"{fact.label}"')
                await asyncio.sleep(0.1)

    def _note(self, fact: Fact, answer: httpx2.Response, seconds: float) -> None:
        self.statuses[answer.status_code] += 1
        if answer.is_success:
            self._accept(fact)
            self._take_id(fact, answer)
        elif answer.is_server_error:
            if answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
                self.slowest_503 = max(self.slowest_503, seconds)
            self.unknown[f"{answer.status_code} {answer.text[:200]}"] += 1
        else:
            fact.fate_known = True
            self.refused[f"{answer.status_code} {answer.text[:200]}"] += 1

    @staticmethod
    def _take_id(fact: Fact, answer: httpx2.Response) -> None:
        place = answer.headers.get("location", "")
        if place.startswith("/operations/"):
            fact.operation = place
        else:
            fact.ids.add(answer.json()["id"])

    async def by_queue(self) -> None:
        """As a careful AMQP program does it: what was not confirmed goes again under its message id."""
        unconfirmed: Fact | None = None
        while not self.stopped or unconfirmed:
            try:
                async with await aio_pika.connect(self.stage.any_broker_url(), timeout=5) as connection:
                    channel = await connection.channel(on_return_raises=True)
                    while not self.stopped or unconfirmed:
                        unconfirmed = unconfirmed or self.new()
                        await self.publish(channel, unconfirmed, reply_to=ANSWERS)
                        unconfirmed = None
                        await asyncio.sleep(self.pause * self.random.uniform(0.5, 1.5))
            except (AMQPError, OSError, RuntimeError, TimeoutError, asyncio.CancelledError):
                if (task := asyncio.current_task()) and task.cancelling():
                    raise  # aiormq cancels what waits for a lost connection, too
                await asyncio.sleep(0.2)

    async def publish(
        self,
        channel: aio_pika.abc.AbstractChannel,
        fact: Fact,
        seconds: float = 5,
        reply_to: str | None = None,
    ) -> None:
        """Publish once, persistent, mandatory and confirmed, under the label as message id."""
        message = aio_pika.Message(
            json.dumps(fact.message).encode(),
            message_id=fact.label,
            correlation_id=fact.label,
            reply_to=reply_to,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        async with asyncio.timeout(seconds):
            await channel.default_exchange.publish(message, QUEUES[fact.kind], mandatory=True)
        fact.asked = fact.asked or bool(reply_to)
        self._accept(fact)

    async def repeat(self, facts: Iterable[Fact]) -> None:
        """What was done, under its id again, to have its answer."""
        async with await aio_pika.connect(self.stage.any_broker_url()) as connection:
            channel = await connection.channel(on_return_raises=True)
            await asyncio.gather(*(self.publish(channel, fact, 30, ANSWERS) for fact in facts))

    def _accept(self, fact: Fact) -> None:
        self.accepted += not fact.accepted
        fact.accepted = fact.fate_known = True

    async def burst(self, number: int, kind: Kind | None = None) -> list[Fact]:
        """So many at once by queue, each until it is confirmed."""
        facts = [self.new(kind) for _ in range(number)]
        await self.send(facts)
        return facts

    async def send(self, facts: list[Fact]) -> None:
        """By queue, so many at a time, each until it is confirmed."""
        while waiting := [fact for fact in facts if not fact.accepted]:
            with suppress(AMQPError, OSError, RuntimeError, TimeoutError):
                async with await aio_pika.connect(self.stage.any_broker_url(), timeout=5) as connection:
                    channel = await connection.channel(on_return_raises=True)
                    for begin in range(0, len(waiting), BURST):
                        part = waiting[begin : begin + BURST]
                        await asyncio.gather(*(self.publish(channel, fact, 30) for fact in part))

    async def ask_operations(self) -> None:
        """What was answered 202 is asked for its end, which names the id of its effect."""
        async with self.stage.http() as http:
            for fact in (fact for fact in self.facts if fact.operation and not fact.ids):
                answer = await http.get(fact.operation, follow_redirects=False)
                fact.said = answer.json()["state"] if answer.is_success else str(answer.status_code)
                if fact.said == "done":
                    fact.ids.add(answer.json()["answer"]["id"])

    def take_answers(self, answers: dict[str, list[dict[str, Any]]]) -> None:
        """What came back to queues, by label: there may be several, of one id."""
        for fact in self.facts:
            for answer in answers.pop(fact.label, []):
                if "id" in answer:
                    fact.ids.add(answer["id"])
                else:
                    self.refused[f"by queue {json.dumps(answer)[:200]}"] += 1


async def publish_undecodable(stage: Stage, ids: Iterable[str], queue: str = QUEUES["task"]) -> None:
    """What nobody can read, and for whose answer nobody waits, under each of these message ids; confirmed."""
    kept = aio_pika.DeliveryMode.PERSISTENT
    messages = [aio_pika.Message(b"{", message_id=one, delivery_mode=kept) for one in ids]
    async with await aio_pika.connect(stage.any_broker_url()) as connection:
        exchange = (await connection.channel(on_return_raises=True)).default_exchange
        await asyncio.gather(*(exchange.publish(one, queue, mandatory=True) for one in messages))


@asynccontextmanager
async def load(stage: Stage, name: str, seed: int, least: int, workers: int = 6) -> AsyncIterator[Load]:
    """Runs while the block does, and until `least` more are accepted before it and after it."""
    made = Load(stage, name, seed)
    ways: list[Way] = ["awaited", "keyed", "async"]
    tasks = [asyncio.create_task(made.by_rest(ways[n % 3])) for n in range(workers)]
    tasks += [asyncio.create_task(made.by_queue()) for _ in range(2)]
    try:
        await _accepted(made, least, tasks)
        yield made
        await _accepted(made, made.accepted + least, tasks)
        made.stopped = True
        await asyncio.wait_for(asyncio.gather(*tasks), UNKNOWN_AT_MOST_SECONDS + 40)
    finally:
        made.stopped = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _accepted(made: Load, number: int, tasks: list["asyncio.Task[None]"]) -> None:
    end = monotonic() + 90
    while made.accepted < number:
        for task in tasks:
            if task.done():
                task.result()
        assert monotonic() < end, f"only {made.accepted} of {number} accepted, {dict(made.statuses)}"
        await asyncio.sleep(0.05)
