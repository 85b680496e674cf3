"""Done, refused, broken: every message comes to an end that somebody can see."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import aio_pika
import pytest

from infra.local.servers import Servers
from shared.contracts.desk import Fault
from shared.messages import new_id
from tests.amqp import Client, client
from tests.system import Replica, System, eventually

TOY = "tests.toy_service"


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def ring(system: System, queue: str, message_id: str) -> list[dict[str, Any]]:
    """The messages about one command that a person finds in a queue on the management page."""

    async def found() -> list[dict[str, Any]]:
        messages = await system.get_messages(queue)
        return [one for one in messages if message_id in str(one)]

    messages: list[dict[str, Any]] = await eventually(found, f"{message_id} is in {queue}")
    return messages


async def test_what_breaks_twice_is_done_at_the_third_attempt(
    system: System, toy: Replica, amqp: Client
) -> None:
    answer = await amqp.ask("toy.mark", {"text": "third time", "then": "break_twice"}, message_id="twice")

    assert not answer.refused
    rows = await system.fetch(TOY, "SELECT outcome, attempt FROM inbox WHERE message_id = 'twice'")
    assert [(row["outcome"], row["attempt"]) for row in rows] == [("done", 3)]
    assert len(await system.fetch(TOY, "SELECT 1 FROM marks WHERE text = 'third time'")) == 1


async def test_what_always_breaks_is_a_dead_letter_with_its_reason_and_the_asker_hears_of_it(
    system: System, toy: Replica, amqp: Client
) -> None:
    answer = await amqp.ask("toy.mark", {"text": "never", "then": "break"}, message_id="always")

    assert answer.refused
    assert answer.body["code"] == "failed"
    [letter] = await ring(system, "dead_letters", "always")
    headers = letter["properties"]["headers"]
    assert headers["queue"] == "toy.mark"
    assert headers["reason"] == "RuntimeError: Told to break."
    assert headers["errors"] == ["RuntimeError: Told to break."] * 3
    told = headers["traceback"].splitlines()
    assert [line for line in told if line.startswith("Attempt ")] == ["Attempt 1", "Attempt 2", "Attempt 3"]
    assert told.count("Traceback (most recent call last):") == 3
    assert await system.fetch(TOY, "SELECT 1 FROM marks WHERE text = 'never'") == []


async def test_an_event_that_no_broker_takes_is_what_broke_its_command_and_holds_up_nobody(
    system: System, toy: Replica, amqp: Client
) -> None:
    too_much = {"text": "much", "then": "say_too_much"}
    refused = await amqp.ask("toy.mark", too_much, message_id="too-much")
    other = await amqp.ask("toy.mark", {"text": "little"})

    assert (refused.refused, other.refused) == (True, False)
    [letter] = await ring(system, "dead_letters", "too-much")
    assert "bytes and may be 16777216" in letter["properties"]["headers"]["reason"]
    assert await system.fetch(TOY, "SELECT 1 FROM marks WHERE text = 'much'") == []


async def test_under_an_alarm_what_breaks_waits_for_its_copy_and_holds_up_nobody(
    system: System, servers: Servers, toy: Replica
) -> None:
    """The broker takes nothing then, and goes on delivering."""

    async def limit(to: str) -> None:
        await asyncio.to_thread(servers.rabbitmq.control, "set_vm_memory_high_watermark", to)

    bad = {
        "unfit-one": "{",
        "unfit-two": "{",
        "breaks-twice": '{"text": "under the alarm", "then": "break_twice"}',
    }
    good = [f"good under the alarm {number}" for number in range(20)]
    toy.process.freeze()
    try:
        for name, body in bad.items():
            await system.publish_by_hand("toy.mark", body, message_id=name)
        for text in good:
            await system.publish_by_hand("toy.mark", json.dumps({"text": text}), message_id=text)
        await limit("0.00001")
    finally:
        toy.process.thaw()

    async def marked(text: str, number: int) -> bool:
        found = await system.fetch(TOY, f"SELECT 1 FROM marks WHERE text LIKE '{text}'")
        return len(found) == number

    try:
        await eventually(lambda: marked("good under the alarm %", len(good)), "the good ones are done", 30)
        assert "unfit-" not in str(await system.get_messages("dead_letters")), "nothing could have left"
    finally:
        await limit("0.4")
    await eventually(lambda: marked("under the alarm", 1), "what broke is done at its third attempt")
    for name in ("unfit-one", "unfit-two"):  # whose second copies would have come by now
        assert len(await ring(system, "dead_letters", name)) == 1
    again = [line for line in toy.lines() if line["event"] == "delivered again"]
    assert [line for line in again if line["message_id"] in bad] == []


async def test_a_secret_in_an_error_is_told_neither_by_the_operation_nor_the_answer_nor_the_log(
    system: System, toy: Replica, amqp: Client
) -> None:
    await amqp.ask("toy.mark", {"text": "ledger", "then": "need_mending"}, message_id="secret")

    [letter] = await ring(system, "dead_letters", "'ledger'")
    [row] = await system.fetch(TOY, "SELECT * FROM inbox WHERE message_id = 'secret'")
    told = [line for line in toy.lines() if line.get("message_id") == "secret"]
    assert "traceback" in str(told) and letter["properties"]["headers"]["traceback"]
    for text in (str(told), str(letter), str(dict(row))):
        assert "token=[redacted]" in text and "hunter2" not in text


async def test_a_dead_letter_put_back_into_its_queue_is_tried_again(
    system: System, toy: Replica, amqp: Client
) -> None:
    body = {"text": "put back", "then": "break_twice"}
    toy.process.end()
    impatient = await system.start(TOY, retry_seconds="[]")
    answers = [await amqp.ask("toy.mark", body, message_id="put-back") for _ in range(3)]
    impatient.process.end()
    await system.start(TOY)

    assert [answer.refused for answer in answers] == [True, True, False]
    assert len(await system.fetch(TOY, "SELECT 1 FROM marks WHERE text = 'put back'")) == 1


async def test_a_write_that_the_store_refuses_at_the_end_of_a_batch_spares_the_others(
    system: System, toy: Replica, amqp: Client
) -> None:
    bodies = [{"text": f"beside {n}"} for n in range(20)]
    bodies.insert(7, {"text": "against the schema", "then": "write_nothing"})
    for body in bodies:
        await amqp.publish("toy.mark", body, answered=True)
    answers = [await amqp.next_answer() for _ in bodies]

    assert sum(answer.refused for answer in answers) == 1
    rows = await system.fetch(TOY, "SELECT text FROM marks WHERE text LIKE 'beside %'")
    assert len(rows) == 20


async def test_an_operating_system_error_of_a_handler_is_its_own_and_not_a_store_away(
    system: System, toy: Replica, amqp: Client
) -> None:
    answer = await amqp.ask("toy.mark", {"text": "os", "then": "os_error"})

    assert answer.body["code"] == "failed"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"not json", ""),
        (b"", ""),
        (b"[]", ""),
        (b'{"text": "x", "colour": "red"}', "colour"),
        (b'{"text": ""}', "text"),
        (b'{"text": "a\\u0000b"}', "text"),
        (b'{"text": "\\ud800"}', ""),
        (b'{"text": 7}', "text"),
        (b"\xff\xfe", ""),
    ],
)
async def test_what_does_not_fit_is_refused_to_who_asked(
    toy: Replica, amqp: Client, body: bytes, named: str
) -> None:
    answer = await amqp.ask("toy.mark", body)

    assert answer.refused
    assert answer.body["code"] == "invalid"
    assert named in [error["field"] for error in answer.body["errors"]] or named == ""


async def test_what_does_not_fit_and_nobody_waits_for_is_a_dead_letter_at_once(
    system: System, toy: Replica, amqp: Client
) -> None:
    await amqp.publish("toy.mark", b'{"texts": "misspelt"}', message_id="misspelt")

    [letter] = await ring(system, "dead_letters", "misspelt")
    assert letter["payload"] == '{"texts": "misspelt"}'
    assert "text: Field required" in letter["properties"]["headers"]["reason"]


async def test_a_refusal_nobody_waits_for_is_said_and_kept_in_the_ring(
    system: System, toy: Replica, amqp: Client
) -> None:
    await amqp.publish("toy.mark", {"text": "x", "first": "refuse"}, message_id="unheard")

    [message] = await ring(system, "refused.recent", "unheard")
    assert message["routing_key"] == "toy.command_refused"
    assert '"code":"told"' in message["payload"]


async def test_who_acts_is_believed_from_the_gateway_alone(
    system: System, toy: Replica, amqp: Client
) -> None:
    headers = {"actor": "somebody"}
    await amqp.ask("toy.mark", {"text": "by hand"}, headers=headers, user_id="operator")
    async with client(system, "gateway") as gateway:
        await gateway.ask("toy.mark", {"text": "by gateway"}, headers=headers, user_id="gateway")
        await gateway.ask("toy.mark", {"text": "unsigned"}, headers=headers)

    rows = await system.fetch(
        TOY,
        "SELECT text, actor FROM marks WHERE text IN ($1, $2, $3)",
        "by hand",
        "by gateway",
        "unsigned",
    )
    assert {row["text"]: row["actor"] for row in rows} == {
        "by hand": "direct",
        "by gateway": "somebody",
        "unsigned": "direct",
    }


async def test_the_broker_refuses_a_forged_user(system: System, toy: Replica, amqp: Client) -> None:
    with pytest.raises(aio_pika.exceptions.ChannelPreconditionFailed, match="user_id"):
        await amqp.publish("toy.mark", {"text": "forged"}, user_id="gateway")


async def test_who_acts_survives_a_retry(system: System, toy: Replica) -> None:
    async with client(system, "gateway") as gateway:
        body = {"text": "retried actor", "then": "break_twice"}
        await gateway.ask("toy.mark", body, headers={"actor": "somebody"}, user_id="gateway")

    rows = await system.fetch(TOY, "SELECT actor FROM marks WHERE text = 'retried actor'")
    assert [row["actor"] for row in rows] == ["somebody"]


async def test_a_command_older_than_the_inbox_keeps_is_a_dead_letter(
    system: System, toy: Replica, amqp: Client
) -> None:
    await amqp.publish("toy.mark", {"text": "old"}, message_id="ancient", timestamp=1_000_000_000)

    [letter] = await ring(system, "dead_letters", "ancient")
    assert letter["properties"]["headers"]["reason"].startswith("too_old")
    assert await system.fetch(TOY, "SELECT 1 FROM marks WHERE text = 'old'") == []


async def test_a_query_that_breaks_is_answered_at_once_and_never_retried(toy: Replica, amqp: Client) -> None:
    answer = await amqp.ask("toy.count_marks", {"text": "x", "then": "break"})

    assert answer.body["code"] == "failed"


async def test_a_query_that_does_not_fit_is_refused(toy: Replica, amqp: Client) -> None:
    answer = await amqp.ask("toy.count_marks", b"{")

    assert answer.body["code"] == "invalid"


async def test_a_fault_lets_a_command_without_an_ending_read_as_failed_and_no_other(
    system: System, toy: Replica
) -> None:
    async with client(system, "desk_service") as desk:
        await desk.ask("toy.mark", {"text": "ended"}, message_id="ended")
        events = await desk.channel.get_exchange("events", ensure=False)
        for queue, message_id in [
            ("toy.mark", "ended"),
            ("toy.mark", "faulty"),
            ("other.mark", "theirs"),
        ] * 2:
            fault = a_fault(queue, message_id)
            await events.publish(aio_pika.Message(fault, message_id=new_id().hex), "desk.fault")

        async def noted() -> bool:
            return (await outcomes(system)).keys() >= {"faulty", "ended"}

        await eventually(noted, "the fault is noted")
        again = await desk.ask("toy.mark", {"text": "replayed"}, message_id="faulty")

    assert not again.refused
    assert await outcomes(system) == {"ended": "done", "faulty": "done"}


async def outcomes(system: System) -> dict[str, str]:
    statement = "SELECT message_id, outcome FROM inbox WHERE message_id IN ('ended', 'faulty', 'theirs')"
    return {row["message_id"]: row["outcome"] for row in await system.fetch(TOY, statement)}


def a_fault(queue: str, message_id: str) -> bytes:
    fault = Fault(
        letter=new_id(),
        queue=queue,
        message_id=message_id,
        actor="direct",
        reason="said so",
        cause="said so",
        attempts=1,
        died_at=datetime.now(UTC),
    )
    return fault.model_dump_json().encode()
