"""What the desk keeps of a letter, for how long, and what it tells of a replay that nobody answers for."""

import json
from datetime import UTC, datetime

import aio_pika
import httpx2

from desk_service.command_line import tables
from shared.messages import MOST_BYTES
from tests.amqp import Client
from tests.desk.test_draining import a_dead_one, bury
from tests.desk.test_work import a_dead_copy
from tests.letters import listed, until, whole
from tests.system import System, eventually

MANY = 300
LONG_AGO = "2020-01-01T00:00:00+00:00"
OLD = "changed_at = '2020-01-01'"


async def test_a_letter_at_its_end_is_removed_months_later_and_an_open_one_never(
    system: System, amqp: Client, http: httpx2.AsyncClient
) -> None:
    await bury(amqp, a_dead_one("old and discarded"), a_dead_one("old and open"), a_dead_one("discarded"))
    ids = [(await listed(http, message_id=name))[0]["id"] for name in ("old and discarded", "discarded")]
    for letter in ids:
        await http.post("/desk/discards", json={"letter": letter, "reason": "not needed"})
    await system.fetch(
        "desk_service", "UPDATE letters SET changed_at = '2020-01-01' WHERE message_id LIKE 'old and %'"
    )

    sweeping = await system.start("desk_service", sweep_seconds="0.2")

    await eventually(lambda: _is_gone(http, ids[0]), "the old letter is removed")
    sweeping.process.end()
    assert len(await listed(http, message_id="old and open")) == 1
    assert (await whole(http, ids[1]))["state"] == "discarded"
    for table in ("deaths", "actions"):
        rows = await system.fetch("desk_service", f"SELECT 1 FROM {table} WHERE letter = $1", ids[0])
        assert rows == [], table


async def test_what_was_edited_stays_as_long_as_what_came_of_it(
    system: System, amqp: Client, http: httpx2.AsyncClient
) -> None:
    await bury(amqp, a_dead_one("first"), a_dead_one("second"), a_dead_one("other"))
    [first], [second], [other] = [
        await listed(http, message_id=name) for name in ("first", "second", "other")
    ]
    for change in (
        f"state = 'edited', {OLD} WHERE message_id = 'first'",
        f"edited_from = '{first['id']}' WHERE message_id = 'second'",
        f"state = 'discarded', {OLD} WHERE message_id = 'other'",
    ):
        await system.fetch("desk_service", f"UPDATE letters SET {change}")

    sweeping = await system.start("desk_service", sweep_seconds="0.2")

    await eventually(lambda: _is_gone(http, other["id"]), "another letter of that age is removed")
    assert (await whole(http, first["id"]))["state"] == "edited"
    await http.post("/desk/discards", json={"letter": second["id"], "reason": "not needed"})
    await system.fetch("desk_service", f"UPDATE letters SET {OLD} WHERE message_id = 'second'")

    await eventually(lambda: _is_gone(http, second["id"]), "what came of it is removed")
    await eventually(lambda: _is_gone(http, first["id"]), "then so is what was edited")
    sweeping.process.end()


async def _is_gone(http: httpx2.AsyncClient, letter: str) -> bool:
    return (await http.get(f"/desk/letters/{letter}")).status_code == 404


async def test_a_replay_carries_what_json_has_no_form_for_as_it_came(
    amqp: Client, http: httpx2.AsyncClient
) -> None:
    sent = {"at": datetime(2026, 1, 31, 12, tzinfo=UTC), "raw": bytearray(b"\xff\x00"), "count": 3}
    queue = await amqp.channel.declare_queue("replayed.here", exclusive=True)
    await bury(amqp, a_dead_one("exact", "replayed.here", **sent))
    [line] = await listed(http, message_id="exact")

    (await http.post("/desk/replays", json={"letter": line["id"]})).raise_for_status()

    replayed = await _next(queue)
    assert {name: replayed.headers[name] for name in sent} == sent
    shown = await whole(http, line["id"])
    assert shown["headers"] == {"at": "2026-01-31 12:00:00+00:00", "raw": "\ufffd\ufffd", "count": 3}


