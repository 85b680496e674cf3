"""What is worked out beforehand: who gets a place, and what becomes of a process that dies or has to end."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from infra.local.processes import descendants, identity, is_alive
from shared import preparing as module
from shared.consuming import PREFETCH_PREPARED
from shared.preparing import Preparing
from tests.amqp import Client
from tests.system import Replica, System, eventually

TOY = "tests.toy_service"


def waiting(
    *, bulk: bool = False, redelivered: bool = False, suspect: bool = False, channel: str = "one"
) -> Any:
    raw, handler = SimpleNamespace(redelivered=redelivered), SimpleNamespace(bulk=bulk)
    return SimpleNamespace(handler=handler, raw=raw, suspect=suspect, channel=channel)


def preparing(
    *under_way: Any, first: int = 0, bulk: int = 0, returned: int = 0, suspects: int = 0
) -> Preparing:
    """Four places; so many wait in each lane."""
    made = Preparing(0, 1, Any, SimpleNamespace(recovery=None))  # type: ignore[arg-type]
    made.places = [Any] * 4  # type: ignore[list-item]
    made.running = dict(enumerate(under_way))  # type: ignore[arg-type]
    made.first.extend(waiting() for _ in range(first))
    made.bulk.extend(waiting(bulk=True) for _ in range(bulk))
    made.returned.extend(waiting(redelivered=True) for _ in range(returned))
    made.suspects.extend(waiting(redelivered=True, suspect=True) for _ in range(suspects))
    return made


def given_places(made: Preparing, places: int = 4) -> list[str]:
    """Which lane each of so many free places is given to."""
    lanes = []
    while len(made.running) < places and (one := made._next()):
        made.running[len(made.running)] = one  # type: ignore[index]
        others = "returned" if one.raw.redelivered else "bulk" if one.handler.bulk else "first"
        lanes.append("suspect" if one.suspect else others)
    return sorted(lanes)


def test_bulk_gets_half_of_the_places_while_others_wait_and_all_when_none_does() -> None:
    bulk = waiting(bulk=True)

    assert given_places(preparing(first=9, bulk=9)) == ["bulk", "bulk", "first", "first"]
    assert given_places(preparing(bulk=9)) == ["bulk"] * 4
    assert given_places(preparing(first=9)) == ["first"] * 4
    assert given_places(preparing(first=1, bulk=9)) == ["bulk", "bulk", "bulk", "first"]
    assert given_places(preparing(bulk, bulk, bulk, first=1, bulk=9)) == ["first"]
    assert given_places(preparing(bulk, bulk, first=9, bulk=9)) == ["first", "first"]
    assert given_places(preparing(waiting(), waiting(), waiting(), first=9, bulk=9)) == ["bulk"]


def test_what_a_crash_brought_back_goes_first() -> None:
    assert given_places(preparing(first=9, bulk=9, returned=9)) == ["returned"] * 4
    assert given_places(preparing(waiting(), first=9, returned=1)) == ["first", "first", "returned"]


def test_what_may_have_killed_its_worker_has_nothing_beside_it() -> None:
    suspect = waiting(redelivered=True, suspect=True)

    assert given_places(preparing(first=9, bulk=9, suspects=9)) == ["suspect"]
    assert given_places(preparing(waiting(), first=9, suspects=9)) == []
    assert given_places(preparing(suspect, first=9, bulk=9, returned=9)) == []


@pytest.mark.parametrize(
    ("waits", "free", "most", "shares"), [(10, 2, 16, 2), (10, 0, 16, 9), (10, 0, 4, 4), (2, 1, 16, 0)]
)
def test_what_shares_a_place_is_its_fair_part_of_its_lane(
    waits: int, free: int, most: int, shares: int
) -> None:
    made = preparing(first=waits)
    made.free = [SimpleNamespace()] * free  # type: ignore[list-item]
    begins = made._next()
    assert begins

    others = made._others(begins, most)

    assert (len(others), len(made.first)) == (shares, waits - 1 - shares)


def test_what_would_come_again_without_it_does_not_share_a_place() -> None:
    made = preparing(first=2)
    made.first.extend([waiting(channel="another"), waiting()])
    begins = made._next()
    assert begins
    assert len(made._others(begins, 16)) == 1

    made = preparing(first=2, returned=1)
    begins = made._next()
    assert begins and begins.raw.redelivered
    assert made._others(begins, 16) == []


@pytest.fixture(autouse=True)
async def alone(system: System) -> AsyncIterator[None]:
    """No process of another test's takes part."""
    yield
    for replica in system.replicas:
        await asyncio.to_thread(replica.process.end)


