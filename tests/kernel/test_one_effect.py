"""An accepted command has exactly one effect, however often it arrives and whoever dies."""

import asyncio
from pathlib import Path

import pytest

from tests.amqp import Client
from tests.system import Replica, System, eventually
from tests.toy_service.contracts import Marked

TOY = "tests.toy_service"


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def marks(system: System, text: str) -> int:
    return len(await system.fetch(TOY, "SELECT 1 FROM marks WHERE text = $1", text))


async def heard(system: System, text: str) -> int:
    return len(await system.fetch(TOY, "SELECT 1 FROM heard WHERE text = $1", text))


async def test_five_deliveries_one_after_another_have_one_effect_and_equal_answers(
    system: System, toy: Replica, amqp: Client
) -> None:
    answers = [await amqp.ask("toy.mark", {"text": "in turn"}, message_id="in-turn") for _ in range(5)]

    assert answers == [answers[0]] * 5
    assert not answers[0].refused
    assert await marks(system, "in turn") == 1


async def test_what_breaks_because_it_was_done_before_is_answered_as_the_first_time(
    system: System, toy: Replica, amqp: Client
) -> None:
    body = {"text": "not again", "then": "break_again"}

    answers = [await amqp.ask("toy.mark", body, message_id="not-again") for _ in range(2)]

    assert answers == [answers[0]] * 2
    assert not answers[0].refused
    assert "broke" not in [line["event"] for line in toy.lines() if line.get("message_id") == "not-again"]
    assert await marks(system, "not again") == 1


async def test_five_deliveries_at_once_have_one_effect_and_equal_answers(
    system: System, toy: Replica, amqp: Client
) -> None:
    body = {"text": "at once"}
    await asyncio.gather(
        *(amqp.publish("toy.mark", body, message_id="at-once", answered=True) for _ in range(5))
    )
    answers = [await amqp.next_answer() for _ in range(5)]

    assert answers == [answers[0]] * 5
    assert await marks(system, "at once") == 1


async def test_an_id_used_again_for_other_content_is_refused(
    system: System, toy: Replica, amqp: Client
) -> None:
    await amqp.ask("toy.mark", {"text": "first"}, message_id="reused")

    answer = await amqp.ask("toy.mark", {"text": "second"}, message_id="reused")

    assert answer.refused
    assert answer.body["code"] == "message_id_reused"
    assert await marks(system, "second") == 0


async def test_a_refusal_is_remembered_too(system: System, toy: Replica, amqp: Client) -> None:
    body = {"text": "no", "first": "refuse"}
    first = await amqp.ask("toy.mark", body, message_id="refused-once")
    again = await amqp.ask("toy.mark", body, message_id="refused-once")

    assert first.refused
    assert again == first


async def test_a_refusal_after_a_write_undoes_the_write_and_spares_its_batch(
    system: System, toy: Replica, amqp: Client
) -> None:
    bodies = [{"text": f"spared {n}"} for n in range(20)]
    bodies.insert(7, {"text": "undone", "then": "refuse"})
    await asyncio.gather(*(amqp.publish("toy.mark", body, answered=True) for body in bodies))
    answers = [await amqp.next_answer() for _ in bodies]

    assert sum(answer.refused for answer in answers) == 1
    assert await marks(system, "undone") == 0
    assert [await marks(system, f"spared {n}") for n in range(20)] == [1] * 20


async def test_an_event_has_one_effect_at_its_consumer(system: System, toy: Replica, amqp: Client) -> None:
    await amqp.ask("toy.mark", {"text": "said"})

    async def was_heard() -> bool:
        return await heard(system, "said") == 1

    await eventually(was_heard, "the event was heard")


@pytest.mark.parametrize("place", ["before_commit", "before_publish", "before_acknowledge"])
async def test_a_service_killed_anywhere_loses_and_doubles_nothing(
    system: System, toy: Replica, amqp: Client, folder: Path, place: str
) -> None:
    toy.process.end()
    died = folder / f"{system.name}.{place}.died"
    dying = system.launch(TOY, die=f"{place}:{died}")
    texts = [f"{place} {n}" for n in range(10)]
    ids = [await amqp.publish("toy.mark", {"text": text}, message_id=text) for text in texts]
    await eventually(_ended(dying), f"the service died {place}")
    assert "broke" not in [line["event"] for line in dying.lines()]
    if place == "before_acknowledge":
        await eventually(_has_left(system, amqp, texts[0]), "its event is in the queue or was heard")

    again = await system.start(TOY)

    async def all_heard() -> bool:
        return [await heard(system, text) for text in texts] == [1] * 10

    await eventually(all_heard, "every event was heard")
    repeated = [await amqp.ask("toy.mark", {"text": text}, message_id=text) for text in ids]
    assert not any(answer.refused for answer in repeated)
    assert [await marks(system, text) for text in texts] == [1] * 10
    assert [await heard(system, text) for text in texts] == [1] * 10
    again.process.end()


async def test_whoever_is_told_to_stop_leaves_nothing_to_be_delivered_again_or_sent_late(
    system: System, toy: Replica, amqp: Client
) -> None:
    toy.process.end()
    holding = await system.start(TOY, hold="600")
    await amqp.ask("toy.mark", {"text": "held"}, message_id="held")

    holding.process.end()
    queue = await amqp.channel.declare_queue("toy.mark", passive=True)

    assert queue.declaration_result.message_count == 0
    assert await system.fetch(TOY, "SELECT 1 FROM outbox WHERE causation = 'held'") == []
    await system.start(TOY)


def _has_left(system: System, amqp: Client, text: str):  # type: ignore[no-untyped-def]
    async def has_left() -> bool:
        queue = await amqp.channel.declare_queue(Marked.queue_of("toy"), passive=True)
        return bool(queue.declaration_result.message_count or await heard(system, text))

    return has_left


def _ended(replica: Replica):  # type: ignore[no-untyped-def]
    async def ended() -> bool:
        return replica.process.exit_code is not None

    return ended