async def test_a_letter_that_is_larger_than_every_broker_takes_is_not_sent_and_says_why(
    system: System, amqp: Client, http: httpx2.AsyncClient
) -> None:
    queue = await amqp.channel.declare_queue("large.home", exclusive=True)
    await bury(amqp, a_dead_one("large", "large.home"), a_dead_one("small", "large.home"))
    [large], [small] = [await listed(http, message_id=name) for name in ("large", "small")]
    body = f"convert_to(repeat('x', {MOST_BYTES + 1}), 'UTF8')"
    await system.fetch("desk_service", f"UPDATE letters SET body = {body} WHERE id = $1", large["id"])

    order = (await http.post("/desk/replays", json={"letter": large["id"]})).raise_for_status().json()
    (await http.post("/desk/replays", json={"letter": small["id"]})).raise_for_status()

    async def failed() -> bool:
        return bool((await http.get(f"/desk/replays/{order['id']}")).json()["failed"])

    await eventually(failed, "it has failed")
    shown = await whole(http, large["id"])
    assert shown["state"] == "open"
    assert f"{MOST_BYTES + 1} bytes and may be {MOST_BYTES}" in shown["replays"][0]["note"]
    assert (await _next(queue)).message_id == "small"
    assert await queue.get(fail=False) is None
    edited = await http.post(f"/desk/letters/{large['id']}/edit", json={"headers": {"mended": "yes"}})
    assert (edited.status_code, f"may be {MOST_BYTES}" in edited.json()["detail"]) == (422, True)


async def test_of_a_replay_whose_owner_says_nothing_it_is_told_since_when_and_what_to_do(
    amqp: Client, http: httpx2.AsyncClient
) -> None:
    queue = await amqp.channel.declare_queue("nobody.home", exclusive=True)
    await bury(amqp, a_dead_one("unanswered", "nobody.home"))
    [line] = await listed(http, message_id="unanswered")
    made = (await http.post("/desk/replays", json={"letter": line["id"]})).raise_for_status().json()
    await _next(queue)

    async def told() -> dict[str, str]:
        order: dict[str, str] = (await http.get(f"/desk/replays/{made['id']}")).json()
        return order if order["waiting_since"] else {}

    order = await eventually(told, "it is told since when")
    assert order["waiting_since"] >= order["ordered_at"]
    assert f"stop {made['id']} --waiting" in tables.letter(await whole(http, line["id"]))
    assert "Pending" not in tables.progress(order)
    assert "Pending since" in tables.progress(order | {"waiting_since": LONG_AGO})

    await http.post(f"/desk/replays/{made['id']}/stop", json={"waiting": True})
    await until(http, line["id"], "open")


async def test_an_owner_that_does_not_answer_is_asked_after_one_letter_and_keeps_no_other_waiting(
    system: System, amqp: Client, http: httpx2.AsyncClient
) -> None:
    await amqp.channel.declare_queue("silent.home", exclusive=True)
    asked: list[str] = []

    async def note(question: aio_pika.abc.AbstractIncomingMessage) -> None:
        asked.append(json.loads(question.body)["message_id"])

    questions_to = await amqp.channel.declare_queue("silent.get_operation", exclusive=True)
    await questions_to.consume(note, no_ack=True)
    await bury(amqp, *(a_dead_one(f"silent {number}", "silent.home") for number in range(MANY)))
    await listed(http, MANY, queue="silent.home")
    form = {"queue": "silent.home", "rate": 1000, "too_old": True}
    order = (await http.post("/desk/replays", json=form)).raise_for_status().json()

    async def all_are_sent() -> bool:
        return bool((await http.get(f"/desk/replays/{order['id']}")).json()["sent"] == MANY)

    await eventually(all_are_sent, "all are sent")
    await until_asked(asked, 1)
    [letter] = await listed(http, message_id=asked[0])

    async def is_silent() -> bool:
        [replay] = (await whole(http, letter["id"]))["replays"]
        return "does not say" in replay["note"]

    await eventually(is_silent, "its owner has not answered")
    at_first = len(asked)
    await until_asked(asked, at_first + 2)
    assert len(asked) < at_first + 10

    body = {"text": "answered", "then": "end"}
    await amqp.ask("toy.mark", body, message_id="answered")
    await bury(amqp, a_dead_copy(body, "answered"))
    [line] = await listed(http, message_id="answered")
    questions = len(asked)
    await http.post("/desk/replays", json={"letter": line["id"]})
    await until(http, line["id"], "done")
    assert len(asked) < questions + 10
    await http.post(f"/desk/replays/{order['id']}/stop", json={"waiting": True})


async def until_asked(asked: list[str], count: int) -> None:
    async def enough() -> bool:
        return len(asked) >= count

    await eventually(enough, f"{count} questions were asked")


async def _next(queue: aio_pika.abc.AbstractQueue) -> aio_pika.abc.AbstractIncomingMessage:
    async def got() -> aio_pika.abc.AbstractIncomingMessage | None:
        return await queue.get(no_ack=True, fail=False)

    message: aio_pika.abc.AbstractIncomingMessage = await eventually(got, "it is replayed")
    return message