async def send(amqp: Client, text: str, **fields: Any) -> None:
    await amqp.publish("toy.work_out", {"text": text, **fields}, message_id=text)


async def marked(system: System, about: str) -> list[str]:
    rows = await system.fetch(TOY, "SELECT text FROM marks WHERE text LIKE $1", f"{about}%")
    return sorted(row["text"] for row in rows)


async def until_marked(system: System, texts: Sequence[str], about: str) -> None:
    async def all_marked() -> bool:
        return len(await marked(system, about)) >= len(texts)

    await eventually(all_marked, f"{about} is done")
    assert await marked(system, about) == sorted(f"{text} worked out" for text in texts)


async def dead(system: System) -> list[str]:
    return [one["properties"]["message_id"] for one in await system.get_messages("dead_letters")]


async def until_working(replica: Replica, processes: int = 1) -> dict[int, str]:
    """The pids of the processes that it works in, each with what tells it from a later one."""

    async def working() -> dict[int, str] | None:
        pids = descendants(replica.process.pid or 0)
        return {pid: identity(pid) for pid in pids} if len(pids) > processes else None

    found: dict[int, str] = await eventually(working, f"{processes} processes work")
    return found


async def until_gone(processes: dict[int, str]) -> None:
    async def gone() -> bool:
        return not any(is_alive(pid, known) for pid, known in processes.items())

    await eventually(gone, "its processes have ended")


async def test_a_message_that_kills_what_works_on_it_is_given_up_and_its_neighbours_are_done(
    system: System, amqp: Client
) -> None:
    replica = await system.start(TOY, retry_seconds="[1]", places="2")
    texts = [f"beside {n}" for n in range(20)]
    for text in texts[:10]:
        await send(amqp, text)
    await send(amqp, "deadly", then="die")
    for text in texts[10:]:
        await send(amqp, text)

    await until_marked(system, texts, "beside")
    await eventually(lambda: marked(system, "deadly"), "the deadly is given up")
    assert await marked(system, "deadly") == [
        "deadly given up: Killed: the process that worked on it died each time"
    ]
    assert await dead(system) == ["deadly"]
    assert replica.process.exit_code is None


async def test_a_message_that_kills_its_whole_worker_is_given_up_and_its_neighbours_are_done(
    system: System, amqp: Client
) -> None:
    texts = [f"near {n}" for n in range(20)]
    for text in texts[:10]:
        await send(amqp, text)
    await send(amqp, "murder", then="die_whole")
    for text in texts[10:]:
        await send(amqp, text)
    replica, starts = system.launch(TOY, places="2"), 1

    async def given_up() -> list[str]:
        nonlocal replica, starts
        if replica.process.exit_code is not None:
            replica, starts = system.launch(TOY, places="2"), starts + 1
        return await marked(system, "murder")

    found = await eventually(given_up, "the deadly is given up", seconds=120)
    await until_marked(system, texts, "near")
    assert found == ["murder given up: the process died each time that this message ran"]
    assert starts == 5
    assert (await dead(system)).count("murder") == 1
    assert len(await dead(system)) == len(set(await dead(system)))


async def test_what_a_crash_brought_back_is_worked_out_side_by_side(system: System, amqp: Client) -> None:
    killed = await system.start(TOY, places="2")
    texts = [f"returned {n}" for n in range(6)]
    for text in texts:
        await send(amqp, text, seconds=3)
    await until_working(killed, 2)
    await asyncio.to_thread(killed.process.kill)
    after = await system.start(TOY, places="2")

    await until_working(after, 2)
    await until_marked(system, texts, "returned")
    assert "returned" not in str(await dead(system))


