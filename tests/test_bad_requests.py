"""Whatever is thrown at the gateway ends in a clear problem (RFC 9457), never in a 500."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.system import Replica, System

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b'{"title": ', JSON, 400, "malformed"),
        (b"", JSON, 422, "invalid"),
        (b"[]", JSON, 422, "invalid"),
        (b"{}", JSON, 422, "invalid"),
        (b'{"title": 7}', JSON, 422, "invalid"),
        (b'{"title": "   "}', JSON, 422, "invalid"),
        (b'{"title": "a\\u0000b"}', JSON, 422, "invalid"),
        (b'{"title": "two\\nlines"}', JSON, 422, "invalid"),
        (b'{"title": "two\\u2028lines"}', JSON, 422, "invalid"),
        (b'{"title": "un\\u200bseen"}', JSON, 422, "invalid"),
        (b'{"title": "next\\u0085line"}', JSON, 422, "invalid"),
        (b'{"title": "\\ud800"}', JSON, 422, "invalid"),
        (b'{"title": "\xff"}', JSON, 400, "malformed"),
        (b'{"title": "' + b"x" * 201 + b'"}', JSON, 422, "invalid"),
        (b'{"title": "x", "colour": "red"}', JSON, 422, "invalid"),
        (b'{"title": "x"}', {"content-type": "text/plain"}, 415, "not_json"),
        (b'{"title": "x", "due_at": 1750000000}', JSON, 422, "invalid"),
        (b'{"title": "x", "due_at": "2026-01-01"}', JSON, 422, "invalid"),
        (b'{"title": ' + b"9" * 5000 + b"}", JSON, 400, "malformed"),
        ('{"title": "x"}'.encode("utf-16"), JSON, 400, "malformed"),
        ('{"title": "\xe9"}'.encode("latin-1"), JSON, 400, "malformed"),
        (b'{"title": "x"}', JSON | {"content-encoding": "gzip"}, 415, "encoded_body"),
        (b'{"title": "x"}', JSON | {"content-encoding": "BR"}, 415, "encoded_body"),
        (b"[" * 100_000, JSON, 422, "too_deep"),
        (b'{"title": "' + b"x" * 10_000_000 + b'"}', JSON, 413, "body_too_large"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_by_name(
    system: System, gateway: Replica, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    async with system.http(gateway) as http:
        answer = await http.post("/tasks", content=body, headers=headers)

    check_problem(answer, status, code)


async def test_a_chunked_body_that_grows_too_large_is_refused_too(system: System, gateway: Replica) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 100_000

    async with system.http(gateway) as http:
        answer = await http.post("/tasks", content=endless(), headers=JSON)

    check_problem(answer, 413, "body_too_large")


async def test_validation_names_the_field(system: System, gateway: Replica) -> None:
    async with system.http(gateway) as http:
        answer = await http.post("/tasks", json={"title": "x", "colour": "red"})

    assert [error["field"] for error in answer.json()["errors"]] == ["colour"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "no_such_route"),
        ("GET", "/desk/groups", 404, "no_such_route"),
        ("POST", "/desk/replays", 404, "no_such_route"),
        ("GET", "/tasks/not-an-id", 422, "invalid"),
        ("DELETE", "/tasks", 405, "method_not_allowed"),
        ("POST", "/tasks/", 404, "no_such_route"),
        ("GET", "/waste/organizations/%ff", 400, "malformed"),
        ("GET", "/waste/organizations/%c0%ae", 400, "malformed"),
        ("GET", "/tasks?words=%ed%a0%80", 400, "malformed"),
        ("GET", "/tasks?due_after=2026-01-01T00:00:00+03:00", 422, "invalid"),
        ("GET", "/tasks?colour=red", 422, "invalid"),
        ("GET", "/tasks/00000000-0000-7000-8000-000000000000?colour=red", 422, "invalid"),
        ("GET", "/waste/kinds?colour=red", 422, "invalid"),
    ],
)
async def test_a_path_that_does_not_fit_is_refused(
    system: System, gateway: Replica, method: str, path: str, status: int, code: str
) -> None:
    async with system.http(gateway) as http:
        answer = await http.request(method, path)

    check_problem(answer, status, code)


async def test_an_unknown_id_is_not_found(system: System, gateway: Replica, task_service: Replica) -> None:
    async with system.http(gateway) as http:
        answer = await http.get(f"/tasks/{uuid4()}")

    check_problem(answer, 404, "not_found")


async def test_a_service_that_does_not_answer_leaves_an_operation_and_refuses_queries(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    impatient = await system.start("gateway", wait_seconds="0.3")
    task_service.process.freeze()
    async with system.http(impatient) as http:
        command = await http.post("/tasks", json={"title": "late"})
        query = await http.get(f"/tasks/{uuid4()}")
    task_service.process.thaw()

    assert command.status_code == 202
    assert command.headers["location"].startswith("/operations/")
    check_problem(query, 503, "unavailable")


async def test_a_trace_that_is_none_is_dropped_and_harms_nobody(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        answers = [
            await http.post("/tasks", json={"title": "traced"}, headers={"traceparent": trace})
            for trace in ("00-" + "a" * 32 + "-" + "b" * 16 + "-01", "x" * 60_000, "nonsense")
        ]

    assert {answer.status_code for answer in answers} <= {201, 400, 431}
    assert answers[0].status_code == answers[2].status_code == 201


async def test_a_command_that_nobody_has_a_queue_for_is_unavailable(system: System, gateway: Replica) -> None:
    async with system.management() as page:
        (await page.delete(f"/api/queues/{system.name}/waste.register_kind")).raise_for_status()
    async with system.http(gateway) as http:
        answer = await http.post("/waste/kinds", json={"code": "paper", "title": "Paper"})

    check_problem(answer, 503, "unavailable")
    assert "Nobody serves waste.register_kind" in answer.json()["detail"]


async def test_requests_are_counted_by_route_template_and_never_by_id(
    system: System, gateway: Replica
) -> None:
    task = uuid4()
    async with system.http(gateway) as http:
        await http.get(f"/tasks/{task}")
        metrics = (await http.get("/metrics")).text

    assert 'http_requests_total{method="GET",route="/tasks/{task}"' in metrics
    assert str(task) not in metrics
    assert "http_request_duration_seconds_bucket" in metrics
    assert 'http_requests_in_progress{method="GET"}' in metrics


def check_problem(answer: httpx2.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"]
    assert ("retry-after" in answer.headers) == (status == httpx2.codes.SERVICE_UNAVAILABLE)
