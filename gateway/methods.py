"""Methods that follow from the routes (RFC 9110, section 9.3): HEAD from GET, OPTIONS and Allow from all."""

from collections.abc import Sequence

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Methods:
    """Answers OPTIONS, and HEAD as GET without the body."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]):
        self.app = app
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self._head(scope, receive, send)
        elif (
            scope["type"] == "http"
            and scope["method"] == "OPTIONS"
            and (methods := allowed(scope, self.routes))
        ):
            headers = [(b"allow", ", ".join(methods).encode())]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self.app(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_head(message: Message) -> None:
            scope["method"] = "HEAD"  # by which the server sends no body
            await send(message)

        scope["method"] = "GET"
        try:
            await self.app(scope, receive, send_head)
        finally:  # whoever is before this may have to answer in its place
            scope["method"] = "HEAD"


def allowed(scope: Scope, routes: Sequence[BaseRoute]) -> list[str]:
    """The methods of the path, of all routes that share it; none where nothing is."""
    found = [method for method in METHODS if _is_routed(scope, method, routes)]
    if "GET" in found:
        found.append("HEAD")
    return [*found, "OPTIONS"] if found else []


def _is_routed(scope: Scope, method: str, routes: Sequence[BaseRoute]) -> bool:
    asked = {**scope, "method": method}
    return any(route.matches(asked)[0] is Match.FULL for route in routes)
