"""How large a request may be and how long it may take: each limit refuses with a problem that names it."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.system import Replica, System, eventually
from tests.test_bad_requests import JSON, check_problem

SMALL = {
    "url_bytes": "1024",
    "header_bytes": "1024",
    "body_bytes": "2048",
    "json_depth": "4",
    "list_items": "5",
    "waiting_requests": "1",
    "wait_seconds": "1",
    "longest_wait_seconds": "2",
    "request_seconds": "3",
}


@pytest.fixture(scope="module")
async def small(system: System) -> Replica:
    return await system.start("gateway", **SMALL)


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/tasks?words=" + "x" * 1024, {}, 414, "url_too_long"),
        ("/" + "x" * 1024, {}, 414, "url_too_long"),
        ("/tasks", {"x-large": "x" * 1024}, 431, "headers_too_large"),
        ("/tasks", {f"x-{number}": "x" * 20 for number in range(50)}, 431, "headers_too_large"),
        ("/tasks?" + "&".join(["status=open"] * 6), {}, 422, "too_many_items"),
    ],
)
async def test_a_head_over_a_limit_is_refused(
    system: System, small: Replica, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    async with system.http(small) as http:
        answer = await http.get(path, headers=headers)

    check_problem(answer, status, code)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"title": "x", "description": "' + b"x" * 2048 + b'"}', 413, "body_too_large"),
        (b'{"title": [[[[]]]]}', 422, "too_deep"),
        (b'{"title": "x", "tags": [1, 2, 3, 4, 5, 6]}', 422, "too_many_items"),
        (b'{"title": "x", "tags": [1, 2, 3, 4, 5]}', 422, "invalid"),
    ],
)
async def test_a_body_over_a_limit_is_refused(
    system: System, small: Replica, body: bytes, status: int, code: str
) -> None:
    async with system.http(small) as http:
        answer = await http.post("/tasks", content=body, headers=JSON)

    check_problem(answer, status, code)


async def test_the_usual_limits_take_what_people_send(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    large = {
        "title": "x" * 200,
        "description": "д" * 10_000,
        "tags": [f"tag {number}" for number in range(20)],
    }
    headers = {f"x-{number}": "x" * 200 for number in range(60)}
    async with system.http(gateway) as http:
        created = await http.post("/tasks", json=large, headers=headers)
        listed = await http.get("/tasks", params={"words": "я" * 200, "status": ["open"] * 100})

    assert (created.status_code, listed.status_code) == (201, 200)


async def raw(replica: Replica, request: bytes) -> bytes:
    """What is answered to bytes on a socket, until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx2.URL(replica.url).port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return answer


async def test_a_body_that_comes_too_slowly_is_a_408(system: System, small: Replica) -> None:
    head = b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n"

    answer = await raw(small, head + b'{"title": ')

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer and b"request_too_slow" in answer


async def test_an_address_as_a_person_types_it_is_understood(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        await http.post("/tasks", json={"title": "Купить молоко"})

    answer = await raw(
        gateway, "GET /tasks?words=молоко&limit=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert "Купить молоко".encode() in answer


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding: chunked\r\nX: a\r\n b\r\n",
    ],
)
async def test_a_body_whose_end_nobody_can_know_ends_the_connection(
    system: System, small: Replica, framing: bytes
) -> None:
    head = b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

    answer = await raw(small, head + framing + b"\r\n" + b'{"title":"x"}' * 3)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


async def test_requests_over_the_number_that_may_wait_are_refused_and_room_is_made_by_clients_that_leave(
    system: System, small: Replica, task_service: Replica
) -> None:
    async def waiting(http: httpx2.AsyncClient) -> str:
        metrics = (await http.get("/metrics")).text
        return next(
            line.split()[1] for line in metrics.splitlines() if line.startswith("gateway_requests_wait")
        )

    async def in_vain(http: httpx2.AsyncClient) -> Any:
        return await waiting(http) == "1.0"

    async def none(http: httpx2.AsyncClient) -> Any:
        return await waiting(http) == "0.0"

    task_service.process.freeze()
    try:
        async with system.http(small) as http:
            async with system.http(small) as leaver:
                body, patient = {"title": "left alone"}, {"prefer": "wait=2"}
                left = asyncio.create_task(leaver.post("/tasks", json=body, headers=patient))
                await eventually(lambda: in_vain(http), "one request waits")
                second = await http.post("/tasks", json={"title": "one too many"})
                left.cancel()
            await eventually(lambda: none(http), "nobody waits")
            metrics = (await http.get("/metrics")).text
    finally:
        task_service.process.thaw()

    check_problem(second, 503, "unavailable")
    assert 'http_requests_total{method="POST",route="/tasks",status="499"} 1.0' in metrics

    async def done() -> Any:
        return await system.fetch("task_service", "SELECT title FROM tasks WHERE title LIKE '%o%'")

    assert [row["title"] for row in await eventually(done, "the command is done")] == ["left alone"]
