"""How large a request may be: refused by its declared length at once, else as soon as it passes the limit."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import ProblemResponse

TOO_LARGE = 413
POURED_AWAY = 64 * 1024 * 1024


class BodyLimit:
    """Refuses bodies of more than `most` bytes as a problem; Starlette's own limit says it in plain text."""

    def __init__(self, app: ASGIApp, most: int):
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > self.most:
            await _pour_away(receive)
            problem = ProblemResponse(TOO_LARGE, "body_too_large", self._detail())
            await problem(scope, receive, send)
            return
        taken = 0

        async def take() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.most:
                if message.get("more_body", False):
                    await _pour_away(receive)
                raise HTTPException(TOO_LARGE, self._detail())
            return message

        await self.app(scope, take, send)

    def _detail(self) -> str:
        return f"The body is larger than the {self.most} bytes that are taken"


async def _pour_away(receive: Receive) -> None:
    """Read what is still coming, up to a bound: many clients hear no answer before they have sent all."""
    poured, more = 0, True
    while more and poured < POURED_AWAY:
        message = await receive()
        poured += len(message.get("body", b""))
        more = message.get("more_body", False)
