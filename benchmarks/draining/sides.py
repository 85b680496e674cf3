"""Who drains tasks here, and how each is started: one process that works, on a table of its own."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aio_pika

from benchmarks.backlog import Drained
from benchmarks.bench import Bench
from benchmarks.environments import python_of
from benchmarks.programs import outcome_of, program
from benchmarks.tasks.contenders import make_table
from infra.local.processes import Process
from tests.system import eventually

SECONDS = 60


@dataclass
class Side:
    """A contender: its queue, its schema, the message that stands for all, and what its rounds found."""

    name: str
    queue: str
    schema: str
    template: aio_pika.Message
    identity: str
    start: Callable[[], Process]
    drained: list[Drained] = field(default_factory=list)

    @property
    def is_ours(self) -> bool:
        return self.schema == "public"

    def messages(self, count: int) -> list[aio_pika.Message]:
        return [copy_of(self.template, self.identity) for _ in range(count)]


@dataclass(frozen=True)
class Peer:
    name: str
    queue: str
    arguments: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def module(self) -> str:
        return f"benchmarks.draining.{self.name}_jobs"


PEERS = (
    Peer(
        "celery",
        queue="celery",
        arguments=(
            *("celery", "--app=benchmarks.draining.celery_jobs", "worker", "--pool=threads"),
            *("--concurrency=16", "--loglevel=WARNING", "--without-gossip", "--without-mingle"),
        ),
    ),
    Peer(
        "dramatiq",
        queue="default",
        arguments=("dramatiq", "benchmarks.draining.dramatiq_jobs", "--processes=1", "--threads=16"),
        settings={"dramatiq_queue_prefetch": "256"},
    ),
    Peer(
        "taskiq",
        queue="taskiq",
        arguments=(
            *("taskiq", "worker", "benchmarks.draining.taskiq_jobs:broker", "--workers=1"),
            "--log-level=WARNING",
        ),
    ),
    Peer(
        "nameko",
        queue="nameko.create_task",
        arguments=(
            *("nameko", "run", "--config=benchmarks/nameko.yaml"),
            "benchmarks.draining.nameko_jobs",
        ),
    ),
)


def ours(bench: Bench) -> Side:
    identity = uuid4().hex
    template = aio_pika.Message(b'{"title": "Buy milk"}', message_id=identity)

    def start() -> Process:
        return bench.system.launch("task_service").process

    return Side("Conveyor", "tasks.create_task", "public", template, identity, start)


async def peers(bench: Bench) -> AsyncIterator[Side]:
    for peer in PEERS:
        await make_table(bench, peer.name)
        yield await _side(bench, peer)


async def _side(bench: Bench, peer: Peer) -> Side:
    """The peer itself hands in one task, which is taken from its queue to be copied."""
    python = python_of(peer.name)
    settings = {
        "BROKER_URL": bench.system.broker_url("operator"),
        "DATABASE_URL": bench.system.database_url("task_service"),
        **peer.settings,
    }
    client = program(f"client-of-{peer.name}", [python, "-m", peer.module], settings, bench.folder)
    identity = (await outcome_of(client, SECONDS))["id"]
    template = await _taken_from(bench, peer.queue)

    def start() -> Process:
        worker = program(peer.name, [python, "-m", *peer.arguments], settings, bench.folder)
        worker.start()
        return worker

    return Side(peer.name, peer.queue, peer.name, template, identity, start)


async def _taken_from(bench: Bench, name: str) -> aio_pika.Message:
    async with await aio_pika.connect(bench.system.broker_url("operator")) as connection:
        queue = await (await connection.channel()).get_queue(name)

        async def taken() -> aio_pika.abc.AbstractIncomingMessage | None:
            return await queue.get(no_ack=True, fail=False)

        found: aio_pika.abc.AbstractIncomingMessage = await eventually(taken, f"a task in {name}")
    kept = ("headers", "content_type", "content_encoding", "priority", "correlation_id", "reply_to")
    named = ("message_id", "type", "app_id", "timestamp")
    return aio_pika.Message(found.body, **{name: getattr(found, name) for name in (*kept, *named)})


def copy_of(template: aio_pika.Message, identity: str) -> aio_pika.Message:
    """The same under an id of its own, wherever the template has its."""
    own = str(uuid4()) if "-" in identity else uuid4().hex

    def renamed(value: Any) -> Any:
        return value.replace(identity, own) if identity and isinstance(value, str) else value

    headers: Mapping[str, Any] = template.headers
    return aio_pika.Message(
        template.body.replace(identity.encode(), own.encode()) if identity else template.body,
        headers={name: renamed(value) for name, value in headers.items()},
        content_type=template.content_type,
        content_encoding=template.content_encoding,
        priority=template.priority,
        correlation_id=renamed(template.correlation_id),
        reply_to=template.reply_to,
        message_id=renamed(template.message_id),
        type=template.type,
        app_id=template.app_id,
    )
