"""HEAD, OPTIONS and Allow follow from the routes; large answers are compressed without confusing caches."""

import gzip
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.system import Replica, System
from tests.test_bad_requests import check_problem

CHANGING = {"date", "age"}
BUNDLE = "/assets/swagger-ui-5.35.0/swagger-ui-bundle.js"
LARGE = {"title": "large", "description": "long " * 1000}


def fixed_headers(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in CHANGING}


async def test_head_answers_as_get_without_the_body(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        created = await http.post("/tasks", json=LARGE)
        path, tag = created.headers["location"], created.headers["etag"]
        for asked, headers in [
            (path, {}),
            (path, {"if-none-match": tag}),
            (path, {"accept-encoding": "identity"}),
            (f"/tasks/{uuid4()}", {}),
            ("/tasks?limit=1", {}),
            ("/health/live", {}),
            ("/openapi.json", {}),
            (BUNDLE, {}),
            ("/nowhere", {}),
        ]:
            got = await http.get(asked, headers=headers)
            head = await http.head(asked, headers=headers)

            assert head.content == b""
            assert (head.status_code, fixed_headers(head)) == (got.status_code, fixed_headers(got)), asked


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/tasks", "GET, POST, HEAD, OPTIONS"),
        ("/tasks/00000000-0000-7000-8000-000000000000", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"),
        ("/tasks/00000000-0000-7000-8000-000000000000/complete", "POST, OPTIONS"),
        ("/waste/organizations/x/waste", "GET, POST, HEAD, OPTIONS"),
        ("/operations/x", "GET, HEAD, OPTIONS"),
        ("/health/ready", "GET, HEAD, OPTIONS"),
        ("/metrics", "GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
        ("/assets/pages.css", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_and_a_wrong_method_tell_all_methods_of_a_path(
    system: System, gateway: Replica, path: str, allow: str
) -> None:
    async with system.http(gateway) as http:
        asked = await http.options(path)
        wrong = await http.request("QUERY", path)

    assert (asked.status_code, asked.headers["allow"], asked.content) == (204, allow, b"")
    check_problem(wrong, 405, "method_not_allowed")
    assert wrong.headers.get_list("allow") == [allow]


async def test_there_are_no_options_where_there_is_nothing(system: System, gateway: Replica) -> None:
    async with system.http(gateway) as http:
        answer = await http.options("/nowhere")

    check_problem(answer, 404, "no_such_route")


async def raw_body(http: httpx2.AsyncClient, path: str, **headers: str) -> tuple[httpx2.Response, bytes]:
    """The answer with its body as it was on the wire."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.stream("GET", path, headers=given) as answer:
        return answer, b"".join([chunk async for chunk in answer.aiter_raw()])


async def test_large_answers_are_compressed_for_those_who_take_gzip(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        path = (await http.post("/tasks", json=LARGE)).headers["location"]
        plain, plain_body = await raw_body(http, path, accept_encoding="gzip;q=0")
        packed, packed_body = await raw_body(http, path, accept_encoding="gzip")

    assert gzip.decompress(packed_body) == plain_body
    assert (packed.headers["content-encoding"], packed.headers["etag"]) == ("gzip", '"1-gzip"')
    assert int(packed.headers["content-length"]) == len(packed_body) < len(plain_body) / 10
    assert "content-encoding" not in plain.headers
    assert (plain.headers["etag"], len(plain_body)) == ('"1"', int(plain.headers["content-length"]))
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path", ["/metrics", "/openapi.json", "/tasks?limit=100", "/assets/pages.css", BUNDLE]
)
async def test_whatever_is_large_is_compressed(
    system: System, gateway: Replica, task_service: Replica, path: str
) -> None:
    async with system.http(gateway) as http:
        for _ in range(10):
            await http.post("/tasks", json={"title": "one of many"})
        answer, _ = await raw_body(http, path, accept_encoding="gzip")

    assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")


async def test_a_part_of_a_file_is_a_part_of_what_it_is_without_compression(
    system: System, gateway: Replica
) -> None:
    async with system.http(gateway) as http:
        _, whole = await raw_body(http, BUNDLE, accept_encoding="identity")
        part, part_body = await raw_body(http, BUNDLE, accept_encoding="gzip", range="bytes=1000-4999")
        _, packed = await raw_body(http, BUNDLE, accept_encoding="gzip")

    assert (part.status_code, part.headers["content-range"]) == (206, f"bytes 1000-4999/{len(whole)}")
    assert "content-encoding" not in part.headers
    assert part_body == whole[1000:5000]
    assert gzip.decompress(packed) == whole


async def test_small_answers_are_not_compressed(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        created = await http.post("/tasks", json={"title": "small"})
        removed = await http.delete(created.headers["location"])
        answer = await http.get("/health/live")

    for one in (created, removed, answer):
        assert "content-encoding" not in one.headers


async def test_the_tag_of_a_compressed_answer_works_in_every_condition(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        created = await http.post("/tasks", json=LARGE, headers={"accept-encoding": "gzip"})
        path, tag = created.headers["location"], created.headers["etag"]
        same = await http.get(path, headers={"if-none-match": tag})
        plain_same = await http.get(path, headers={"if-none-match": '"1"'})
        changed = await http.patch(path, json={"priority": "high"}, headers={"if-match": tag})
        late: Any = await http.patch(path, json={"priority": "low"}, headers={"if-match": tag})
        other = await http.get(path, headers={"if-none-match": tag})

    assert tag == '"1-gzip"'
    assert (same.status_code, same.headers["etag"], same.content) == (304, tag, b"")
    assert (plain_same.status_code, plain_same.headers["etag"]) == (304, '"1"')
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2-gzip"')
    assert (late.status_code, other.status_code) == (412, 200)
