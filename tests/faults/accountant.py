"""Compares what was accepted with effects in the stores, with events, and with answers.

Lost: accepted and without its effect, an effect that no event told of, or an event of what nobody stored.
Doubled: two effects, two ids (in the store, in answers, in events) or two different events for one fact; the
same event delivered twice, under one id, is none. Left open: its sender never learned what became of it, got
no answer even when it sent it again, or its operation does not say that it is done.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any

import aio_pika

from shared.topology import KEPT
from tests.faults.load import ANSWERS, Fact, Kind, Load
from tests.faults.stage import Stage
from tests.system import eventually

Known = tuple[str, str]
"""A kind and a label: what a fact is known by everywhere."""
Told = tuple[str, str]
"""An event: its own id, and the id of what it tells of."""

QUEUE = "accountant"
WITNESS = "witness"
"""A queue that hears of every dead letter, and that nobody empties."""
UNACKNOWLEDGED = 500
FIGURES_SECONDS = 1.5
"""The page's figures may be a second old."""
SETTLED_WITHIN_SECONDS = 120.0
ANSWERED_WITHIN_SECONDS = 30.0
AMOUNTS_ASTRAY = """
    SELECT count(*) AS astray FROM amounts a
    LEFT JOIN (SELECT generation, kind, sum(amount) AS placed FROM placements GROUP BY 1, 2) p
        USING (generation, kind)
    LEFT JOIN (SELECT generation, kind, sum(amount) AS waits FROM waiting GROUP BY 1, 2) w
        USING (generation, kind)
    WHERE a.amount <> coalesce(placed, 0) + coalesce(waits, 0)"""
STORAGES_ASTRAY = """
    SELECT count(*) AS astray FROM capacities c
    LEFT JOIN (SELECT storage, kind, sum(amount) AS placed FROM placements GROUP BY 1, 2) p
        USING (storage, kind)
    WHERE c.stored <> coalesce(placed, 0)"""
SUBMITTED = "text submitted"
STEPS: dict[Kind, tuple[str, ...]] = {"task": ("task",), "waste": ("waste",), "text": (SUBMITTED, "text")}
"""What is stored and told of a fact: a text when it is taken and when it is counted."""
TOLD_BY = {
    "TaskCreated": ("task", "task"),
    "WasteGenerated": ("waste", "generation"),
    "TextSubmitted": (SUBMITTED, "job"),
    "TextProcessed": ("text", "job"),
}
"""The step that an event tells of, and where in it."""


@dataclass
class Verdict:
    """What is wrong, a line for a fact."""

    accepted: int = 0
    effects: int = 0
    lost: list[tuple[Known, str]] = field(default_factory=list)
    doubled: list[tuple[Known, str]] = field(default_factory=list)
    left_open: list[tuple[Known, str]] = field(default_factory=list)

    def lost_beside(self, forgiven: AbstractSet[Known]) -> list[tuple[Known, str]]:
        """What is lost of others."""
        return [one for one in self.lost if one[0] not in forgiven]


def judge(
    facts: Iterable[Fact], effects: Mapping[Known, list[str]], events: Mapping[Known, set[Told]]
) -> Verdict:
    """`effects`: ids in the stores; `events`: what different events told; both by step and label."""
    verdict = Verdict()
    for fact in facts:
        known = (fact.kind, fact.label)
        verdict.accepted += fact.accepted
        verdict.effects += len(effects.get(known, []))
        steps = [
            (effects.get((step, fact.label), []), events.get((step, fact.label), set()))
            for step in STEPS[fact.kind]
        ]
        for found, told in steps:
            if what := _lost(fact, found, told):
                verdict.lost.append((known, what))
                break
        for found, told in steps:
            if what := _doubled(fact, found, told):
                verdict.doubled.append((known, what))
                break
        if not fact.fate_known and not fact.gave_up:
            verdict.left_open.append((known, "its sender never learned what became of it"))
        elif steps[0][0] and fact.operation and not fact.ids:
            verdict.left_open.append((known, f"an effect, and its operation says {fact.said}"))
        elif steps[0][0] and fact.asked and not fact.ids:
            verdict.left_open.append((known, "an effect, and no answer in its sender's queue"))
    return verdict


def _lost(fact: Fact, found: list[str], told: set[Told]) -> str:
    if fact.accepted and not found:
        return "accepted, and nothing in the store"
    if found and not told:
        return "an effect that no event told of"
    return "told of by an event, and nothing in the store" if told and not found else ""


def _doubled(fact: Fact, found: list[str], told: set[Told]) -> str:
    subjects = {subject for _, subject in told}
    if len(found) > 1 or len(fact.ids | set(found) | subjects) > 1:
        return f"{found} in the store, {sorted(fact.ids)} in answers, {sorted(subjects)} in events"
    different = len({event for event, _ in told})
    return f"{different} different events" if different > 1 else ""


