"""The HTTP door, as far as uvicorn leaves it to us: what never ends, what comes behind, what nobody reads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from shared.http import connection
from tests.doors import served
from tests.system import eventually

HOST = b"Host: x\r\n"
LAST = b"Connection: close\r\n"
REQUEST = b"GET /%s HTTP/1.1\r\n" + HOST + b"\r\n"


class Toy:
    """Says what it heard; `/wait` when it is let go, `/large` far more than a socket holds."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.heard: list[str] = []
        self.left: list[str] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope["path"]
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.append(path)
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.heard.append(path)
        if path == "/wait":
            await self._wait(path, receive)
        said = b"%s?%s %s" % (path.encode(), scope["query_string"], body)
        if path == "/large":
            said = b"x" * 30_000_000
        headers = [(b"content-length", str(len(said)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})

    async def _wait(self, path: str, receive: Any) -> None:
        leaving = asyncio.create_task(receive())
        going = asyncio.create_task(self.let_go.wait())
        await asyncio.wait([leaving, going], return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            self.left.append(path)
        leaving.cancel()
        going.cancel()


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
async def port(toy: Toy) -> AsyncIterator[int]:
    async with served(toy) as port:
        yield port


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(30):
            yield reader, writer
    finally:
        writer.close()


async def all_that_comes(port: int, *pieces: bytes) -> bytes:
    """What is answered until the door closes the connection."""
    async with connected(port) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)  # so that they arrive singly
        return await reader.read()


def true(condition: Callable[[], Any]) -> Callable[[], Any]:
    async def check() -> Any:
        return condition()

    return check


EMPTY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [[b""], [b"GET / HTTP/1.1\r\nHo"], [EMPTY + b"GET / HTT"], [EMPTY, b"GET"], [EMPTY, b"\r\n\r\n"]],
)
async def test_a_connection_that_waits_for_a_head_in_vain_is_closed(
    monkeypatch: pytest.MonkeyPatch, pieces: list[bytes]
) -> None:
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.1)
    async with served(Toy()) as port:
        said = await all_that_comes(port, *pieces)

    assert said.count(b"HTTP/1.1 200 ") == (pieces[0] > b"P")


