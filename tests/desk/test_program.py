"""`python -m desk_service`: what it shows, how it ends, and what it says of wrong arguments and addresses."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from desk_service.__main__ import parser
from tests.amqp import Client
from tests.desk.test_work import a_letter
from tests.letters import told, whole
from tests.system import Replica


async def test_the_program_shows_tables_to_people_json_to_programs_and_its_exit_code_tells(
    desk: Replica, amqp: Client, http: httpx2.AsyncClient
) -> None:
    letter = await a_letter(amqp, http, "by program")

    _, groups, _ = await told(desk, "groups", "--queue", "toy.mark")
    _, listing, _ = await told(desk, "list", "--message-id", "by program", "--json")
    _, shown, _ = await told(desk, "show", letter)
    replayed, progress, errors = await told(desk, "replay", letter, "--as", "grace")
    discarded, _, _ = await told(desk, "discard", letter, "--reason", "seen", "--as", "grace")
    late, _, refusal = await told(desk, "discard", letter, "--reason", "seen")
    wrong, _, _ = await told(desk, "discard", letter)
    away, _, _ = await told(desk, "groups", "--url", "http://127.0.0.1:9")

    assert "RuntimeError: Told to break." in groups
    assert json.loads(listing)["items"][0]["id"] == letter
    assert "attempt 1: RuntimeError: Told to break." in shown
    assert (replayed, progress.strip()) == (1, "1 to replay: 0 queued, 0 sent, 1 failed")
    assert "failed again" in errors
    assert (discarded, late, wrong, away) == (0, 1, 2, 3)
    assert "grace was here" in refusal
    assert {one["who"] for one in (await whole(http, letter))["actions"]} == {"grace"}


@pytest.mark.parametrize(
    "wrong",
    [
        ("groups", "--url", "desk"),
        ("groups", "--url", "http://127.0.0.1:80x"),
        ("groups", "--url", "http://[::1"),
        ("replay",),
        ("replay", "x", "--group", "y"),
        ("replay", "--all", "--queue", "y"),
        ("discard", "--reason", "z"),
        ("groups", "--as", "a\nb"),
        ("groups", "--as", "\udcff"),
        ("edit", "x", "--body", "/"),
        ("edit", "x", "--body", sys.executable),
        ("edit", "x", "--body", "/no/such/file"),
    ],
)
async def test_wrong_arguments_are_told_in_words(desk: Replica, wrong: tuple[str, ...]) -> None:
    code, _, errors = await told(desk, *wrong)

    assert (code, "Traceback" in errors) == (2, False)


def test_all_that_can_be_said_to_the_program_is_explained() -> None:
    [verbs] = [one.choices for one in parser()._actions if isinstance(one.choices, dict)]
    named = {f"{name} {one.dest}" for name, verb in verbs.items() for one in verb._actions if not one.help}

    assert not named


@asynccontextmanager
async def stranger(*answers: bytes) -> AsyncIterator[str]:
    """The URL of somebody who answers each request with the next of these bytes, and hangs up."""
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(left.pop(0))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def over_http(body: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"AMQP\x00\x00\x09\x01", "cannot be reached"),
        (b"", "cannot be reached"),
        (over_http("{", 100), "cannot be reached"),
        (over_http("{"), "is not the desk"),
        (over_http("{}"), "is not the desk"),
        (over_http("[]"), "is not the desk"),
    ],
)
async def test_whoever_answers_in_the_desks_place_is_told_in_words(
    desk: Replica, answer: bytes, said: str
) -> None:
    async with stranger(answer) as url:
        code, _, errors = await told(desk, "groups", "--url", url)

    assert (code, said in errors, "Traceback" in errors) == (3, True, False)


def an_order(total: int = 1, **counted: int) -> str:
    """As the desk tells it."""
    counts = dict.fromkeys(("queued", "sending", "sent", "done", "refused", "failed", "stopped"), 0)
    order = {"id": "x", "total": total, "rate": 50, "left_too_old": 0, "waiting_since": None}
    return json.dumps(order | counts | counted)


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        ({"done": 1, "refused": 2}, "1 of 3 are done."),
        ({"done": 2, "stopped": 1}, "2 of 3 are done."),
        ({"done": 2, "failed": 1}, "1 failed again"),
    ],
)
async def test_what_was_not_all_done_ends_with_1(desk: Replica, counted: dict[str, int], said: str) -> None:
    async with stranger(over_http(an_order(3, **counted))) as url:
        code, _, errors = await told(desk, "progress", "x", "--url", url)

    assert (code, said in errors) == (1, True)


async def test_a_desk_that_dies_in_the_middle_of_an_answer_is_waited_for(desk: Replica) -> None:
    under_way, done = an_order(queued=1), an_order(done=1)

    async with stranger(over_http(under_way), over_http(under_way[:20], 100), over_http(done)) as url:
        code, output, errors = await told(desk, "replay", "x", "--url", url)

    assert (code, output) == (0, "1 to replay: 0 queued, 0 sent, 1 done\n")
    assert "The desk is away" in errors
