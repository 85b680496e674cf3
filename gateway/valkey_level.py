"""The cache level that gateway replicas share, in Valkey: a help, never a witness.

Each replica guards itself by what it was told (gateway/cache.py), so Valkey may be away, slow, emptied, or
back with what it had: reads then go to the owners. Writes of a moment leave together, unawaited.
"""

import asyncio
from time import monotonic
from typing import Any

import orjson
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from gateway.cache import TOMBSTONE_OUTLIVES, Entry, Tombstone
from shared.health import Dependency
from shared.journal import StoreAway

PREFIX = "conveyor:2:"
"""And the number of the form that entries have, for gateways of two forms at once."""
PATIENCE = 0.2
"""Seconds; an owner answers faster than a Valkey that takes longer."""
PROBE_SECONDS = 2.0
GATHERING_SECONDS = 0.01
"""A call costs this process more than all that goes with it."""

PUT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.ceil(time[2] / 1000)
for i, key in ipairs(KEYS) do
    local version, life, value = tonumber(ARGV[3 * i - 2]), ARGV[3 * i - 1] - now, ARGV[3 * i]
    local kept = tonumber(string.match(redis.call('GETRANGE', key, 0, 20), '^%d+') or 0)
    local newer = version > kept or (version == kept and value ~= '' and redis.call('PTTL', key) < life)
    if newer and life > 0 then
        redis.call('SET', key, ARGV[3 * i - 2] .. '\\n' .. value, 'PX', life)
    end
end"""
"""Keep what is not below what is kept. A value is its version; of an entry then its callers and its body.

It comes with the time at which it dies, not with a life: a frozen Valkey reads it long after it was sent.
"""


class ValkeyLevel:
    """Entries and tombstones of all replicas. Construct it in a running loop."""

    def __init__(self, url: str, life: float):
        self.life = life
        self.prefix = f"{PREFIX}{life:g}:"
        self.ahead = 0.0
        """Valkey's clock less this process's, at least."""
        self.client: Valkey = Valkey.from_url(
            url, socket_timeout=PROBE_SECONDS, socket_connect_timeout=PROBE_SECONDS
        )
        self.script = self.client.register_script(PUT)
        self.dependency = Dependency("valkey", self.probe, needed=False)
        self.waiting: dict[str, Entry | Tombstone] = {}
        self.writing: asyncio.Task[None] | None = None

    async def probe(self) -> None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                seconds, microseconds = await self.client.time()
        except (ValkeyError, OSError, TimeoutError) as error:
            raise StoreAway(f"Valkey does not answer: {error}") from None
        self.ahead = seconds + microseconds / 1_000_000 - monotonic()

    async def get(self, address: str) -> Entry | None:
        if not self.dependency.up:
            return None
        asked = monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                pipeline: Any = self.client.pipeline(transaction=False)
                value, life = await pipeline.get(self.prefix + address).pttl(self.prefix + address).execute()
        except (ValkeyError, OSError, TimeoutError) as error:
            self.dependency.failed(str(error))
            return None
        version, _, rest = (value or b"").partition(b"\n")
        if (
            not rest or not version.isdigit() or not 0 < life <= self.life * 1000
        ):  # gone meanwhile, or its clock was set back
            return None
        visible_to, _, body = rest.partition(b"\n")
        return Entry(int(version), tuple(orjson.loads(visible_to)), body, asked + life / 1000 - self.life)

    def put(self, address: str, what: Entry | Tombstone) -> None:
        if not self.dependency.up:
            return
        self.waiting[address] = what
        if self.writing is None or self.writing.done():
            self.writing = asyncio.create_task(self._write(), name="writing to Valkey")

    async def _write(self) -> None:
        while self.waiting:
            await asyncio.sleep(GATHERING_SECONDS)
            waiting, self.waiting = self.waiting, {}
            keys = [self.prefix + address for address in waiting]
            arguments = [part for what in waiting.values() for part in self._arguments(what)]
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    await self.script(keys=keys, args=arguments)
            except (ValkeyError, OSError, TimeoutError) as error:
                self.dependency.failed(str(error))
                self.waiting.clear()

    def _arguments(self, what: Entry | Tombstone) -> tuple[int, int, bytes]:
        if isinstance(what, Entry):
            value, dies_at = orjson.dumps(what.visible_to) + b"\n" + what.body, what.asked_at + self.life
        else:
            value, dies_at = b"", what.told_at + self.life + TOMBSTONE_OUTLIVES
        return what.version, int((dies_at + self.ahead) * 1000), value

    async def close(self) -> None:
        if self.writing:
            self.writing.cancel()
        await self.client.aclose()