async def test_a_connection_that_is_used_stays(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.1)

    async with connected(port) as (reader, writer):
        for _ in range(8):
            writer.write(b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n")
            assert (await reader.readuntil(b"/a? ")).startswith(b"HTTP/1.1 200 ")
            await asyncio.sleep(0.15)  # a look or two


async def test_a_connection_that_is_used_no_more_is_closed(
    monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.05)

    async with connected(port) as (reader, writer):
        writer.write(b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")


async def test_a_head_without_end_is_refused(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 30_000)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("endless", [b"0\r\n" + b"a: b\r\n" * 60_000, b"1;" + b"x" * 400_000])
async def test_what_stands_between_the_parts_of_a_body_has_a_bound(
    port: int, toy: Toy, endless: bytes
) -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n"

    with suppress(ConnectionError):
        assert await all_that_comes(port, head, *[endless] * 20) == b""
    assert toy.heard == []


async def test_trailers_are_nobodys_headers(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + LAST + b"\r\n"

    said = await all_that_comes(port, head, b"2\r\nab\r\n0\r\ncontent-type: x\r\n\r\n")

    assert said.endswith(b"/? ab")


@pytest.mark.parametrize("pieces", [1, 2, 40])
async def test_an_address_as_it_was_typed_is_understood(port: int, pieces: int) -> None:
    typed = "GET /задачи?слово=молоко HTTP/1.1\r\n".encode() + HOST + LAST + b"\r\n"
    size = len(typed) // pieces + 1

    said = await all_that_comes(port, *(typed[at : at + size] for at in range(0, len(typed), size)))

    assert said.endswith(
        "/задачи?%D1%81%D0%BB%D0%BE%D0%B2%D0%BE=%D0%BC%D0%BE%D0%BB%D0%BE%D0%BA%D0%BE ".encode()
    )


@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_body_behind_the_wish_for_another_protocol_is_a_body(
    port: int, toy: Toy, pieces: int
) -> None:
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpGrade: h2c\r\nHTTP2-Settings: AAA\r\n"
    body = b"GET /stolen HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST / HTTP/1.1\r\n" + HOST + wish + b"Content-Length: %d\r\n\r\n" % len(body)

    async with connected(port) as (reader, writer):
        for piece in [head + body] if pieces == 1 else [head, body]:
            writer.write(piece)
            await asyncio.sleep(0.05)
        said = await reader.readuntil(b"/? " + body)

    assert said.startswith(b"HTTP/1.1 200 ")
    assert toy.heard == ["/"]


async def test_requests_of_one_connection_are_answered_in_turn(port: int, toy: Toy) -> None:
    async with connected(port) as (reader, writer):
        writer.write(REQUEST % b"wait" + REQUEST % b"second")
        writer.write(REQUEST % b"third")
        await eventually(true(lambda: toy.heard), "the first is heard")
        assert toy.heard == ["/wait"]
        toy.let_go.set()
        said = await reader.readuntil(b"/third? ")

    assert said.index(b"/wait? ") < said.index(b"/second? ")
    assert toy.heard == ["/wait", "/second", "/third"]


async def test_many_requests_at_once_are_not_kept(port: int, toy: Toy) -> None:
    async with connected(port) as (reader, writer):
        writer.write(REQUEST % b"wait" + REQUEST % b"more" * 1_000)
        await eventually(true(lambda: toy.heard), "the first is heard")
        toy.let_go.set()
        said = await reader.read()

    assert said.count(b"HTTP/1.1 200 ") == 1
    assert toy.heard == ["/wait"]


async def test_nonsense_behind_a_request_takes_nothing_from_its_answer(port: int, toy: Toy) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n" + b"\x00nonsense\r\n\r\n")
        await eventually(true(lambda: toy.heard), "the first is heard")
        toy.let_go.set()
        said = await reader.read()

    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.endswith(b"/wait? ")


async def test_a_client_that_leaves_ends_what_is_answered_and_what_waits_behind_it(
    port: int, toy: Toy
) -> None:
    async with connected(port) as (_, writer):
        writer.write(REQUEST % b"wait" + REQUEST % b"second")
        await eventually(true(lambda: toy.heard), "the first is heard")

    await eventually(true(lambda: toy.left), "it is told")
    assert toy.heard == ["/wait"]


async def test_a_client_that_reads_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, port: int, toy: Toy
) -> None:
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.1)
    lost: list[connection.Connection] = []
    end = connection.Connection.connection_lost

    def noted(one: connection.Connection, error: Exception | None) -> None:
        lost.append(one)
        end(one, error)

    monkeypatch.setattr(connection.Connection, "connection_lost", noted)
    async with connected(port) as (reader, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
        await eventually(true(lambda: any(one.heads for one in lost)), "the door gives it up")
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(30_000_000)


async def test_a_client_that_reads_slowly_gets_all_of_it(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.3)
    async with connected(port) as (reader, writer):
        writer.write(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(100):
            await reader.readexactly(300_000)
            await asyncio.sleep(0.02)


async def test_a_request_that_begins_late_on_a_connection_has_its_own_time(
    monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.5)
    async with connected(port) as (reader, writer):
        for _ in range(8):  # at any moment between two looks
            writer.write(b"GET /a HTTP/1.1\r\n")
            await asyncio.sleep(0.1)
            writer.write(HOST + b"\r\n")
            assert (await reader.readuntil(b"/a? ")).startswith(b"HTTP/1.1 200 ")
            await asyncio.sleep(0.37)


async def test_an_answer_is_not_lost_by_a_wish_for_another_protocol_behind_it(port: int, toy: Toy) -> None:
    wish = b"POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab"
    async with connected(port) as (reader, writer):
        writer.write(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n" + wish)
        await eventually(true(lambda: toy.heard), "the first is heard")
        toy.let_go.set()
        said = await reader.read()

    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.endswith(b"/wait? ")


async def test_head_and_body_of_an_answer_leave_in_one_write(
    monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    written: list[bytes] = []
    flush = connection._Together.flush

    def noted(together: Any) -> None:
        written.append(b"".join(together.waiting))
        flush(together)

    monkeypatch.setattr(connection._Together, "flush", noted)

    said = await all_that_comes(port, b"GET / HTTP/1.1\r\n" + HOST + LAST + b"\r\n")

    assert [one for one in written if one] == [said]
    assert said.endswith(b"\r\n\r\n/? ")