class Accountant:
    """Hears all events and answers from its beginning, in queues of its own that outlive everything."""

    def __init__(self, stage: Stage):
        self.stage = stage
        self.events: dict[Known, set[Told]] = {}
        self.answers: dict[str, list[dict[str, Any]]] = {}
        """What was answered to commands in queues, by label."""
        self.hearing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        declared = {"durable": True, "arguments": KEPT}
        for queue in (QUEUE, ANSWERS):
            await self.stage.management("PUT", f"/api/queues/{{vhost}}/{queue}", json=declared)
        binding = {"routing_key": "#"}
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
        heard: list[aio_pika.abc.AbstractIncomingMessage] = []

        async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            self._note(message)
            heard.append(message)

        for queue in (QUEUE, ANSWERS):
            await (await channel.get_queue(queue)).consume(hear)
        while not channel.is_closed:
            await asyncio.sleep(0.1)
            if heard:
                last = heard[-1]
                heard.clear()
                async with asyncio.timeout(5):
                    await last.ack(multiple=True)

    def _note(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        if message.routing_key == ANSWERS:
            self.answers.setdefault(message.correlation_id or "", []).append(json.loads(message.body))
            return
        step, where = TOLD_BY.get(message.type or "", ("", ""))
        if not step:
            return
        subject = json.loads(message.body)[where]
        label = f"{subject['amounts'].get('glass', 0):.3f}" if step == "waste" else subject["title"]
        self.events.setdefault((step, label), set()).add((message.message_id or "", str(subject["id"])))

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
        query: dict[str, Any] = {"title": {"$regex": f"^{name}[.]"}}
        for job in await system.documents("text_worker", "jobs", **query):
            for step in (SUBMITTED, "text") if job["status"] == "done" else (SUBMITTED,):
                found.setdefault((step, job["title"]), []).append(str(job["_id"]))
        return found

    async def tasks(self, facts: Iterable[Fact]) -> int:
        """How many tasks these came to so far."""
        titles = [fact.label for fact in facts]
        query = "SELECT count(*) AS tasks FROM tasks WHERE title = ANY($1)"
        [row] = await self.stage.system.fetch("task_service", query, titles)
        return int(row["tasks"])

    async def deaths(self, ids: Collection[str]) -> dict[str, int]:
        """How often each of these messages died, as the desk knows it."""
        query = "SELECT message_id, deaths FROM letters WHERE message_id = ANY($1)"
        rows = await self.stage.system.fetch("desk_service", query, list(ids))
        found: Counter[str] = Counter()
        for row in rows:
            found[row["message_id"]] += row["deaths"]
        return found

    async def died_besides(self, meant: Collection[str], since: datetime) -> list[str]:
        """What else became a dead letter since then, with its reason."""
        query = """SELECT queue, message_id, reason FROM letters
                   WHERE first_died_at >= $1 AND NOT message_id = ANY($2) LIMIT 3"""
        rows = await self.stage.system.fetch("desk_service", query, since, list(meant))
        return [f"{row['queue']} {row['message_id']}: {row['reason']}"[:200] for row in rows]

    async def died(self, ids: Collection[str]) -> bool:
        """Whether all of them did."""
        return len(await self.deaths(ids)) == len(ids)

    async def all_failed(self, ids: Collection[str]) -> bool:
        """Whether task_service knows of all these commands that they were given up."""
        query = "SELECT count(*) AS failed FROM inbox WHERE outcome = 'failed' AND message_id = ANY($1)"
        [row] = await self.stage.system.fetch("task_service", query, list(ids))
        return bool(row["failed"] == len(ids))

    async def settle(self, load: Load, forgiven: AbstractSet[Known]) -> Verdict:
        """The verdict, once all is done and told, or nothing has moved for two minutes.

        What is lost of `forgiven` is told apart, and not waited for when no queue has it any more.
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
        await self._have_answers(load)
        load.take_answers(self.answers)
        return await self._verdict(load)

    async def _have_answers(self, load: Load) -> None:
        """Whoever missed one sends the command again, under its id."""
        effects = await self.effects(load.name)

        def missing() -> list[Fact]:
            asked = (fact for fact in load.facts if fact.asked and fact.label not in self.answers)
            return [fact for fact in asked if (STEPS[fact.kind][0], fact.label) in effects]

        async def all_there() -> bool:
            return not missing()

        if facts := missing():
            await load.repeat(facts)
            with suppress(AssertionError):  # the verdict tells
                await eventually(all_there, "all that was repeated is answered", ANSWERED_WITHIN_SECONDS)

    async def mass(self) -> str:
        """What is wrong with waste: all is placed or waits, and a storage holds what was placed in it."""
        [amounts] = await self.stage.system.fetch("waste_service", AMOUNTS_ASTRAY)
        [storages] = await self.stage.system.fetch("waste_service", STORAGES_ASTRAY)
        found = {"amounts": amounts["astray"], "storages": storages["astray"]}
        return f"mass is not conserved: {found}" if any(found.values()) else ""

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
        for service in ("task_service", "waste_service", "desk_service"):
            [left] = await self.stage.system.fetch(service, "SELECT count(*) AS rows FROM outbox")
            waiting |= {service: left["rows"]} if left["rows"] else {}
        if said := await self.stage.system.documents("text_worker", "outbox"):
            waiting["text_worker"] = len(said)
        return waiting


def is_work(queue: str) -> bool:
    """Whether somebody is to work off what lies in the queue."""
    return not queue.startswith((WITNESS, "events.recent", "refused.recent", "probe.", "answers."))
