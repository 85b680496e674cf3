"""Two batches of a process at a time: one is written while the next is worked out, and nobody can tell."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from infra.local.servers import Servers
from shared.batch import BATCH, BATCH_OF_LARGE, Batches
from shared.consuming import PREFETCH, _prefetch
from shared.contracts.desk import DeadLetter
from shared.delivery import Delivery
from shared.handling import Handler, Work
from shared.journal import Journal, Outcome, Settled
from shared.journal_sql import sql
from shared.process import end
from shared.starts import Starts
from shared.unsettled import Unsettled
from tests.kernel.test_journal import a_journal
from tests.system import eventually
from tests.toy_service.contracts import Mark, Marks
from tests.toy_service.handlers import ADD_TWIN, COUNT, MARKS

DONE = Outcome("done", b'{"marks": 1, "heard": 0}', b"")


class Channel:
    is_closed = False
    acknowledged = 0

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        self.acknowledged = max(self.acknowledged, tag)


class Hand:
    """What a process has in hand, and what its handlers did; `marks` are those that `look` found."""

    def __init__(self, journal: Journal):
        recovery: Any = SimpleNamespace(starts=Starts(journal), publisher=None, broken=self._broken)
        outbox: Any = SimpleNamespace(send=self._look_at_hand)
        self.channel: Any = Channel()
        self.unsettled = Unsettled()
        self.batches = Batches(journal, outbox, recovery, self.unsettled, timedelta(hours=1))
        self.numbers = count(1)
        self.added: list[str] = []
        self.marks: list[int] = []
        self.broken: list[str] = []
        self.runs_again = asyncio.Event()
        self.runs_again.set()
        self.most_in_hand = 0
        self.sent_at_once: list[bool] = []

    def start(self) -> None:
        self.working = asyncio.create_task(self.batches.run())

    async def _broken(self, delivery: Delivery, error: Exception) -> None:
        self.broken.append(delivery.message_id)

    def _look_at_hand(self, said: object, *, at_once: bool) -> None:
        self.most_in_hand = max(self.most_in_hand, self.batches.in_hand)
        self.sent_at_once.append(at_once)

    def wait(self, *handlers: Handler, redelivered: bool = False, body: bytes = b'{"text": "x"}') -> None:
        for handler in handlers:
            number = next(self.numbers)
            raw: Any = SimpleNamespace(
                redelivered=redelivered,
                message_id=str(number),
                body=body,
                tag=number,
                correlation_id=None,
                reply_to=None,
                timestamp=None,
                headers={},
            )
            delivery = Delivery(handler, "toy.mark", raw, self.channel, str(number), "direct", 1, [], "", b"")
            self.unsettled.add(delivery)
            self.batches.add(delivery)

    async def add(self, command: Mark, work: Work) -> Marks:
        again = work.id in self.added
        self.added.append(work.id)
        if again:
            await self.runs_again.wait()
        sql(work).write(MARKS, {"text": command.text, "message_id": work.id, "actor": work.actor})
        return Marks(marks=1, heard=0)

    async def look(self, command: Mark, work: Work) -> Marks:
        marks = (await sql(work).read(COUNT, {"text": "x"})).one().marks
        self.marks.append(marks)
        return Marks(marks=marks, heard=0)

    def adding(self, number: int, *, large: bool = False) -> list[Handler]:
        return [Handler(Mark, self.add, large=large)] * number

    @property
    def looking(self) -> Handler:
        return Handler(Mark, self.look)

    @property
    def twins(self) -> Handler:
        async def add_twins(command: Mark, work: Work) -> Marks:
            sql(work).write(ADD_TWIN, {"text": command.text})
            return Marks(marks=1, heard=0)

        return Handler(Mark, add_twins)

    async def has_added(self, number: int) -> None:
        async def so_many() -> bool:
            return len(set(self.added)) == number

        await eventually(so_many, f"{number} are worked out")

    async def tries_again(self) -> bool:
        return len(self.added) > len(set(self.added))

    async def settled(self) -> None:
        async def nothing_in_hand() -> bool:
            return self.batches.idle.is_set()

        await eventually(nothing_in_hand, "all are settled")


@pytest.fixture
async def journal(servers: Servers, tmp_path: Path) -> AsyncIterator[Journal]:
    async with a_journal("postgresql", servers, tmp_path) as journal:
        yield journal


@pytest.fixture
async def hand(journal: Journal) -> AsyncIterator[Hand]:
    hand = Hand(journal)
    hand.start()
    yield hand
    await end(hand.working)


@asynccontextmanager
async def held(journal: Any) -> AsyncIterator[None]:
    """Somebody else keeps the table, so that whatever a batch writes there has to wait."""
    address = journal.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection: Any = await asyncpg.connect(address)
    try:
        await connection.execute("BEGIN; LOCK TABLE marks IN EXCLUSIVE MODE")
        yield
    finally:
        await connection.close()


async def turns_of_the_loop() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_the_next_batch_is_worked_out_while_one_is_written(journal: Journal, hand: Hand) -> None:
    async with held(journal):
        hand.wait(*hand.adding(2 * BATCH))
        await hand.has_added(2 * BATCH)
        assert hand.channel.acknowledged == 0

    await hand.settled()
    hand.wait(hand.looking)
    await hand.settled()
    hand.unsettled.held.leave()
    assert (hand.marks, hand.channel.acknowledged) == ([2 * BATCH], 2 * BATCH + 1)
    assert hand.sent_at_once == [True, False, False], (
        "no events are held beside a batch that may end the process"
    )


async def test_what_reads_waits_for_what_the_batch_before_it_adds(journal: Journal, hand: Hand) -> None:
    async with held(journal):
        hand.wait(*hand.adding(BATCH), hand.looking, *hand.adding(BATCH - 1))
        await hand.has_added(BATCH)
        await turns_of_the_loop()

    await hand.settled()
    assert hand.marks == [BATCH]


async def test_a_batch_that_is_tried_again_keeps_its_place(journal: Journal, hand: Hand) -> None:
    async with journal.transaction() as transaction:
        await transaction.conclude([Settled("toy.mark", "7", "direct", DONE)], [])
    hand.wait(*hand.adding(BATCH), hand.looking, *hand.adding(BATCH - 1))

    await hand.settled()
    assert hand.marks == [BATCH - 1]
    assert len(hand.added) == 2 * BATCH - 1 + (BATCH - 1), "the first ran twice, without what had been done"


async def test_a_batch_that_the_store_refuses_is_done_one_by_one_before_the_next(
    journal: Journal, hand: Hand
) -> None:
    hand.wait(hand.twins, *hand.adding(BATCH - 1), hand.looking, *hand.adding(2 * BATCH - 1))

    await hand.settled()
    assert hand.marks == [BATCH - 1]
    assert hand.broken == ["1"]
    assert hand.most_in_hand == 2


async def test_nothing_begins_beside_a_batch_that_is_tried_again(journal: Journal, hand: Hand) -> None:
    async with journal.transaction() as transaction:
        await transaction.conclude([Settled("toy.mark", "1", "direct", DONE)], [])
    hand.runs_again.clear()
    hand.wait(*hand.adding(10))
    await eventually(hand.tries_again, "it is tried again")
    hand.wait(*hand.adding(BATCH))
    await turns_of_the_loop()
    assert set(hand.added) == set(map(str, range(1, 11)))

    hand.runs_again.set()
    await hand.settled()
    assert hand.most_in_hand == 1


async def test_one_that_ends_while_a_batch_waits_for_its_turn_writes_nothing_of_that(
    journal: Journal, hand: Hand
) -> None:
    async with held(journal):
        hand.wait(*hand.adding(2 * BATCH))
        await hand.has_added(2 * BATCH)
        await end(hand.working)

    hand = Hand(journal)
    hand.start()
    hand.wait(hand.looking)
    await hand.settled()
    assert hand.marks == [0]
    await end(hand.working)


async def test_less_than_a_batch_waits_for_the_end_of_the_one_before_it(journal: Journal, hand: Hand) -> None:
    async with held(journal):
        hand.wait(*hand.adding(2 * BATCH - 1))
        await hand.has_added(BATCH)
        await turns_of_the_loop()
        assert len(hand.added) == BATCH

        hand.wait(*hand.adding(1))
        await hand.has_added(2 * BATCH)

    await hand.settled()


async def test_nothing_begins_beside_what_has_been_in_trouble(journal: Journal, hand: Hand) -> None:
    async with held(journal):
        hand.wait(*hand.adding(1), redelivered=True)
        hand.wait(*hand.adding(2 * BATCH))
        await hand.has_added(BATCH - 1)
        await turns_of_the_loop()
        assert len(hand.added) == BATCH - 1

    await hand.settled()
    assert len(hand.added) == 2 * BATCH + 1


@pytest.mark.parametrize("number", [1, 5])
@pytest.mark.parametrize("known_as", ["retried", "started", "given up"])
async def test_what_the_inbox_knows_but_has_not_done_is_done_once(
    journal: Journal, hand: Hand, known_as: str, number: int
) -> None:
    """It comes as if for the first time: replayed, or sent again by whoever sent it."""
    key = ("toy.mark", "1")
    if known_as == "retried":
        await journal.note_attempt(key, "direct", 1, datetime.now(UTC), "not now")
    elif known_as == "started":
        await journal.note_start(key, "direct")
    else:
        async with journal.transaction() as transaction:
            await transaction.conclude([Settled(*key, "direct", Outcome("failed", b"null", b""))], [])

    hand.wait(*hand.adding(number))
    await hand.settled()

    assert set(hand.added) == {str(one) for one in range(1, number + 1)}
    hand.wait(hand.looking)
    await hand.settled()
    assert (hand.marks, hand.broken) == ([number], [])


async def test_where_one_may_be_large_few_go_together(journal: Journal) -> None:
    hand = Hand(journal)  # which does nothing yet
    hand.wait(*hand.adding(9), *hand.adding(1, large=True), *hand.adding(BATCH + BATCH_OF_LARGE))

    assert [len(hand.batches._take()) for _ in range(2)] == [BATCH_OF_LARGE, BATCH]


async def test_where_they_are_large_a_batch_holds_few(journal: Journal) -> None:
    hand = Hand(journal)
    hand.wait(*hand.adding(50), body=bytes(40_000))
    hand.wait(*hand.adding(2), body=bytes(2_000_000))
    hand.wait(*hand.adding(512), body=bytes(1_900))

    assert [len(hand.batches._take()) for _ in range(5)] == [25, 25, 1, 1, 512], "none is too large"


def test_of_what_may_be_large_few_are_fetched() -> None:
    assert _prefetch(Handler(Mark, keep, large=True)) == 2 * BATCH_OF_LARGE
    assert _prefetch(Handler(DeadLetter, keep)) == 2 * BATCH_OF_LARGE
    assert _prefetch(Handler(Mark, keep)) == PREFETCH


async def keep(message: Any, work: Work) -> None:
    """It is not run."""
