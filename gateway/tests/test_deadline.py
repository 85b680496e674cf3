"""How long a request may take, on a real server and a socket."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.deadline import CLIENT_LEFT, Deadline
from gateway.methods import Methods
from tests.doors import served
from tests.system import eventually

App = Callable[[Scope, Receive, Send], "asyncio.Future[None]"]


async def whole_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


class Slow:
    """Reads the body, then answers when it is told to; keeps what became of its requests."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.lifted = False
        self.begun = False
        self.ended: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await whole_body(receive)
            self.begun = True
            scope["state"]["answer_headers"] = {"idempotency-key": '"k"'}
            if self.lifted:
                scope["state"]["deadline"].lift()
            await self.go_on.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"done"})
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("answered")


@asynccontextmanager
async def serving(app: ASGIApp, seconds: float, statuses: list[int]) -> AsyncIterator[int]:
    deadline = Deadline(app, seconds=seconds)

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])  # type: ignore[arg-type]
            await send(message)

        await deadline(scope, receive, note)  # type: ignore[arg-type]

    async with served(counted) as port:
        yield port


async def request(
    port: int, body: bytes, *, declared: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % declared + body)
    await writer.drain()
    return reader, writer


async def test_an_answer_that_does_not_come_is_a_problem() -> None:
    app = Slow()
    async with serving(app, 0.3, []) as port, httpx2.AsyncClient() as http:
        answer = await http.post(f"http://127.0.0.1:{port}/", content=b"x")

    assert (answer.status_code, answer.json()["code"]) == (504, "no_answer")
    assert answer.headers["idempotency-key"] == '"k"'
    assert app.ended == ["cancelled"]


async def test_a_body_that_does_not_come_is_a_problem_and_ends_the_connection() -> None:
    app = Slow()
    async with serving(app, 0.3, []) as port:
        reader, writer = await request(port, b"half", declared=10)
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_too_slow"' in answer


async def test_a_route_can_lift_its_deadline() -> None:
    app = Slow()
    app.lifted = True
    async with serving(app, 0.3, []) as port, httpx2.AsyncClient() as http:
        asyncio.get_running_loop().call_later(0.6, app.go_on.set)
        answer = await http.post(f"http://127.0.0.1:{port}/", content=b"x")

    assert answer.text == "done"


async def test_a_client_that_leaves_ends_its_request() -> None:
    app, statuses = Slow(), []  # type: tuple[Slow, list[int]]
    async with serving(app, 60, statuses) as port:
        _, writer = await request(port, b"whole", declared=5)

        async def begun() -> bool:
            return app.begun  # the server never begins on what has left already

        async def ended() -> list[str]:
            return app.ended

        await eventually(begun, "the request is under way")
        writer.close()
        assert await eventually(ended, "the request ends", seconds=10) == ["cancelled"]
    assert statuses == [CLIENT_LEFT]


async def test_a_client_that_stays_is_answered_after_any_number_of_watches() -> None:
    app = Slow()
    async with serving(app, 60, []) as port, httpx2.AsyncClient() as http:
        asyncio.get_running_loop().call_later(0.5, app.go_on.set)
        answers = await asyncio.gather(
            *(http.post(f"http://127.0.0.1:{port}/", content=b"x") for _ in range(20))
        )

    assert {answer.text for answer in answers} == {"done"}


async def test_whatever_breaks_is_a_problem(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise ValueError("a defect")

    async with serving(broken, 5, []) as port, httpx2.AsyncClient() as http:
        answer = await http.post(f"http://127.0.0.1:{port}/", content=b"x")

    assert (answer.status_code, answer.json()["code"]) == (500, "defect")
    assert "a defect in the gateway" in caplog.text


async def test_what_was_answered_before_it_broke_is_no_defect_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(b"told already", 500)(scope, receive, send)
        raise ValueError("as FastAPI raises it again")

    async with serving(broken, 5, []) as port, httpx2.AsyncClient() as http:
        answer = await http.post(f"http://127.0.0.1:{port}/", content=b"x")

    assert answer.text == "told already"
    assert caplog.records == []


@pytest.mark.parametrize("breaks", [True, False])
async def test_a_head_request_has_no_body_whatever_becomes_of_it(breaks: bool) -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["method"] == "GET"
        if breaks:
            raise ValueError("a defect")
        await asyncio.Event().wait()

    async with serving(Methods(silent, []), 0.3, []) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 500 " if breaks else b"HTTP/1.1 504 ")
    assert answer.endswith(b"\r\n\r\n")


async def test_nothing_of_a_request_is_left_for_the_collector_of_cycles() -> None:
    """Kept until that comes by, cached reads took half as long again: their memory was never warm."""
    kept: list[weakref.ref[object]] = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        kept.append(weakref.ref(scope["state"]["deadline"]))
        await Response("done")(scope, receive, send)

    async with serving(answer, 5, []) as port, httpx2.AsyncClient() as http:
        gc.disable()
        try:
            await http.get(f"http://127.0.0.1:{port}/")
            await eventually(lambda: gone(kept), "the request is gone")
        finally:
            gc.enable()


async def gone(kept: list["weakref.ref[object]"]) -> bool:
    return [one() for one in kept] == [None]