async def test_what_never_ends_is_ended_and_given_up_with_that_reason(system: System, amqp: Client) -> None:
    await system.start(TOY, retry_seconds="[]", places="2", compute_seconds="8")
    await send(amqp, "endless", seconds=3600)
    await send(amqp, "short")

    await until_marked(system, ["short"], "short")
    await eventually(lambda: marked(system, "endless"), "it is given up")
    reason = "TimeoutError: it computed for more than 8 s"
    assert await marked(system, "endless") == [f"endless given up: {reason}"]


async def test_what_is_too_old_is_given_up_with_that_reason(system: System, amqp: Client) -> None:
    await system.start(TOY, places="2")
    body = {"text": "ancient", "then": "end"}
    await amqp.publish("toy.work_out", body, message_id="ancient", timestamp=1_000_000_000)

    await eventually(lambda: marked(system, "ancient"), "it is given up")
    assert await marked(system, "ancient") == [
        "ancient given up: too_old: sent more than 3 days, 0:00:00 ago"
    ]
    assert "ancient" in await dead(system)


async def test_of_20000_that_wait_a_worker_has_a_few_in_hand_and_leaves_the_rest_when_it_ends(
    system: System, amqp: Client
) -> None:
    crowd = [f"crowd {n}" for n in range(20_000)]
    for start in range(0, len(crowd), 1000):
        await asyncio.gather(*(send(amqp, text, seconds=0.2) for text in crowd[start : start + 1000]))
    stopping = await system.start(TOY, places="2")
    await eventually(lambda: marked(system, "crowd"), "some are done")
    async with system.management() as page:

        async def taken() -> dict[str, int] | None:
            queue: dict[str, int] = (await page.get(f"/api/queues/{system.name}/toy.work_out")).json()
            return queue if queue.get("messages_unacknowledged") else None

        queue = await eventually(taken, "the page shows what is in hand")
        stopping.process.ask_to_end()
        ended = await asyncio.to_thread(stopping.process.wait, 15)
        done = len(await marked(system, "crowd"))

        async def all_there() -> bool:
            waits = await amqp.channel.declare_queue("toy.work_out", passive=True)
            return done + (waits.declaration_result.message_count or 0) == len(crowd)

        await eventually(all_there, "the rest waits again")
        await page.delete(f"/api/queues/{system.name}/toy.work_out/contents")

    assert queue["messages_unacknowledged"] <= PREFETCH_PREPARED
    assert (ended, stopping.process.exit_code) == (True, 0)
    assert "stopping with work in hand" not in stopping.log.read_text()


async def test_what_says_again_and_again_that_a_store_is_away_which_answers_is_given_up(
    system: System, amqp: Client
) -> None:
    await system.start(TOY, retry_seconds="[]", places="2")
    await send(amqp, "false alarm", then="seem_away")

    await eventually(lambda: marked(system, "false alarm"), "it is given up")
    assert "false alarm" in await dead(system)


async def test_sigterm_finishes_what_is_under_way_and_leaves_the_rest_to_others(
    system: System, amqp: Client
) -> None:
    stopping = await system.start(TOY, places="2")
    texts = [f"rest {n}" for n in range(30)]
    for text in texts:
        await send(amqp, text, seconds=0.5)
    processes = await until_working(stopping, 2)
    await eventually(lambda: marked(system, "rest"), "some are done")
    stopping.process.ask_to_end()
    ended = await asyncio.to_thread(stopping.process.wait, 15)
    done = await marked(system, "rest")
    await system.start(TOY, places="2")

    assert (ended, stopping.process.exit_code) == (True, 0)
    assert 1 <= len(done) < 30
    assert "stopping with work in hand" not in stopping.log.read_text()
    await until_gone(processes)
    await until_marked(system, texts, "rest")


