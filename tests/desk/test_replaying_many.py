"""The desk: what failed is kept, shown, and sent again, on real servers and whatever dies meanwhile."""

import asyncio
from typing import Any

import httpx2

from tests.amqp import Client
from tests.letters import listed, told, whole
from tests.system import Replica, System, eventually

TOY = "tests.toy_service"
MANY = 1000


async def test_a_message_that_breaks_is_shown_whole(
    toy: Replica, amqp: Client, http: httpx2.AsyncClient
) -> None:
    body = {"text": "shown", "then": "break"}
    await amqp.publish("toy.mark", body, message_id="shown", headers={"mood": "fine", "api-key": "hunter2"})

    [line] = await listed(http, message_id="shown")
    letter = await whole(http, line["id"])

    assert (letter["state"], letter["service"], letter["queue"]) == ("open", "toy", "toy.mark")
    assert letter["body"] == {"form": "json", "json": body}
    assert letter["headers"] == {"mood": "fine", "api-key": "[redacted]"}
    assert letter["reason"] == "RuntimeError: Told to break."
    assert (letter["message"], letter["type"], letter["app_id"]) == ("toy.mark", None, None)
    [death] = letter["died"]
    assert death["errors"] == ["RuntimeError: Told to break."]
    assert "Traceback" in death["traceback"]
    assert death["by"] == "service"


async def test_a_thousand_that_failed_of_one_cause_are_all_done_after_one_command_with_the_desk_killed_twice(
    system: System, toy: Replica, desk: Replica, http: httpx2.AsyncClient, amqp: Client
) -> None:
    texts = [f"many {n}" for n in range(MANY)]
    publishing = (
        amqp.publish("toy.mark", {"text": text, "then": "need_mending"}, message_id=text) for text in texts
    )
    await asyncio.gather(*publishing)
    await eventually_counted(http, MANY // 4, "the drain has begun")
    desk.process.kill()
    kept = await system.fetch("desk_service", "SELECT 1 FROM letters WHERE message_id LIKE 'many %'")
    assert MANY // 4 <= len(kept) < MANY, "it was killed in the middle"
    desk.process.start()
    await system.until_ready(desk)
    [group] = await eventually_counted(http, MANY, "all lie on the desk")
    assert group["cause"] == "LookupError: No ledger <n> for <value>; token=[redacted]"

    toy.process.end()
    await system.start(TOY, retry_seconds="[]", mended="yes")
    command = asyncio.create_task(
        told(desk, "replay", "--group", group["group"], "--rate", "100", "--as", "ada")
    )
    order = await eventually_ordered(http)
    await eventually_done(http, order, MANY // 10)
    desk.process.kill()
    ended = await system.fetch("desk_service", "SELECT 1 FROM replays WHERE state = 'done'")
    assert MANY // 10 <= len(ended) < MANY, "it was killed in the middle"
    desk.process.start()
    await system.until_ready(desk)
    code, output, _ = await command
    assert (code, output) == (0, f"{MANY} to replay: 0 queued, 0 sent, {MANY} done\n")

    rows = await system.fetch(TOY, "SELECT text FROM marks WHERE text LIKE 'many %'")
    assert sorted(row["text"] for row in rows) == sorted(texts)
    assert (await http.get("/desk/groups", params={"group": group["group"]})).json()["items"] == []
    done = await listed(http, MANY, state="done", group=group["group"])
    assert sorted(letter["message_id"] for letter in done) == sorted(texts)
    replays = await system.fetch("desk_service", "SELECT letter, ordered, state FROM replays")
    assert {(str(one["ordered"]), one["state"]) for one in replays} == {(order["id"], "done")}
    assert sorted(str(one["letter"]) for one in replays) == sorted(letter["id"] for letter in done)
    [replay] = (await whole(http, done[0]["id"]))["replays"]
    assert (replay["who"], replay["state"], replay["ordered"]) == ("ada", "done", order["id"])
    [action] = (await http.get("/desk/actions")).json()["items"]
    assert (action["who"], action["what"], action["ordered"]) == ("ada", "replayed", order["id"])


async def eventually_ordered(http: httpx2.AsyncClient) -> dict[str, Any]:
    """The first order, once there is one."""

    async def found() -> dict[str, Any] | None:
        actions = (await http.get("/desk/actions")).json()["items"]
        if not actions:
            return None
        order: dict[str, Any] = (await http.get(f"/desk/replays/{actions[0]['ordered']}")).json()
        return order

    order: dict[str, Any] = await eventually(found, "it is ordered")
    assert order["total"] == MANY
    return order


async def eventually_counted(http: httpx2.AsyncClient, count: int, what: str) -> list[dict[str, Any]]:
    async def counted() -> list[dict[str, Any]]:
        answer = await http.get("/desk/groups", params={"queue": "toy.mark"})
        groups: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
        groups = [one for one in groups if one["cause"].startswith("LookupError")]
        return groups if groups and groups[0]["letters"] >= count else []

    groups: list[dict[str, Any]] = await eventually(counted, what)
    return groups


async def eventually_done(http: httpx2.AsyncClient, order: dict[str, Any], count: int) -> None:
    async def done() -> bool:
        return bool((await http.get(f"/desk/replays/{order['id']}")).json()["done"] >= count)

    await eventually(done, f"{count} of the order are done")
