"""How large a request may be in each of its parts, and that its text is UTF-8: checked before any route.

A body is taken whole. The nesting and the lists of JSON are counted on its bytes, strings left out, without
recursion, before anything parses it.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import ProblemResponse, status_of
from gateway.settings import GatewaySettings
from shared.messages import Refusal

ROOM_SECONDS = 10.0
"""How long a large body may wait for others to be done with."""
POURED_AWAY = 64 * 1024 * 1024
WITHOUT_BODY = frozenset(("GET", "HEAD", "OPTIONS"))
STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""JSON strings; one that never ends reaches to the end. Possessive: linear, whatever is sent."""
NO_STRUCTURE = bytes(byte for byte in range(256) if byte not in b"[]{},")
OPENING = b"[{"
LIST, COMMA = b"[,"
NEVER_TOO_MANY = float("-inf")
"""Where an object's members are counted: its contract says which it may have."""


class OverLimit(Refusal):
    """A part of the request is larger than the gateway takes."""


class Malformed(Refusal):
    """The request is not what HTTP or JSON says it should be."""

    code = "malformed"


class Limits:
    """Refuses what is too large or broken with a problem; the rest passes with its body in one piece.

    `larger`: paths that take more than the usual, in bytes. Of such bodies few are in hand at a time.
    """

    def __init__(self, app: ASGIApp, settings: GatewaySettings, larger: Mapping[str, int]):
        self.app = app
        self.settings = settings
        self.larger = larger
        self.room = asyncio.Semaphore(settings.large_bodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = self.larger.get(scope["path"])
        if most is None:
            await self._let_in(scope, receive, send, self.settings.body_bytes, None)
        else:
            async with AsyncExitStack() as held:
                await self._let_in(scope, receive, send, most, held)

    async def _let_in(
        self, scope: Scope, receive: Receive, send: Send, most: int, held: AsyncExitStack | None
    ) -> None:
        try:
            self._check_url(scope)
            headers = self._checked_headers(scope)
            take = receive
            if scope["method"] not in WITHOUT_BODY:
                take = once(await self._taken(headers, receive, most, held), receive)
        except Refusal as refusal:
            problem = ProblemResponse(status_of(refusal.code), refusal.code, refusal.message)
            await problem(scope, receive, send)
            return
        await self.app(scope, take, send)

    def _check_url(self, scope: Scope) -> None:
        query: bytes = scope["query_string"]
        if len(scope["raw_path"]) + len(query) > self.settings.url_bytes:
            raise OverLimit(
                f"The address is longer than the {self.settings.url_bytes} bytes that are taken.",
                code="url_too_long",
            )
        if "\ufffd" in scope["path"]:
            _require_text(unquote_to_bytes(scope["raw_path"]), "path")
        if not query:
            return
        if b"%" in query:
            _require_text(unquote_to_bytes(query), "query")
        if query.count(b"&") >= self.settings.list_items:
            self._check_parameters(query)

    def _check_parameters(self, query: bytes) -> None:
        values = Counter(name for name, _ in parse_qsl(query.decode(), keep_blank_values=True))
        for name, times in values.items():
            if times > self.settings.list_items:
                raise self._too_many_items(f"The query parameter {name[:100]}")

    def _checked_headers(self, scope: Scope) -> dict[bytes, bytes]:
        """The request's headers by name; of a repeated one the first, as FastAPI has it."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if sum([len(name) + len(value) for name, value in headers]) > self.settings.header_bytes:
            raise OverLimit(
                f"The headers are larger than the {self.settings.header_bytes} bytes that are taken.",
                code="headers_too_large",
            )
        return dict(reversed(headers))

    async def _taken(
        self, headers: dict[bytes, bytes], receive: Receive, most: int, held: AsyncExitStack | None
    ) -> bytes:
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > most:
            await _pour_away(receive)
            raise _too_large(most)
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            await _pour_away(receive)
            raise OverLimit("Send the body without a Content-Encoding.", code="encoded_body")
        body = await self._read(receive, most, held)
        if body and b"json" in headers.get(b"content-type", b"").lower():
            self.check_json(body)
        return body

    async def _read(self, receive: Receive, most: int, held: AsyncExitStack | None) -> bytes:
        chunks, taken, more, has_room = [], 0, True, False
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Malformed("The body broke off before its end.")
            chunks.append(message.get("body", b""))
            taken += len(chunks[-1])
            more = message.get("more_body", False)
            if taken > most or (taken > self.settings.body_bytes and not has_room):
                has_room = held is not None and taken <= most and await self._made_room(held)
                if not has_room:
                    if more:
                        await _pour_away(receive)
                    raise _too_large(most) if taken > most else _too_many_at_once()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _made_room(self, held: AsyncExitStack) -> bool:
        """Whether a large body may come in; its room is its own until it is answered."""
        try:
            async with asyncio.timeout(ROOM_SECONDS):
                await held.enter_async_context(self.room)
        except TimeoutError:
            return False
        return True

    def check_json(self, body: bytes) -> None:
        if b"\x00" in body:  # in no JSON, but in UTF-16 and UTF-32, which parsers take as well
            raise Malformed("The body is not JSON in UTF-8 (RFC 8259, section 8.1).")
        _require_text(body, "body")
        opening = body.count(b"[") + body.count(b"{")
        if opening <= self.settings.json_depth and body.count(b",") < self.settings.list_items:
            return  # nearly all bodies
        self._check_structure(STRINGS.sub(b"", body).translate(None, NO_STRUCTURE))

    def _check_structure(self, marks: bytes) -> None:
        """Count what is open, and of each list the items. What closes nothing is left to the parser."""
        items: list[float] = []
        for mark in marks:
            if mark in OPENING:
                items.append(1 if mark == LIST else NEVER_TOO_MANY)
                if len(items) > self.settings.json_depth:
                    raise self._too_deep()
            elif mark == COMMA and items:
                items[-1] += 1
                if items[-1] > self.settings.list_items:
                    raise self._too_many_items("A list of the body")
            elif len(items) > 1:
                items.pop()
            else:
                return  # nothing follows, or it is no JSON

    def _too_deep(self) -> OverLimit:
        detail = f"The body is nested deeper than the {self.settings.json_depth} levels that are taken."
        return OverLimit(detail, code="too_deep")

    def _too_many_items(self, what: str) -> OverLimit:
        detail = f"{what} has more than the {self.settings.list_items} items that are taken."
        return OverLimit(detail, code="too_many_items")


def _too_large(most: int) -> OverLimit:
    return OverLimit(f"The body is larger than the {most} bytes that are taken.", code="body_too_large")


def _too_many_at_once() -> OverLimit:
    return OverLimit("Too many large bodies are in hand already; try again shortly.", code="unavailable")


def _require_text(part: bytes, name: str) -> None:
    try:
        part.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"The {name} is not UTF-8, at byte {error.start}.") from None


def once(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body, and what comes after it as it comes."""
    given = False

    async def take() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return take


async def _pour_away(receive: Receive) -> None:
    """Read what is still coming, up to a bound: many clients hear no answer before they have sent all."""
    poured, more = 0, True
    while more and poured < POURED_AWAY:
        message = await receive()
        poured += len(message.get("body", b""))
        more = message.get("more_body", False)
