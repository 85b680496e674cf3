"""What people do at the desk: replay, edit, discard; who is told what, and what is put on record."""

import asyncio
import json
from typing import Any

import aio_pika
import httpx2
import pytest

from tests.amqp import Client
from tests.desk.test_draining import a_dead_one, bury
from tests.letters import listed, until, whole
from tests.system import Replica, System, eventually

TOY = "tests.toy_service"


async def a_letter(amqp: Client, http: httpx2.AsyncClient, name: str, **body: Any) -> str:
    """The id of a letter of a message that broke."""
    await amqp.publish("toy.mark", {"text": name, "then": "break", **body}, message_id=name)
    [line] = await listed(http, message_id=name)
    return str(line["id"])


async def test_what_fails_again_is_open_again_with_both_deaths_and_the_replay_between_them(
    amqp: Client, http: httpx2.AsyncClient
) -> None:
    letter = await a_letter(amqp, http, "again")

    order = (await http.post("/desk/replays", json={"letter": letter})).raise_for_status().json()

    async def failed() -> bool:
        return bool((await http.get(f"/desk/replays/{order['id']}")).json()["failed"])

    await eventually(failed, "the replay has failed")
    shown = await until(http, letter, "open")
    [replay] = shown["replays"]
    assert (replay["state"], replay["note"]) == ("failed", "RuntimeError: Told to break.")
    assert [death["replay"] for death in shown["died"]] == [None, replay["id"]]
    assert shown["deaths"] == 2


@pytest.mark.parametrize("ending", ["done", "stopped"])
async def test_a_death_that_carries_a_replays_id_is_its_end_whatever_was_said_of_it_before(
    system: System, amqp: Client, http: httpx2.AsyncClient, ending: str
) -> None:
    """Of two messages with one id the owner can only be asked about that id."""
    names = [f"{ending} and dead", f"{ending} beside it"]
    await bury(amqp, *(a_dead_one(name, "said.here") for name in names))
    letters = [(await listed(http, message_id=name))[0]["id"] for name in names]
    replays = []
    for letter in letters:
        (await http.post("/desk/replays", json={"letter": letter})).raise_for_status()
        replays += (await until(http, letter, "open"))["replays"]
        await system.fetch("desk_service", "UPDATE replays SET state = $1 WHERE letter = $2", ending, letter)
        await system.fetch("desk_service", "UPDATE letters SET state = 'done' WHERE id = $1", letter)

    ended_by = [replays[0]["id"], replays[1]["id"], "no id"]
    await bury(amqp, *(a_dead_one(names[0], "said.here", replay=one, reason=one) for one in ended_by))

    async def has_died() -> bool:
        return bool((await whole(http, letters[0]))["deaths"] == 1 + len(ended_by))

    await eventually(has_died, "it has died again")
    dead, beside = [await whole(http, letter) for letter in letters]
    assert dead["state"] == "open"
    assert [(one["state"], one["note"]) for one in dead["replays"]] == [("failed", replays[0]["id"])]
    assert [one["state"] for one in beside["replays"]] == [ending]


async def test_the_record_tells_by_what_letters_were_discarded_and_who_stopped_their_replay(
    amqp: Client, http: httpx2.AsyncClient
) -> None:
    await bury(amqp, *(a_dead_one(f"recorded {number}", "recorded.here") for number in range(2)))
    await listed(http, 2, queue="recorded.here")
    form = {"queue": "recorded.here", "too_old": True, "rate": 0.01}
    order = (await http.post("/desk/replays", json=form)).raise_for_status().json()
    await http.post(f"/desk/replays/{order['id']}/stop", json={}, headers={"who": "bob"})

    for choice in ({"queue": "recorded.here"}, {"all": True}):
        await bury(amqp, a_dead_one(f"recorded by {choice}", "recorded.here"))
        [late] = await listed(http, message_id=f"recorded by {choice}")
        (await http.post("/desk/discards", json={**choice, "reason": "no need"})).raise_for_status()
        [action] = (await whole(http, late["id"]))["actions"]
        assert (action["what"], action["details"]) == ("discarded", {**choice, "reason": "no need"})
    letters = [await whole(http, one["id"]) for one in await listed(http, 2, queue="recorded.here")]
    notes = [one["note"] for letter in letters for one in letter["replays"] if one["state"] == "stopped"]
    assert set(notes) == {"Stopped by bob."}


