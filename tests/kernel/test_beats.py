"""One prepare beat and its start: what ends it from outside, what it keeps busy, what is told of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.local.servers import Servers
from shared import recovery as actual
from shared.amqp.content import Properties, Unsendable
from shared.batch import Batches
from shared.delivery import Delivery
from shared.handling import Handler, Work
from shared.journal import Conflict, Journal
from shared.journal_postgresql import PostgresqlJournal
from shared.places import Place
from shared.preparing import Preparing
from shared.starts import Starts
from shared.unsettled import Unsettled
from tests.kernel.test_journal import MIGRATIONS, a_journal
from tests.system import eventually
from tests.toy_service.contracts import WorkOut

KEY = ("toy.work_out", "long")


class Channel:
    """What a delivery's channel is asked for."""

    def __init__(self) -> None:
        self.gone = asyncio.get_running_loop().create_future()
        self.rejected: list[int] = []
        self.given_up: list[int] = []

    @property
    def is_closed(self) -> bool:
        return self.gone.done()

    def reject(self, tag: int, *, requeue: bool) -> None:
        (self.rejected if requeue else self.given_up).append(tag)


class Recovery:
    """Notes what is given to it; its own defect is told as `defect`."""

    def __init__(self, defect: Exception | None = None) -> None:
        self.given: list[str] = []
        self.defect = defect

    async def broken(self, delivery: Delivery, error: Exception) -> None:
        if self.defect:
            raise self.defect
        self.given.append(f"broken: {error}")

    async def deadly(self, delivery: Delivery) -> None:
        self.given.append("deadly")


async def compute_for_long(command: WorkOut, work: Work) -> None:
    assert work.compute
    await work.compute(time.sleep, 60)


async def compute_shortly(command: WorkOut, work: Work) -> None:
    assert work.compute
    await work.compute(time.sleep, 0.8)


async def keep_nothing(command: WorkOut, work: Work) -> None:
    """The handler's turn never comes here."""


def delivery(channel: Channel, prepare: Any = compute_for_long) -> Delivery:
    handler = Handler(WorkOut, keep_nothing, prepare=prepare)
    raw: Any = SimpleNamespace(redelivered=True, body=b'{"text": "x"}', tag=1, correlation_id=None)
    on: Any = channel
    return Delivery(handler, KEY[0], raw, on, KEY[1], "direct", 1, [], "", b"")


def preparing(journal: Journal, recovery: Any, places: int = 1) -> Preparing:
    nothing: Any = None
    recovery.starts = Starts(journal)
    batches = Batches(journal, nothing, recovery, Unsettled(), timedelta(hours=1))
    return Preparing(places, 60, journal, batches)


@pytest.fixture
async def journal(servers: Servers, tmp_path: Path) -> AsyncIterator[Journal]:
    async with a_journal("sqlite", servers, tmp_path) as journal:
        yield journal


async def until_started(journal: Journal, made: Preparing) -> None:
    async def started() -> bool:
        works = any(place.process for place in made.places)
        return works and await journal.note_start(*with_actor(0)) == 1

    await eventually(started, "it computes")


def with_actor(by: int) -> tuple[tuple[str, str], str, int]:
    return KEY, "direct", by


async def until_ended(made: Preparing) -> None:
    async def ended() -> bool:
        return not made.running

    await eventually(ended, "nothing is under way")


async def test_a_beat_whose_connection_is_lost_again_and_again_is_no_suspect(journal: Journal) -> None:
    recovery = Recovery()
    made = preparing(journal, recovery)
    for _ in range(6):
        channel = Channel()
        made.add(delivery(channel))
        await until_started(journal, made)
        process = made.places[0].process
        assert process
        channel.gone.set_result(None)
        await until_ended(made)

        assert await journal.note_start(*with_actor(0)) == 0
        await asyncio.to_thread(process.child.join)
    await made.close()
    assert recovery.given == []


async def test_a_process_outlives_the_connection_of_a_beat_that_soon_ends(journal: Journal) -> None:
    made = preparing(journal, Recovery())
    await made.places[0].compute(int)
    process = made.places[0].process
    assert process
    channel = Channel()
    made.add(delivery(channel, compute_shortly))
    await until_started(journal, made)
    channel.gone.set_result(None)
    await until_ended(made)

    assert await journal.note_start(*with_actor(0)) == 0
    assert made.places[0].process is process
    assert process.child.is_alive()
    await made.close()