async def test_what_takes_longer_than_the_grace_time_does_not_hold_up_the_end(
    system: System, amqp: Client
) -> None:
    replica = await system.start(TOY, places="2", grace_seconds="1")
    await send(amqp, "long", seconds=60)
    processes = await until_working(replica)
    replica.process.ask_to_end()
    ended = await asyncio.to_thread(replica.process.wait, 20)

    await until_gone(processes)
    assert (ended, replica.process.exit_code) == (True, 0)
    async with system.management() as page:
        await page.delete(f"/api/queues/{system.name}/toy.work_out/contents")


async def test_a_killed_worker_leaves_no_process_behind(system: System, amqp: Client) -> None:
    replica = await system.start(TOY, places="2")
    await send(amqp, "orphan", seconds=3)
    processes = await until_working(replica)
    assert replica.process.pid
    os.kill(replica.process.pid, signal.SIGKILL)

    await until_gone(processes)


@pytest.mark.parametrize("lane", ["returned", "suspects"])
def test_what_a_crash_brought_back_begins_in_no_fixed_order(lane: str) -> None:
    """Whatever kills the worker from outside would be charged to the same message each time."""
    firsts = set()
    for _ in range(100):
        made = preparing(**{lane: 3})
        order = list(map(id, getattr(made, lane)))
        firsts.add(order.index(id(made._next())))

    assert firsts == {0, 1, 2}


class Beat:
    """A message whose beat ends when it is told to, in a process that has no place to do it in."""

    def __init__(self) -> None:
        self.ends, self.happened = asyncio.get_running_loop().create_future(), list[str]()
        self.delivery: Any = SimpleNamespace(
            handler=SimpleNamespace(prepare=self._prepared),
            channel=SimpleNamespace(gone=asyncio.get_running_loop().create_future()),
            raw=SimpleNamespace(redelivered=False),
            message=None,
            suspect=False,
            lost=False,
            prepared=None,
            read=lambda: None,
            work=lambda transaction: SimpleNamespace(),
        )

    async def _prepared(self, message: object, work: object) -> object:
        return await self.ends

    def _noting(self, what: str) -> Any:
        async def note(*_: object) -> bool:
            self.happened.append(what)
            return False

        return note

    def lose_the_channel(self) -> None:
        self.delivery.lost = True
        self.delivery.channel.gone.set_result(None)

    async def runs(self) -> None:
        starts = SimpleNamespace(take_back=self._noting("taken back"), is_deadly=self._noting("begins"))
        recovery = SimpleNamespace(broken=self._noting("broken"), starts=starts)
        journal: Any = SimpleNamespace(reading=nullcontext)
        batches: Any = SimpleNamespace(
            starts=starts, recovery=recovery, outbox=None, add=lambda _: self.happened.append("added")
        )
        place: Any = SimpleNamespace(turn=None, interrupt=lambda: self.happened.append("interrupted"))
        await Preparing(0, 1, journal, batches)._run(self.delivery, place)


@pytest.mark.parametrize(
    ("soon", "ending"), [(0.0, ""), (600.0, "result"), (600.0, "error"), (600.0, "result before")]
)
async def test_what_goes_wrong_or_ends_without_its_channel_is_taken_back_and_charged_to_nobody(
    soon: float, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon afterwards it is left to end; later, what it computes in is ended."""
    monkeypatch.setattr(module, "SOON_SECONDS", soon)
    wrong = list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    beat = Beat()
    running = asyncio.create_task(beat.runs())
    await asyncio.sleep(0)
    if ending == "result before":
        beat.ends.set_result("found")
    beat.lose_the_channel()
    if ending == "result":
        beat.ends.set_result("found")
    elif ending == "error":
        beat.ends.set_exception(RuntimeError("it broke"))
    await running
    await asyncio.sleep(0)

    assert beat.happened == ["begins", *([] if ending else ["interrupted"]), "taken back"]
    assert wrong == []


async def test_what_breaks_is_an_attempt_and_what_ends_goes_to_the_batches() -> None:
    for ending, becomes in ((RuntimeError("it broke"), "broken"), (None, "added")):
        beat = Beat()
        if ending:
            beat.ends.set_exception(ending)
        else:
            beat.ends.set_result("found")
        await beat.runs()
        assert beat.happened == ["begins", becomes]
