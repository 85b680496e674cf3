"""Messages that would bring down whoever touches them end by themselves, and their neighbours live."""

import asyncio
from typing import Any

import aiormq
import asyncpg
import pytest
from pamqp import encode
from pamqp.commands import Basic

from tests.amqp import Client
from tests.system import Replica, System, eventually

TOY = "tests.toy_service"


async def dead(system: System, about: str) -> list[str]:
    letters = await system.get_messages("dead_letters")
    return [one["properties"]["message_id"] for one in letters if about in str(one["properties"])]


async def test_a_message_that_kills_its_process_dies_alone(system: System, amqp: Client) -> None:
    await system.migrate(TOY)
    for n in range(200):
        await amqp.publish("toy.mark", {"text": f"beside {n}"}, message_id=f"beside {n}")
        if n == 100:
            await amqp.publish("toy.mark", {"text": "poison", "then": "die"}, message_id="deadly")
    replica = system.launch(TOY)

    async def all_done() -> bool:
        nonlocal replica
        if replica.process.exit_code is not None:
            replica = system.launch(TOY)
        rows = await system.fetch(TOY, "SELECT 1 FROM heard WHERE text LIKE 'beside %'")
        return len(rows) == 200 and await dead(system, "deadly") == ["deadly"]

    await eventually(all_done, "the good are done and heard, the deadly is a dead letter", seconds=120)
    marks = await system.fetch(TOY, "SELECT text FROM marks")
    letters = await system.get_messages("dead_letters")
    replica.process.end()
    assert sorted(row["text"] for row in marks) == sorted(f"beside {n}" for n in range(200))
    assert len(letters) == 1


async def test_of_several_that_kill_none_brings_another_back(system: System, amqp: Client) -> None:
    await system.migrate(TOY)
    for n in range(3):
        await amqp.publish("toy.mark", {"text": "killer", "then": "die"}, message_id=f"killer {n}")
    replica = system.launch(TOY)
    deaths = 0

    async def all_dead() -> bool:
        nonlocal replica, deaths
        if replica.process.exit_code is not None:
            replica, deaths = system.launch(TOY), deaths + 1
        return len(set(await dead(system, "killer"))) == 3

    await eventually(all_dead, "all are dead letters", seconds=120)
    letters = await dead(system, "killer")
    replica.process.end()
    assert sorted(letters) == [f"killer {n}" for n in range(3)]
    assert deaths <= 3 * 3 + 1  # each is tried three times alone, the first time perhaps together


async def test_connections_lost_again_and_again_make_nobody_a_suspect(
    system: System, toy: Replica, amqp: Client
) -> None:
    holder = await asyncpg.connect(system.database_url(TOY))
    async with holder.transaction():
        await holder.execute("LOCK TABLE marks")
        for n in range(10):
            await amqp.publish("toy.mark", {"text": f"often {n}"}, message_id=f"often {n}")
        for _ in range(4):
            await eventually(lambda: delivered_anew(system), "all are in hand on a new connection")
    await holder.close()

    async def all_marked() -> bool:
        return len(await system.fetch(TOY, "SELECT 1 FROM marks WHERE text LIKE 'often %'")) == 10

    await eventually(all_marked, "all are done")
    assert await dead(system, "often") == []


async def delivered_anew(system: System) -> bool:
    """Close the toy's consuming connection once all ten are delivered on it."""
    async with system.management() as page:
        connections = (await page.get(f"/api/vhosts/{system.name}/connections")).json()
        for connection in connections:
            if connection["client_properties"].get("connection_name") != "toy consumes":
                continue
            channels = (await page.get(f"/api/connections/{connection['name']}/channels")).json()
            if sum(channel.get("messages_unacknowledged", 0) for channel in channels) >= 10:
                return (await page.delete(f"/api/connections/{connection['name']}")).is_success
    return False