async def test_a_beat_that_an_orderly_end_interrupts_is_no_suspect(journal: Journal) -> None:
    made = preparing(journal, Recovery())
    made.add(delivery(Channel()))
    await until_started(journal, made)

    await made.close()

    assert await journal.note_start(*with_actor(0)) == 0


async def test_what_a_process_died_of_once_waits_until_it_is_alone(journal: Journal) -> None:
    made = preparing(journal, Recovery(), places=2)
    made.add(delivery(Channel()))
    await until_started(journal, made)
    again = delivery(Channel())
    made.add(again)

    async def waits() -> bool:
        return list(made.suspects) == [again]

    await eventually(waits, "it is known for its start")
    assert (len(made.running), await journal.note_start(*with_actor(0))) == (1, 1)
    await made.close()


async def test_who_waits_for_the_changes_of_others_has_not_started_meanwhile(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process may hold them for a minute in MongoDB; the next kills charge nobody who waits."""
    channel = Channel()
    waiting, trying = [], []

    @asynccontextmanager
    async def held_by_others(*, contended: bool, turn: Any) -> AsyncIterator[None]:
        trying.append(await journal.note_start(*with_actor(0)))
        if len(trying) == 3:
            channel.gone.set_result(None)
        raise Conflict("somebody else changes it")
        yield

    async def look(seconds: float) -> None:
        waiting.append(await journal.note_start(*with_actor(0)))

    monkeypatch.setattr(journal, "transaction", held_by_others)
    monkeypatch.setattr("shared.starts.asyncio.sleep", look)
    await preparing(journal, Recovery(), places=0).batches._see_to([delivery(channel)])

    assert (trying, waiting) == ([1, 1, 1], [0, 0, 0])


async def test_a_defect_in_the_recovery_of_a_beat_lets_its_message_come_again(journal: Journal) -> None:
    channel = Channel()
    made = preparing(journal, Recovery(defect=RuntimeError("a defect")))

    async def break_at_once(command: WorkOut, work: Work) -> None:
        raise ValueError("told to break")

    made.add(delivery(channel, break_at_once))
    await until_ended(made)

    assert channel.rejected == [1]
    assert len(made.free) == 1


async def test_what_computes_too_long_is_ended_and_its_place_is_free_again() -> None:
    place = Place(0.2)
    with pytest.raises(TimeoutError, match=r"it computed for more than 0\.2 s"):
        await place.compute(time.sleep, 3600)

    place.seconds = 60
    assert await place.compute(int, "3") == 3
    place.renew()


async def test_a_beat_that_computes_holds_no_connection(servers: Servers) -> None:
    servers.postgresql.create_database("beats", "task_service", "task_service")
    url = servers.postgresql.url("beats", "task_service", "task_service")
    journal = PostgresqlJournal(url, MIGRATIONS, connections=1)
    await journal.migrate()
    made = preparing(journal, Recovery(), places=0)

    async def read_and_compute(command: WorkOut, work: Work) -> Any:
        assert work.compute
        await work.transaction.look_up(KEY)
        return await work.compute(None)

    async def others_work(function: None) -> str:
        await journal.probe()
        return "computed"

    place: Any = SimpleNamespace(compute=others_work, turn=None)
    command = delivery(Channel(), read_and_compute)
    command.read()
    assert await made._prepared(command, place) == "computed"
    await journal.close()


async def test_what_fits_into_no_frame_is_left_to_the_broker_and_holds_up_nobody(journal: Journal) -> None:
    """A broker may take small frames only: then not even the reason of a death fits into one."""
    tried: list[dict[str, Any]] = []

    async def publish(exchange: str, key: str, body: bytes, copy: Properties, *, mandatory: bool) -> None:
        tried.append(dict(copy.headers or {}))
        raise Unsendable("its headers do not fit into a frame")

    publisher: Any = SimpleNamespace(publish=publish, connected=True, user="toy")
    nothing: Any = None
    recovery = actual.Recovery(journal, nothing, publisher, Unsettled(), ())
    channel = Channel()
    large = delivery(channel)
    for name in ("content_type", "reply_to", "timestamp", "type", "app_id"):
        setattr(large.raw, name, None)
    large.raw.headers = {"large": "x"}

    await asyncio.wait_for(recovery.broken(large, RuntimeError("broken")), 10)
    await recovery.drained()

    assert [("large" in one, bool(one["traceback"])) for one in tried] == [
        (True, True),
        (False, False),
    ]
    assert (channel.given_up, channel.rejected) == ([1], [])
