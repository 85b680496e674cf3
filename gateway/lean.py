"""The short way for a request that fits: straight to its route's function, without FastAPI's run-time.

FastAPI declares, documents and refuses. Where path and body fit their types there is nothing left for it to
do, and doing it costs more than all the rest of a request in this process. A query string, or a body that
does not fit, goes FastAPI's way, which says what is wrong.
"""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.types import Receive, Scope, Send

from gateway.asking import Asker
from gateway.errors import Accepted, NotModified, answer_to
from gateway.limits import once
from shared.messages import Refusal

TAKEN = frozenset((b"application/json", b"application/merge-patch+json"))


class Lean:
    """Takes the requests of `routers` that fit, and gives all others to the application."""

    def __init__(self, app: FastAPI, routers: Iterable[APIRouter]):
        self.app = app
        self.ways: dict[tuple[str, str, int], list[_Way]] = {}
        for route in (route for router in routers for route in router.routes):
            if isinstance(route, APIRoute) and (way := _way(route)):
                for method in route.methods or ():
                    self.ways.setdefault(_place(method, route.path), []).append(way)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["query_string"]:
            await self.app(scope, receive, send)
            return
        for way in self.ways.get(_place(scope["method"], scope["path"]), ()):
            if match := way.route.path_regex.match(scope["path"]):
                break
        else:
            await self.app(scope, receive, send)
            return
        body = b""
        if way.body:
            body = (await receive())["body"]  # whole, since it came past the limits
            receive = once(body, receive)
        try:
            values = way.values(scope, match.groupdict(), body)
        except ValidationError:
            await self.app(scope, receive, send)
            return
        scope.update(app=self.app, route=way.route, endpoint=way.route.endpoint)
        response = await _answer(way, values, Request(scope, receive))
        await response(scope, receive, send)


@dataclass(frozen=True, slots=True)
class _Way:
    route: APIRoute
    path: dict[str, TypeAdapter[Any]]
    body: dict[str, TypeAdapter[Any]]

    def values(self, scope: Scope, found: dict[str, str], body: bytes) -> dict[str, Any]:
        """The function's arguments; ValidationError where something does not fit."""
        values = {name: kind.validate_python(found[name]) for name, kind in self.path.items()}
        for name, kind in self.body.items():
            is_json = _content_type(scope) in TAKEN
            values[name] = kind.validate_json(body if is_json else b"")
        return values


def _content_type(scope: Scope) -> bytes:
    given = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    return given.partition(b";")[0].strip().lower()


def _place(method: str, path: str) -> tuple[str, str, int]:
    """What tells most routes apart: two that share it are tried in turn."""
    return method, path[1:].partition("/")[0], path.count("/")  # `*` is a path, too


def _way(route: APIRoute) -> _Way | None:
    """How to call a route's function that takes parts of the path, a body perhaps, and `ask`; else none."""
    given = {name: one.annotation for name, one in inspect.signature(route.endpoint).parameters.items()}
    path = {field.name: TypeAdapter(given.pop(field.name)) for field in route.dependant.path_params}
    body = {field.name: TypeAdapter(given.pop(field.name)) for field in route.dependant.body_params}
    fits = list(given) == ["ask"] and len(body) < 2 and ":path}" not in route.path
    return _Way(route, path, body) if fits else None


async def _answer(way: _Way, values: dict[str, Any], request: Request) -> Response:
    ask = Asker(request)
    try:
        answer = await way.route.endpoint(**values, ask=ask)
    except (Refusal, Accepted, NotModified) as outcome:
        return await answer_to(request, outcome)
    if answer is None:
        return Response(status_code=way.route.status_code or 200, headers=ask.headers)
    assert isinstance(answer, Response), f"{way.route.path} answers with what only FastAPI can send"
    return answer
