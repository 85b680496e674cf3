"""The HTTP door, as far as uvicorn leaves it to us: heads that never end, addresses as typed, one write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from infra.local.ports import Ports
from shared.http import door
from shared.http.door import http_door
from tests.system import eventually


async def say_the_path(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    body = f"{scope['path']}?{scope['query_string'].decode()}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    ports = Ports()
    chosen = ports.choose_any()
    async with http_door(say_the_path, "127.0.0.1", chosen):
        await eventually(lambda: listens(chosen), "the door listens")
        yield chosen
    ports.release()


async def listens(port: int) -> bool:
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


async def all_that_comes(port: int, *pieces: bytes) -> bytes:
    """What is answered until the door closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    async with asyncio.timeout(20):
        said = await reader.read()
    writer.close()
    return said


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHo"])
async def test_a_connection_on_which_no_head_comes_is_closed(
    monkeypatch: pytest.MonkeyPatch, port: int, begun: bytes
) -> None:
    monkeypatch.setattr(door, "HEAD_SECONDS", 0.1)

    assert await all_that_comes(port, begun) == b""


async def test_a_connection_that_is_used_stays(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(door, "HEAD_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    for _ in range(8):
        writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"/a?")).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(0.1)  # longer than the limit in all
    writer.close()


async def test_a_head_without_end_is_refused(port: int) -> None:
    with suppress(ConnectionError):  # refused, and closed on what was still coming
        said = await all_that_comes(port, b"GET / HTTP/1.1\r\n", *([b"a: " + b"x" * 9_000 + b"\r\n"] * 20))
        assert said.startswith(b"HTTP/1.1 431 ")


async def test_an_address_as_it_was_typed_is_understood_in_each_request_of_a_connection(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    for _ in range(2):
        writer.write("GET /задачи?слово=молоко HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        said = await reader.readuntil(b"%D0%BC%D0%BE%D0%BB%D0%BE%D0%BA%D0%BE")
        assert said.endswith(
            "/задачи?%D1%81%D0%BB%D0%BE%D0%B2%D0%BE=%D0%BC%D0%BE%D0%BB%D0%BE%D0%BA%D0%BE".encode()
        )
    writer.close()


async def test_head_and_body_of_an_answer_leave_in_one_write(
    monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    written: list[bytes] = []
    flush = door._Together._flush

    def noted(together: Any) -> None:
        written.append(b"".join(together.waiting))
        flush(together)

    monkeypatch.setattr(door._Together, "_flush", noted)

    said = await all_that_comes(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert [one for one in written if one] == [said]
    assert said.endswith(b"\r\n\r\n/?")
