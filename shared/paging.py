"""Cursors: where a page of a list ended, as text that only the same list takes back.

A cursor holds the last item's place in the order, so pages stay right while items are added and removed. Its
check sum covers the list's filters and order too: a broken cursor, and another list's, is `BadCursor`.
"""

import hashlib
from base64 import b64decode, urlsafe_b64encode
from typing import Any

import orjson

from shared.messages import BadCursor, Query

SUM_BYTES = 8
NOT_OF_THE_LIST = frozenset(("cursor", "limit", "count"))
"""Fields of a query that may differ from page to page."""


def cursor_at(place: list[Any], query: Query[Any]) -> str:
    """The cursor for what comes after this place (JSON values) in the list that the query asks for."""
    body = orjson.dumps(place)
    return urlsafe_b64encode(_sum(body, query) + body).decode().rstrip("=")


def place_in(cursor: str, query: Query[Any]) -> list[Any]:
    """The place that a cursor of the query's list was made from."""
    try:
        content = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        content = b""
    body = content[SUM_BYTES:]
    if content[:SUM_BYTES] != _sum(body, query):
        raise BadCursor("This cursor is not of this list: begin again without one.")
    place: list[Any] = orjson.loads(body)
    return place


def _sum(body: bytes, query: Query[Any]) -> bytes:
    whose = query.queue + query.model_dump_json(exclude=set(NOT_OF_THE_LIST))
    return hashlib.blake2b(body, key=hashlib.sha256(whose.encode()).digest(), digest_size=SUM_BYTES).digest()
