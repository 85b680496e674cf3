"""Large answers in gzip, for clients that take it (RFC 9110, section 12.5.3).

Compressed bytes are another representation: they have an entity tag of their own, which conditions know, and
`Vary` tells caches. A secret must not be answered beside what a caller chose, or sizes give it away (BREACH);
a route that has to sets `Content-Encoding: identity`.
"""

import asyncio
import gzip
import re
from functools import lru_cache
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.conditions import compressed

FILES: dict[str, dict[str, str]] = {"http.response.pathsend": {}}
"""A file comes here by its path, so that all of it can be compressed; few are large."""
LEVEL = 5
IN_A_THREAD_BYTES = 128 * 1024
"""Some milliseconds of work, which would keep all other requests waiting."""
TEXTUAL = re.compile(r"text/(?!event-stream)|application/([\w.-]+\+)?(json|xml|javascript|yaml)|image/svg")
QUALITY = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


class Compression:
    """Compresses answers of `least` bytes or more, sent in one piece or as a file, that consist of text."""

    def __init__(self, app: ASGIApp, least: int):
        self.app = app
        self.least = least

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["extensions"] = FILES
        start: Message | None = None

        async def hold_head(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None and message["type"] in {"http.response.body", "http.response.pathsend"}:
                await self._fit(scope, start, message)
            if start is not None:
                held, start = start, None
                await send(held)
            if path := message.get("path"):
                message = {"type": "http.response.body", "body": await asyncio.to_thread(_file, path)}
            await send(message)

        await self.app(scope, receive, hold_head)

    async def _fit(self, scope: Scope, start: Message, message: Message) -> None:
        """Compress the message in place, and say so in its head."""
        if start["status"] == 304:
            _tag_like_asked(scope, start)
            return
        if "path" not in message and len(message.get("body", b"")) < self.least:
            return
        headers = MutableHeaders(raw=start["headers"])
        size = int(headers["content-length"]) if "path" in message else len(message["body"])
        if size < self.least or message.get("more_body"):
            return
        if start["status"] == 206 or "content-encoding" in headers:
            return  # a range is counted in the bytes of the whole
        if not TEXTUAL.match(headers.get("content-type", "")):
            return
        headers.add_vary_header("Accept-Encoding")
        if not takes_gzip(", ".join(Headers(scope=scope).getlist("accept-encoding"))):
            return
        if path := message.pop("path", None):
            message["type"] = "http.response.body"
            message["body"] = await asyncio.to_thread(_compressed_file, path, headers["etag"])
        else:
            message["body"] = await _compressed(message["body"])
        headers["content-encoding"] = "gzip"
        headers["content-length"] = str(len(message["body"]))
        if tag := headers.get("etag"):
            headers["etag"] = compressed(tag)


def _tag_like_asked(scope: Scope, start: Message) -> None:
    """A 304 repeats the tag of what the client has, or its cache would not know it (RFC 9111, 4.3.4)."""
    headers = MutableHeaders(raw=start["headers"])
    headers.add_vary_header("Accept-Encoding")
    tag = compressed(headers.get("etag", ""))
    if any(tag in named for named in Headers(scope=scope).getlist("if-none-match")):
        headers["etag"] = tag


async def _compressed(body: bytes) -> bytes:
    if len(body) < IN_A_THREAD_BYTES:
        return gzip.compress(body, LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, LEVEL, mtime=0)


def _file(path: str) -> bytes:
    return Path(path).read_bytes()


@lru_cache(64)
def _compressed_file(path: str, tag: str) -> bytes:
    """Kept: the same few files are asked for again and again, and other content has another tag."""
    return gzip.compress(_file(path), LEVEL, mtime=0)


@lru_cache(256)
def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client takes gzip, and likes plain answers no better."""
    qualities: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, parameter = part.partition(";")
        found = QUALITY.fullmatch(parameter.replace(" ", "").strip())
        qualities[coding.strip()] = float(found[1]) if found else 1.0
    wanted = qualities.get("gzip", qualities.get("*", 0.0))
    return wanted > 0 and wanted >= qualities.get("identity", 0.0)