async def test_long_reasons_of_one_cause_are_one_group_however_long_their_values_are(
    amqp: Client, http: httpx2.AsyncClient
) -> None:
    letters = [
        await whole(http, await a_letter(amqp, http, name, then="need_mending"))
        for name in ("s", "the longest name that there may be, " * 5)
    ]

    assert {one["cause"] for one in letters} == {"LookupError: No ledger <n> for <value>; token=[redacted]"}
    assert len({one["group"] for one in letters}) == 1
    assert letters[1]["reason"].endswith("'; token=[redacted]")


async def test_of_two_who_act_on_one_message_at_once_one_is_told(
    amqp: Client, http: httpx2.AsyncClient
) -> None:
    letter = await a_letter(amqp, http, "both")

    answers = await asyncio.gather(
        http.post("/desk/discards", json={"letter": letter, "reason": "not needed"}, headers={"who": "bob"}),
        http.post("/desk/discards", json={"letter": letter, "reason": "not needed"}),
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    [told] = [answer.json() for answer in answers if answer.status_code == 409]
    [action] = (await whole(http, letter))["actions"]
    assert told["code"] == "already_acted_on"
    assert f"{action['who']} was here" in told["detail"]
    assert (action["what"], action["details"]) == ("discarded", {"reason": "not needed"})


async def test_an_edited_message_is_done_under_a_new_id_and_the_original_is_kept(
    system: System, amqp: Client, http: httpx2.AsyncClient
) -> None:
    letter = await a_letter(amqp, http, "edited")
    original = await whole(http, letter)

    changes = {"changes": {"then": None}, "headers": {"mended": "yes"}}
    made = (await http.post(f"/desk/letters/{letter}/edit", json=changes)).raise_for_status().json()

    new = await until(http, made["id"], "done")
    old = await whole(http, letter)
    assert new["message_id"] != original["message_id"]
    assert new["edited_from"] == letter
    assert new["headers"] == {"mended": "yes"}
    assert (old["state"], old["edited_to"], old["body"]) == ("edited", [new["id"]], original["body"])
    rows = await system.fetch(TOY, "SELECT message_id FROM marks WHERE text = 'edited'")
    assert [row["message_id"] for row in rows] == [new["message_id"]]
    assert (await http.post("/desk/replays", json={"letter": letter})).status_code == 409


async def test_an_effect_that_was_had_already_is_not_had_again(
    system: System, amqp: Client, http: httpx2.AsyncClient
) -> None:
    body = {"text": "had", "then": "end"}
    await amqp.ask("toy.mark", body, message_id="had")
    exchange = await amqp.channel.get_exchange("dead_letters", ensure=False)
    for _ in range(2):
        await exchange.publish(a_dead_copy(body, "had"), "toy.mark")
    [line] = await listed(http, message_id="had")

    await http.post("/desk/replays", json={"letter": line["id"]})

    assert (await until(http, line["id"], "done"))["deaths"] == 1
    assert len(await system.fetch(TOY, "SELECT 1 FROM marks WHERE text = 'had'")) == 1


def a_dead_copy(body: dict[str, Any], message_id: str) -> aio_pika.Message:
    headers: aio_pika.abc.HeadersType = {
        "queue": "toy.mark",
        "reason": "said so",
        "died-at": "2026-01-01T00:00:00+00:00",
    }
    return aio_pika.Message(json.dumps(body).encode(), message_id=message_id, headers=headers)


async def test_what_was_sent_and_not_noted_is_sent_again_under_the_same_ids_and_has_one_effect(
    system: System, toy: Replica, desk: Replica, amqp: Client, http: httpx2.AsyncClient
) -> None:
    letter = await a_letter(amqp, http, "unnoted", then="need_mending")
    toy.process.end()
    mended = await system.start(TOY, retry_seconds="[]", mended="yes")
    await http.post("/desk/replays", json={"letter": letter})
    await until(http, letter, "done")

    await system.fetch("desk_service", "UPDATE replays SET state = 'queued' WHERE letter = $1", letter)
    await system.fetch("desk_service", "UPDATE letters SET state = 'pending' WHERE id = $1", letter)

    shown = await until(http, letter, "done")
    assert len(shown["replays"]) == 1
    assert len(await system.fetch(TOY, "SELECT 1 FROM marks WHERE text = 'unnoted'")) == 1
    mended.process.end()
    await system.start(TOY, retry_seconds="[]")


async def test_what_cannot_be_decoded_is_shown_in_hex_and_base64(
    amqp: Client, http: httpx2.AsyncClient
) -> None:
    await amqp.publish("toy.mark", b"\xff\xfe\x00", message_id="undecodable")

    [line] = await listed(http, message_id="undecodable")
    body = (await whole(http, line["id"]))["body"]

    assert body == {"form": "base64", "base64": "//4A", "hex": "ff fe 00"}


@pytest.mark.parametrize(
    ("name", "body"),
    [("half a pair", b'{"title": "\\ud800"}'), ("deep", b"[" * 300 + b"]" * 300)],
)
async def test_json_that_cannot_be_sent_on_is_shown_as_text_and_can_be_edited(
    amqp: Client, http: httpx2.AsyncClient, name: str, body: bytes
) -> None:
    await amqp.publish("toy.mark", body, message_id=name)
    [line] = await listed(http, message_id=name)

    shown = await whole(http, line["id"])
    edited = await http.post(f"/desk/letters/{line['id']}/edit", json={"headers": {"mended": "yes"}})

    assert shown["body"] == {"form": "text", "text": body.decode()}
    assert (edited.status_code, edited.json()["body"]) == (202, shown["body"])


async def test_a_queue_that_does_not_exist_takes_no_replay_and_the_letter_says_so(
    amqp: Client, http: httpx2.AsyncClient
) -> None:
    letter = await a_letter(amqp, http, "astray")

    made = (await http.post(f"/desk/letters/{letter}/edit", json={"queue": "toy.nowhere"})).json()

    shown = await until(http, made["id"], "open")
    assert shown["replays"][0]["note"] == "There is no queue 'toy.nowhere'."


async def test_an_order_that_is_stopped_sends_no_more_and_the_rest_is_open(
    amqp: Client, http: httpx2.AsyncClient
) -> None:
    for number in range(3):
        await amqp.publish("toy.mark", {"text": "slow", "then": "break"}, message_id=f"slow {number}")
    for number in range(3):
        await listed(http, message_id=f"slow {number}")
    order = (await http.post("/desk/replays", json={"queue": "toy.mark", "rate": 0.01})).json()

    stopped = (await http.post(f"/desk/replays/{order['id']}/stop", json={})).raise_for_status().json()

    assert stopped["stopped"] >= order["total"] - 1 > 0
    assert stopped["queued"] == 0


async def test_what_was_stopped_had_not_been_sent_so_that_editing_it_has_one_effect(
    system: System, toy: Replica, amqp: Client, http: httpx2.AsyncClient
) -> None:
    exchange = await amqp.channel.get_exchange("dead_letters", ensure=False)
    names = [f"stopped {number}" for number in range(25)]
    for number, name in enumerate(names):
        await exchange.publish(a_dead_copy({"text": name, "then": "end"}, name), "")
        [line] = await listed(http, message_id=name)
        order = (await http.post("/desk/replays", json={"letter": line["id"]})).json()
        await asyncio.sleep(number * 0.004)
        if (await http.post(f"/desk/replays/{order['id']}/stop", json={})).json()["stopped"]:
            await http.post(f"/desk/letters/{line['id']}/edit", json={"headers": {"mended": "yes"}})

    async def done() -> bool:
        return not (await http.get("/desk/letters", params={"state": "pending"})).json()["items"]

    await eventually(done, "all are at their end")
    rows = await system.fetch(TOY, "SELECT text FROM marks WHERE text LIKE 'stopped %'")
    assert sorted(row["text"] for row in rows) == sorted(names)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({}, "Say which"),
        ({"all": True, "queue": "toy.mark"}, "Say which"),
        ({"quue": "toy.mark"}, "quue"),
        ({"all": True, "rate": 0}, "rate"),
        ({"queue": "no.such"}, "Nothing that fits is open"),
    ],
)
async def test_an_order_that_says_too_little_or_too_much_is_refused(
    http: httpx2.AsyncClient, form: dict[str, Any], told: str
) -> None:
    answer = await http.post("/desk/replays", json=form)

    assert answer.status_code in (409, 422)
    assert told in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example:8004"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"content-type": "text/plain"}, 422),
        ({"who": ""}, 422),
    ],
)
async def test_no_web_page_gets_anything_done(
    http: httpx2.AsyncClient, headers: dict[str, str], status: int
) -> None:
    given = {"content-type": "application/json", **headers}
    answer = await http.post("/desk/replays", content=b'{"all": true}', headers=given)

    assert answer.status_code == status


