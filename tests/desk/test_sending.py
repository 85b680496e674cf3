"""What becomes of an order while the broker does not confirm and while the desk is away, and who is told."""

import asyncio
import os
import sys
from urllib.parse import urlsplit

import httpx2

from infra.local.servers import Servers
from tests.amqp import Client
from tests.letters import listed, until
from tests.system import ROOT, Replica, System, eventually

TOY = "tests.toy_service"


async def test_what_is_sent_and_not_confirmed_is_neither_stopped_nor_edited_and_holds_up_nobody(
    servers: Servers, system: System, toy: Replica, amqp: Client, http: httpx2.AsyncClient
) -> None:
    for name in ("unconfirmed", "beside"):
        await amqp.publish("toy.mark", {"text": name, "then": "need_mending"}, message_id=name)
    [letter], [beside] = [await listed(http, message_id=name) for name in ("unconfirmed", "beside")]
    toy.process.end()
    mended = await system.start(TOY, retry_seconds="[]", mended="yes")
    servers.rabbitmq.freeze()
    try:
        order = (await http.post("/desk/replays", json={"letter": letter["id"]})).json()
        place = f"/desk/replays/{order['id']}"

        async def is_being_sent() -> bool:
            return bool((await http.get(place)).json()["sending"])

        await eventually(is_being_sent, "it is being sent")
        discarded = await http.post(
            "/desk/discards", json={"letter": beside["id"], "reason": "not needed"}, timeout=5
        )
        stopped = (await http.post(f"{place}/stop", json={}, timeout=5)).json()
        edited = await http.post(f"/desk/letters/{letter['id']}/edit", json={"headers": {"mended": "yes"}})
        still = (await http.get(place)).json()
    finally:
        servers.rabbitmq.thaw()

    assert discarded.status_code == 200
    assert (stopped["stopped"], stopped["sending"], still["sending"]) == (0, 1, 1)
    assert edited.status_code == 409
    await until(http, letter["id"], "done")
    assert len(await system.fetch(TOY, "SELECT 1 FROM marks WHERE text = 'unconfirmed'")) == 1
    mended.process.end()
    await system.start(TOY, retry_seconds="[]")


async def test_who_follows_an_order_follows_it_over_a_restart_of_the_desk(
    system: System, desk: Replica, amqp: Client, http: httpx2.AsyncClient
) -> None:
    for number in range(3):
        await amqp.publish("toy.mark", {"text": "followed", "then": "break"}, message_id=f"followed {number}")
    for number in range(3):
        await listed(http, message_id=f"followed {number}")
    order = (await http.post("/desk/replays", json={"queue": "toy.mark", "rate": 0.5})).json()
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "desk_service", "progress", order["id"], "--url", desk.url),
        cwd=ROOT,
        env=os.environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert program.stderr and b"3 to replay" in await program.stderr.readline()

    desk.process.kill()
    said = b""
    while b"The desk is away" not in said:
        said = await asyncio.wait_for(program.stderr.readline(), 30)
        assert said, "it ended with the desk"
    await system.start("desk_service", http_port=str(urlsplit(desk.url).port))

    output, errors = await program.communicate()
    assert output.decode().strip() == "3 to replay: 0 queued, 0 sent, 3 failed"
    assert (program.returncode, b"failed again" in errors) == (1, True)