async def test_a_header_that_amqp_cannot_hold_again_does_not_lose_its_command(
    system: System, toy: Replica, amqp: Client
) -> None:
    body = '{"text": "double header", "then": "break_twice"}'
    await system.publish_by_hand("toy.mark", body, message_id="double", headers={"h": 1e300})

    async def done() -> bool:
        rows = await system.fetch(TOY, "SELECT outcome FROM inbox WHERE message_id = 'double'")
        return [row["outcome"] for row in rows] == ["done"]

    await eventually(done, "the command is done")
    await system.until_ready(toy)
    assert not (await amqp.ask("toy.mark", {"text": "after it"})).refused


@pytest.mark.parametrize(
    "properties",
    [{"timestamp": 10**18}, {"headers": {"big": "x" * 130_800}}],
    ids=["timestamp in nanoseconds", "headers that fill a frame"],
)
@pytest.mark.parametrize("queue", ["toy.mark", "toy.count_marks"])
async def test_properties_that_no_client_should_send_stop_nobody(
    system: System, toy: Replica, amqp: Client, queue: str, properties: dict[str, Any]
) -> None:
    await system.publish_by_hand(queue, "not json", **properties)

    answer = await amqp.ask("toy.mark", {"text": "unharmed"})

    assert not answer.refused
    assert toy.process.exit_code is None


async def test_a_message_id_that_is_not_text_is_taken_as_it_is(
    system: System, toy: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode, "short_string", lambda value: bytes([len(value)]) + value.encode("latin-1"))
    monkeypatch.setitem(encode.METHODS, "shortstr", encode.short_string)
    connection = await aiormq.connect(system.broker_url("operator"))
    channel = await connection.channel()
    properties = Basic.Properties(message_id="caf\xe9")
    await channel.basic_publish(b'{"text": "latin"}', routing_key="toy.mark", properties=properties)
    monkeypatch.undo()
    await connection.close()

    async def marked() -> bool:
        return bool(await system.fetch(TOY, "SELECT 1 FROM marks WHERE text = 'latin'"))

    await eventually(marked, "the command is done")


async def test_a_query_answered_with_nothing_is_a_failed_answer_and_not_a_crash(
    toy: Replica, amqp: Client
) -> None:
    answer = await amqp.ask("toy.count_marks", {"text": "x", "then": "answer_nothing"})

    assert answer.body["code"] == "failed"
    assert toy.process.exit_code is None


async def test_what_fails_at_the_commit_was_not_answered_or_said_before(
    system: System, toy: Replica, amqp: Client
) -> None:
    answer = await amqp.ask("toy.mark", {"text": "at the commit", "then": "fail_at_commit"})

    assert answer.body["code"] == "failed"
    assert await system.fetch(TOY, "SELECT 1 FROM marks WHERE text = 'at the commit'") == []
    assert await system.fetch(TOY, "SELECT 1 FROM heard WHERE text = 'at the commit'") == []


async def test_the_outbox_is_cleared_and_old_inbox_rows_are_purged(
    system: System, toy: Replica, amqp: Client
) -> None:
    await amqp.ask("toy.mark", {"text": "to be forgotten"}, message_id="forgotten")

    async def cleared() -> bool:
        return not await system.fetch(TOY, "SELECT 1 FROM outbox")

    async def purged() -> bool:
        return not await system.fetch(TOY, "SELECT 1 FROM inbox WHERE message_id = 'forgotten'")

    await eventually(cleared, "the outbox is empty")
    forgetful = await system.start(TOY, inbox_hours="0")
    await eventually(purged, "the row is gone")
    forgetful.process.end()


async def test_a_process_whose_port_is_taken_says_so_and_ends(system: System, toy: Replica) -> None:
    taken = toy.url.rpartition(":")[2]
    second = system.launch(TOY, http_port=taken)

    ended = await asyncio.to_thread(second.process.wait, 30)

    assert ended
    assert second.process.exit_code == 1
    assert f"Cannot listen on 127.0.0.1:{taken}" in second.log.read_text()


async def test_a_retry_after_a_time_that_no_level_has_is_refused_at_the_start(system: System) -> None:
    replica = system.launch(TOY, retry_seconds="[5]")

    await asyncio.to_thread(replica.process.wait, 30)

    assert replica.process.exit_code == 1
    assert "no delay level of [5] s" in replica.log.read_text()
