"""What the desk drains is acknowledged only when it is kept: whatever breaks, nothing goes past it."""

import asyncio
from typing import Any

import aio_pika
import httpx2

from infra.local.servers import Servers
from shared.topology import DEAD_LETTERS
from tests.amqp import Client
from tests.letters import listed
from tests.system import Replica, System, eventually

MANY = 200
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$
"""


def a_dead_one(name: str, queue: str = "toy.mark", **headers: Any) -> aio_pika.Message:
    said = {"queue": queue, "reason": "said so", "died-at": "2026-01-01T00:00:00+00:00"}
    return aio_pika.Message(b"{}", message_id=name, headers=said | headers, delivery_mode=2)


async def bury(amqp: Client, *letters: aio_pika.Message) -> None:
    exchange = await amqp.channel.get_exchange(DEAD_LETTERS, ensure=False)
    await asyncio.gather(*(exchange.publish(letter, "") for letter in letters))


async def test_while_the_store_is_away_letters_wait_and_are_kept_once_each_when_it_is_back(
    servers: Servers, system: System, amqp: Client, http: httpx2.AsyncClient
) -> None:
    await bury(amqp, *(a_dead_one(f"before {number}") for number in range(MANY)))

    await asyncio.to_thread(servers.postgresql.kill)
    await bury(amqp, *(a_dead_one(f"during {number}") for number in range(MANY)))
    await asyncio.to_thread(servers.postgresql.start)
    await asyncio.to_thread(servers.postgresql.wait_ready)

    kept = await listed(http, 2 * MANY, queue="toy.mark")
    assert {one["deaths"] for one in kept} == {1}
    assert len({one["message_id"] for one in kept}) == 2 * MANY
    await eventually(lambda: _nothing_waits(system), "nothing waits for the desk any more")


async def _nothing_waits(system: System) -> bool:
    return not await system.get_messages(DEAD_LETTERS)


async def test_a_letter_that_the_desk_breaks_on_holds_up_no_other_and_is_kept_once_it_is_mended(
    system: System, desk: Replica, amqp: Client, http: httpx2.AsyncClient
) -> None:
    await system.fetch("desk_service", REFUSE)
    await system.fetch(
        "desk_service",
        "CREATE TRIGGER refusing BEFORE INSERT ON letters FOR EACH ROW "
        "WHEN (NEW.message_id = 'breaks') EXECUTE FUNCTION refuse()",
    )

    await bury(amqp, a_dead_one("breaks"), a_dead_one("beside it"))

    await listed(http, message_id="beside it")
    assert not (await http.get("/desk/letters", params={"message_id": "breaks"})).json()["items"]
    await eventually(lambda: _has_broken(desk), "the desk broke on it")
    await system.fetch("desk_service", "DROP TRIGGER refusing ON letters")
    desk.process.kill()
    desk.process.start()
    await system.until_ready(desk)
    assert len(await listed(http, message_id="breaks")) == 1


async def _has_broken(desk: Replica) -> bool:
    return any(line["event"] == "broke" and "not this one" in line["reason"] for line in desk.lines())