async def test_what_no_text_holds_is_looked_for_in_vain_or_refused(
    amqp: Client, http: httpx2.AsyncClient
) -> None:
    letter = await a_letter(amqp, http, "no text")
    edit, half = f"/desk/letters/{letter}/edit", '"\\ud800"'

    looked_for = await http.get("/desk/letters", params={"message_id": "a\x00b"})
    too_early = await http.get("/desk/letters", params={"since": "0001-01-01T00:00:00+14:00"})
    ordered = await http.post("/desk/replays", json={"group": "\x00"})
    refused = [
        await http.post(edit, content=f'{{"{name}": {value}}}', headers={"content-type": "application/json"})
        for name, value in (("body", half), ("changes", f'{{"a": {half}}}'))
    ]

    assert (looked_for.status_code, looked_for.json()["items"]) == (200, [])
    assert (too_early.status_code, ordered.status_code) == (422, 409)
    assert [answer.status_code for answer in refused] == [422, 422]


async def test_lists_are_walked_by_their_cursors(amqp: Client, http: httpx2.AsyncClient) -> None:
    for name in ("walked 1", "walked 2", "walked 3"):
        await a_letter(amqp, http, name)

    for path in ("letters", "groups", "actions"):
        walked: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
            page = (await http.get(f"/desk/{path}", params=query)).raise_for_status().json()
            walked += page["items"]
            cursor = page["next_cursor"]
        assert walked == (await http.get(f"/desk/{path}", params={"limit": 1000})).json()["items"]
        assert (await http.get(f"/desk/{path}", params={"cursor": "forged"})).status_code == 400


async def test_what_is_too_old_for_anybody_to_know_is_replayed_only_by_somebody_who_looked_at_it(
    system: System, amqp: Client, http: httpx2.AsyncClient
) -> None:
    body = {"text": "too old", "then": "end"}
    await amqp.publish("toy.mark", body, message_id="too old", timestamp=1_000_000_000)
    [line] = await listed(http, message_id="too old")

    unseen = await http.post("/desk/replays", json={"message_id": "too old"})
    chosen = await http.post("/desk/replays", json={"letter": line["id"]})

    assert line["too_old"] and line["reason"].startswith("too_old")
    assert (unseen.status_code, unseen.json()["code"], chosen.status_code) == (409, "too_old", 202)
    await until(http, line["id"], "done")
    assert len(await system.fetch(TOY, "SELECT 1 FROM marks WHERE text = 'too old'")) == 1
