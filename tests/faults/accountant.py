"""Compares what was accepted with effects in the stores, with events, and with answers.

Lost: accepted and without its effect, or an effect that no event told of. Doubled: two effects, two ids or
two different events for one fact; the same event delivered twice, under one id, is none.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import aio_pika

from shared.topology import KEPT
from tests.faults.load import Fact, Load
from tests.faults.stage import Stage

Known = tuple[str, str]
"""A kind and a label: what a fact is known by everywhere."""

QUEUE = "accountant"
UNACKNOWLEDGED = 500
FIGURES_SECONDS = 1.5
"""The page's figures may be a second old."""
SETTLED_WITHIN_SECONDS = 120.0
TOLD_BY = {
    "TaskCreated": "task",
    "WasteGenerated": "waste",
    "TextSubmitted": "text submitted",
    "TextProcessed": "text",
}


@dataclass
class Verdict:
    """`lost` and `doubled` say of each fact what is wrong."""

    accepted: int = 0
    effects: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)

    def lost_beside(self, forgiven: AbstractSet[str]) -> list[str]:
        """What is lost of other kinds."""
        return [one for one in self.lost if not one.startswith(tuple(f"('{kind}'" for kind in forgiven))]


def judge(
    facts: Iterable[Fact], effects: Mapping[Known, list[str]], events: Mapping[Known, set[str]]
) -> Verdict:
    """`effects`: ids in the stores; `events`: ids of different events, both by what facts are known by."""
    verdict = Verdict()
    for fact in facts:
        known = (fact.kind, fact.label)
        found, told = effects.get(known, []), events.get(known, set())
        verdict.accepted += fact.accepted
        verdict.effects += len(found)
        if fact.accepted and not found:
            verdict.lost.append(f"{known}: accepted, and nothing in the store")
        elif found and not told:
            verdict.lost.append(f"{known}: an effect that no event told of")
        if len(found) > 1 or len(fact.ids | set(found)) > 1:
            verdict.doubled.append(f"{known}: {found} in the store, {sorted(fact.ids)} in answers")
        if len(told) > 1:
            verdict.doubled.append(f"{known}: {len(told)} different events")
    return verdict


class Accountant:
    """Hears all events from its beginning, in a queue of its own that outlives everything."""

    def __init__(self, stage: Stage):
        self.stage = stage
        self.events: dict[Known, set[str]] = {}
        self.hearing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        binding = {"routing_key": "#"}
        declared = {"durable": True, "arguments": KEPT}
        await self.stage.management("PUT", f"/api/queues/{{vhost}}/{QUEUE}", json=declared)
        await self.stage.management("POST", f"/api/bindings/{{vhost}}/e/events/q/{QUEUE}", json=binding)
        self.hearing = asyncio.create_task(self._hear())

    async def close(self) -> None:
        if self.hearing:
            self.hearing.cancel()
            await asyncio.gather(self.hearing, return_exceptions=True)

    async def _hear(self) -> None:
        while True:
            try:
                async with await aio_pika.connect(self.stage.any_broker_url(), timeout=5) as connection:
                    await self._hear_from(connection)
            except Exception:  # whatever a broken broker brings: all is delivered again
                await asyncio.sleep(0.3)

    async def _hear_from(self, connection: aio_pika.abc.AbstractConnection) -> None:
        """Until the connection is lost. Acknowledged together, since events are as many as commands."""
        channel = await connection.channel()
        await channel.set_qos(UNACKNOWLEDGED)
        queue = await channel.get_queue(QUEUE)
        heard: list[aio_pika.abc.AbstractIncomingMessage] = []

        async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            self._note(message)
            heard.append(message)

        await queue.consume(hear)
        while not channel.is_closed:
            await asyncio.sleep(0.1)
            if heard:
                last = heard[-1]
                heard.clear()
                async with asyncio.timeout(5):
                    await last.ack(multiple=True)

    def _note(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        kind = TOLD_BY.get(message.type or "")
        if not kind:
            return
        body = json.loads(message.body)
        if kind == "task":
            label = body["task"]["title"]
        elif kind == "waste":
            label = f"{body['generation']['amounts'].get('glass', 0):.3f}"
        else:
            label = body["job"]["title"]
        self.events.setdefault((kind, label), set()).add(message.message_id or "")

    async def effects(self, name: str) -> dict[Known, list[str]]:
        """Straight from the stores: everything whose label begins with `name`, and all waste."""
        found: dict[Known, list[str]] = {}
        system, like = self.stage.system, f"{name}.%"
        for row in await system.fetch(
            "task_service", "SELECT title, id FROM tasks WHERE title LIKE $1", like
        ):
            found.setdefault(("task", row["title"]), []).append(str(row["id"]))
        for row in await system.fetch(
            "waste_service", "SELECT amount, generation FROM amounts WHERE kind = 'glass'"
        ):
            found.setdefault(("waste", f"{row['amount']:.3f}"), []).append(str(row["generation"]))
        query: dict[str, Any] = {"title": {"$regex": f"^{name}[.]"}, "status": "done"}
        for job in await system.documents("text_worker", "jobs", **query):
            found.setdefault(("text", job["title"]), []).append(str(job["_id"]))
        return found

    async def settle(self, load: Load, forgiven: AbstractSet[str]) -> Verdict:
        """The verdict, once all is done and told, or nothing has moved for two minutes.

        What is lost of `forgiven` kinds is told apart, and not waited for when no queue has it any more.
        """
        end, moved = monotonic() + SETTLED_WITHIN_SECONDS, None
        while monotonic() < end:
            if not (waiting := await self._waiting()):
                verdict = await self._verdict(load)  # which takes long where it is about many
                waiting = {"lost": len(verdict.lost_beside(forgiven))}
                if not waiting["lost"]:
                    await asyncio.sleep(FIGURES_SECONDS)
                    if not await self._waiting():
                        break
            if moved != (moved := (waiting, len(self.events))):
                end = monotonic() + SETTLED_WITHIN_SECONDS
            await asyncio.sleep(0.2)
        await load.ask_operations()
        return await self._verdict(load)

    async def unfinished(self, name: str) -> dict[str, int]:
        """What texts are, that are not done, with the reasons of those that failed."""
        query: dict[str, Any] = {"title": {"$regex": f"^{name}[.]"}, "status": {"$ne": "done"}}
        jobs = await self.stage.system.documents("text_worker", "jobs", **query)
        return dict(Counter(f"{job['status']} {job.get('reason') or ''}".strip() for job in jobs))

    async def _verdict(self, load: Load) -> Verdict:
        return judge(load.facts, await self.effects(load.name), self.events)

    async def _waiting(self) -> dict[str, int]:
        """How much is left in queues of work and in outboxes, by name."""
        queues = await self.stage.management("GET", "/api/queues/{vhost}?columns=name,messages")
        waiting = {
            one["name"]: one["messages"] for one in queues if is_work(one["name"]) and one.get("messages")
        }
        for service in ("task_service", "waste_service"):
            [left] = await self.stage.system.fetch(service, "SELECT count(*) AS rows FROM outbox")
            waiting |= {service: left["rows"]} if left["rows"] else {}
        return waiting


def is_work(queue: str) -> bool:
    """Whether somebody is to work off what lies in the queue."""
    return not queue.startswith(("dead_letters", "events.recent", "refused.recent", "probe.", "answers."))
