"""Two processes of one service: neither doubles what the other did, and neither stands in its way."""

import asyncio
import random

from tests.amqp import Client
from tests.system import Replica, System

TOY = "tests.toy_service"


async def test_ids_delivered_to_both_processes_have_one_effect_each(
    system: System, toy: Replica, amqp: Client
) -> None:
    await system.start(TOY)
    texts = [f"both {n}" for n in range(150)] * 4
    random.shuffle(texts)
    await asyncio.gather(
        *(amqp.publish("toy.mark", {"text": text}, message_id=text, answered=True) for text in texts)
    )
    answers = [await amqp.next_answer() for _ in texts]

    rows = await system.fetch(TOY, "SELECT text FROM marks WHERE text LIKE 'both %'")
    assert not any(answer.refused for answer in answers)
    assert len(rows) == 150


async def test_transactions_that_deadlock_are_repeated_and_charged_to_nobody(
    system: System, toy: Replica, amqp: Client
) -> None:
    for n in range(40):
        body = {"text": f"crossing {n}", "then": "lock_ab" if n % 2 else "lock_ba"}
        await amqp.publish("toy.mark", body, message_id=f"crossing {n}", answered=True)
    answers = [await amqp.next_answer() for _ in range(40)]

    attempts = await system.fetch(TOY, "SELECT 1 FROM inbox WHERE attempt > 1")
    marks = await system.fetch(TOY, "SELECT 1 FROM marks WHERE text LIKE 'crossing %'")
    assert not any(answer.refused for answer in answers)
    assert (len(marks), len(attempts)) == (40, 0)


async def test_contended_commands_of_two_processes_lose_no_update(
    system: System, toy: Replica, amqp: Client
) -> None:
    for _ in range(200):
        await amqp.publish("toy.add_one", {}, answered=True)
    answers = [await amqp.next_answer() for _ in range(200)]

    [row] = await system.fetch(TOY, "SELECT number FROM numbers")
    assert row["number"] == 200
    assert {answer.body["marks"] for answer in answers} == set(range(1, 201))


async def test_sigterm_with_hundreds_waiting_exits_0_and_the_other_does_the_rest(
    system: System, toy: Replica, amqp: Client
) -> None:
    for n in range(500):
        await amqp.publish("toy.mark", {"text": f"rest {n}"}, message_id=f"rest {n}", answered=True)
    toy.process.ask_to_end()
    ended = await asyncio.to_thread(toy.process.wait, 15)
    for _ in range(500):
        await amqp.next_answer()

    rows = await system.fetch(TOY, "SELECT text FROM marks WHERE text LIKE 'rest %'")
    assert (ended, toy.process.exit_code) == (True, 0)
    assert len(rows) == 500
