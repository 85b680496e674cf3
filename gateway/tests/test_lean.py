"""The short way takes what fits, and only that; whoever asks cannot tell which way was taken."""

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from gateway.cache import Cache
from gateway.gateway import Gateway
from gateway.lean import Lean
from gateway.limits import Limits
from gateway.main import ROUTERS, build_app
from gateway.operations import Operations
from gateway.settings import GatewaySettings
from shared.asking import Answered
from shared.blobs import Blobs
from shared.health import Dependency, Health
from shared.messages import Command, NotFound, Request

TASK = "0193a0f0-0000-7000-8000-000000000001"
ANSWER = f'{{"id":"{TASK}","version":3}}'.encode()
JSON = "application/json"


class Owner:
    """Answers every command, says no to every query, and keeps what it was asked."""

    hears = True

    def __init__(self) -> None:
        self.asked: list[Request[Any]] = []

    async def ask(self, request: Request[Any], **_: Any) -> Answered:
        self.asked.append(request)
        if not isinstance(request, Command):
            raise NotFound("There is no such task.")
        return Answered(ANSWER, repeated=False, visible_to=("*",), versions={})


async def asked(owner: Owner, *, lean: bool, **request: Any) -> tuple[int, bytes, dict[str, str]]:
    settings = GatewaySettings()
    broker = Dependency("broker", lambda: None)  # type: ignore[arg-type, return-value]
    broker.up = True
    cache = Cache(0, 1, lambda: True, None)
    gateway = Gateway(owner, broker, cache, Operations("ours", 60), settings, Blobs(""))  # type: ignore[arg-type]
    app = build_app(settings, gateway, Health([broker]))
    door = Limits(Lean(app, ROUTERS) if lean else app, settings, {})
    transport = httpx2.ASGITransport(door, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.request(**request)
    untold = {"link"} if answer.content else {"link", "content-type"}  # one is dated, one of nothing
    headers = {name: value for name, value in answer.headers.items() if name not in untold}
    return answer.status_code, answer.content, headers


def ways() -> set[tuple[str, str]]:
    lean = Lean(FastAPI(), ROUTERS)
    return {(place[0], way.route.path) for place, found in lean.ways.items() for way in found}


def test_commands_and_single_resources_go_the_short_way() -> None:
    found = {("POST", "/tasks"), ("GET", "/tasks/{task}"), ("DELETE", "/tasks/{task}"), ("POST", "/texts")}
    assert ways() >= found


def test_lists_and_operations_which_need_more_than_their_path_do_not() -> None:
    assert not ways() & {("GET", "/tasks"), ("GET", "/operations/{operation}")}


@pytest.mark.parametrize(
    "content",
    [
        '{"title": "Buy milk"}',
        '{"title": "Купить молоко", "tags": ["дом"], "priority": "high", "due_at": "2030-01-01T00:00:00Z"}',
        '{"title": "Buy milk", "title": "Buy bread"}',
        '{"title": "Buy milk"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"title": "Buy milk"}',
        '{"title": "Buy milk", "more": 1}',
        '{"title": "\\ud800"}',
        '{"title": 7}',
        '{"title": NaN}',
        '{"title": ',
        "[]",
        "null",
        "",
    ],
)
@pytest.mark.parametrize("kind", [JSON, "Application/JSON; charset=utf-8", "text/plain", ""])
async def test_a_body_is_taken_or_refused_alike_on_either_way(content: str | bytes, kind: str) -> None:
    headers = {"idempotency-key": '"one"'} | ({"content-type": kind} if kind else {})
    request = {"method": "POST", "url": "/tasks", "content": content, "headers": headers}
    short, long = Owner(), Owner()

    assert await asked(short, lean=True, **request) == await asked(long, lean=False, **request)
    assert short.asked == long.asked


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "POST"])
@pytest.mark.parametrize("task", [TASK, TASK.upper(), "none", "%20", TASK + "/", TASK + "/complete", ""])
async def test_a_path_leads_to_the_same_on_either_way(method: str, task: str) -> None:
    headers = {"idempotency-key": '"one"', "if-match": '"2"', "content-type": JSON}
    request = {"method": method, "url": f"/tasks/{task}", "content": '{"title": "New"}', "headers": headers}
    short, long = Owner(), Owner()

    assert await asked(short, lean=True, **request) == await asked(long, lean=False, **request)
    assert short.asked == long.asked


@pytest.mark.parametrize("path", ["*", "/", "//", "/tasks/", ""])
async def test_what_is_no_path_of_ours_is_left_to_the_application(path: str) -> None:
    left: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        left.append(scope["path"])

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    await Lean(application, ROUTERS)(scope, None, None)  # type: ignore[arg-type]

    assert left == [path]
