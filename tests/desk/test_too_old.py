"""What was done so long ago that its inbox has forgotten it is not done again without a person knowing."""

from datetime import UTC, datetime

import httpx2
import pytest

from tests.amqp import Client
from tests.desk.test_work import TOY, a_dead_copy
from tests.letters import ADA, listed, told, until
from tests.system import Replica, System


async def done_and_forgotten(
    system: System, amqp: Client, http: httpx2.AsyncClient, name: str, count: int = 1
) -> list[str]:
    """Letters of messages that were done 80 hours ago, which nobody but the desk remembers."""
    exchange = await amqp.channel.get_exchange("dead_letters", ensure=False)
    for number in range(count):
        body = {"text": name, "then": "end"}
        await amqp.ask("toy.mark", body, message_id=f"{name} {number}")
        dead = a_dead_copy(body, f"{name} {number}")
        dead.timestamp, dead.correlation_id = datetime.now(UTC), name
        await exchange.publish(dead, "toy.mark")
    lines = await listed(http, count, conversation=name)
    await system.fetch(TOY, "DELETE FROM inbox WHERE message_id LIKE $1", f"{name} %")
    await system.fetch(
        "desk_service",
        "UPDATE letters SET sent_at = sent_at - interval '80 hours' WHERE conversation = $1",
        name,
    )
    return [line["id"] for line in lines]


async def marks(system: System, text: str) -> int:
    return len(await system.fetch(TOY, "SELECT 1 FROM marks WHERE text = $1", text))


@pytest.mark.parametrize("by", ["conversation", "group"])
async def test_what_the_inbox_has_forgotten_is_replayed_by_no_filter(
    system: System, amqp: Client, http: httpx2.AsyncClient, by: str
) -> None:
    name = f"forgotten by {by}"
    await done_and_forgotten(system, amqp, http, name)
    [line] = await listed(http, conversation=name)

    refused = await http.post("/desk/replays", json={"conversation": name, by: line[by]})

    assert line["too_old"]
    assert (refused.status_code, refused.json()["code"]) == (409, "too_old")
    assert refused.json()["detail"].startswith("1 that fit")
    assert await marks(system, name) == 1


async def test_an_order_tells_how_many_it_left_and_takes_them_where_that_is_said(
    system: System, desk: Replica, amqp: Client, http: httpx2.AsyncClient
) -> None:
    old = await done_and_forgotten(system, amqp, http, "old and new", 2)
    young = a_dead_copy({"text": "young", "then": "end"}, "young")
    young.timestamp, young.correlation_id = datetime.now(UTC), "old and new"
    await (await amqp.channel.get_exchange("dead_letters", ensure=False)).publish(young, "toy.mark")
    await listed(http, 3, conversation="old and new")

    _, listing, _ = await told(desk, "list", "--conversation", "old and new")
    _, shown, _ = await told(desk, "show", old[0])
    code, _, errors = await told(desk, "replay", "--conversation", "old and new")
    late, _, refusal = await told(desk, "replay", "--conversation", "old and new")

    assert listing.count("open, too old") == 2
    assert "a replay may do it again" in shown
    assert (code, "2 that fit, too, are left" in errors) == (0, True)
    assert (late, "--too-old" in refusal) == (1, True)
    assert (await marks(system, "young"), await marks(system, "old and new")) == (1, 2)
    [action] = (await http.get("/desk/actions", params={"limit": 1})).json()["items"]
    assert action["details"]["left_too_old"] == 2

    wanted, _, _ = await told(desk, "replay", "--conversation", "old and new", "--too-old")

    assert wanted == 0
    for letter in old:
        await until(http, letter, "done")
    assert await marks(system, "old and new") == 4


async def test_what_is_forgotten_between_the_order_and_its_owner_is_not_done_again(
    system: System, toy: Replica, amqp: Client, http: httpx2.AsyncClient
) -> None:
    """The other desk takes the inbox to remember longer than it does: its owner alone knows better."""
    [letter] = await done_and_forgotten(system, amqp, http, "meanwhile")
    trusting = await system.start("desk_service", inbox_hours="1000")
    async with httpx2.AsyncClient(base_url=trusting.url, timeout=40, headers=ADA) as other:
        ordered = await other.post("/desk/replays", json={"conversation": "meanwhile"})
        assert ordered.raise_for_status().json()["total"] == 1

        shown = await until(other, letter, "open")

    assert shown["reason"].startswith("too_old")
    assert [one["state"] for one in shown["replays"]] == ["failed"]
    assert await marks(system, "meanwhile") == 1
    trusting.process.end()


async def test_what_is_too_old_is_discarded_by_a_filter_like_all_else(
    system: System, amqp: Client, http: httpx2.AsyncClient
) -> None:
    body = {"text": "rubbish", "then": "end"}
    await amqp.publish("toy.mark", body, message_id="rubbish", timestamp=1_000_000_000)
    [line] = await listed(http, message_id="rubbish")

    form = {"message_id": "rubbish", "reason": "done by hand"}
    discarded = (await http.post("/desk/discards", json=form)).raise_for_status().json()

    assert line["reason"].startswith("too_old")
    assert discarded == {"discarded": 1}
