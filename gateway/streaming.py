"""A resource's changes as they come: server-sent events (WHATWG HTML, 9.2).

Each event is the whole resource, its id the version. A stream begins with what is there, so that a client
that comes again has missed nothing that still counts.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson

from gateway.cache import Cache, Entry
from shared.messages import NotFound, Refusal

BREATH_SECONDS = 10.0
"""A comment goes out so often, and the owner is asked, in case an event was missed."""


async def changes(
    cache: Cache,
    address: str,
    first: Entry,
    look: Callable[[bool], Awaitable[Entry]],
    is_last: Callable[[dict[str, Any]], bool],
) -> AsyncIterator[bytes]:
    """`look` gets the resource, fresh where asked.

    The end comes after `is_last`, with the removal, or when those who watch are dismissed, who ask another
    process then.
    """
    with cache.watching(address) as changed:
        changed.set()  # by what came after the first look
        shown = 0
        entry = first
        while True:
            if entry.version > shown:
                shown = entry.version
                yield _event(entry)
                if is_last(orjson.loads(entry.body)):
                    return
            told = await _within(changed, BREATH_SECONDS)
            if cache.dismissed:
                return
            if not told:
                yield b": still here\n\n"
            try:
                entry = await look(not told)
            except Refusal as refusal:
                if refusal.code == NotFound.code:
                    yield b"event: removed\ndata: {}\n\n"
                    return
                await asyncio.sleep(1)  # not to be had at the moment: the next breath asks again


def _event(entry: Entry) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (entry.version, entry.body)


async def _within(changed: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        return False
    changed.clear()
    return True
