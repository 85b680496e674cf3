"""Very many messages, very many lost connections: nothing grows, nothing is left over."""

import asyncio
from collections import Counter
from typing import Any

from shared.topology import REFUSED_RECENT, queues
from tests.faults.registry import Scene, fault
from tests.faults.stage import NAMES, Stage
from tests.system import eventually

MESSAGES = 200_000
RECONNECTS = 100
WARM_UP = 25
CONNECTIONS_OF = "/api/connections/username/"
SELDOM_SECONDS = 0.5
STEADY_SECONDS = 3.0
LOOKS = 10


@fault("endurance-messages", times=1)
async def many_messages(scene: Scene) -> None:
    """200,000 commands through the queues: no connection, channel or consumer left over or missing"""
    before = await _steady(scene.stage)
    scene.load.pause = SELDOM_SECONDS  # what goes on beside them takes as much of the machine as they do
    await scene.load.burst(MESSAGES, "task")
    await _same(before, scene.stage)


async def _reconnect(stage: Stage, times: int = WARM_UP) -> None:
    """After that often the heap has the room that the buffers of all connections of a process take."""
    closed: set[str] = set()

    async def connected_anew() -> set[str]:
        """The names of all, as the broker's own table has them, once both of each process are new."""
        found = [await stage.management("GET", CONNECTIONS_OF + name) for name in NAMES]
        new = [{one["name"] for one in connections} - closed for connections in found]
        return set().union(*new) if all(len(names) >= 2 for names in new) else set()

    for _ in range(times):
        closed = await eventually(connected_anew, "both connections of each process are there, and new", 30)
        for name in NAMES:
            await stage.management("DELETE", CONNECTIONS_OF + name)
    await stage.until_ready()


@fault("endurance-reconnects", times=1, warm_up=_reconnect)
async def many_reconnects(scene: Scene) -> None:
    """100 forced reconnects: one consumer a subscription, no connection or channel left over or missing"""
    before = await _steady(scene.stage)
    await _reconnect(scene.stage, RECONNECTS)
    after = await _same(before, scene.stage)
    other = {name: after[f"{name} consumers"] for name in consumed() if after[f"{name} consumers"] != 1}
    assert not other, f"not one consumer: {other}"


async def _same(before: Counter[str], stage: Stage) -> Counter[str]:
    """What is held now, which is to be what was held before; how long the page's figures lag, nobody says."""
    for _ in range(LOOKS):
        if (after := await _steady(stage)) == before:
            return after
    raise AssertionError(f"left over: {dict(after - before)}, missing: {dict(before - after)}")


def consumed() -> list[str]:
    """The queues that a process of ours takes from."""
    return [one.name for one in queues(recent=False) if not one.name.startswith(("delay.", REFUSED_RECENT))]


async def _held(stage: Stage) -> Counter[str]:
    """Connections and their channels, by what they are called, and consumers by their queues."""

    async def listed() -> list[dict[str, Any]]:
        """Once the channels of all are counted, which comes seconds after they are listed."""
        found = await stage.management("GET", "/api/connections")
        ours = [one for one in found if one.get("vhost") == stage.system.name and one["user"] != "operator"]
        return ours if all(one.get("channels") for one in ours) else []

    held: Counter[str] = Counter()
    for one in await eventually(listed, "connections are listed, with their channels", 30):
        name = one.get("client_properties", {}).get("connection_name", "")
        held[f"{name} connections"] += 1
        held[f"{name} channels"] += one["channels"]
    for one in await stage.management("GET", "/api/queues/{vhost}?columns=name,consumers"):
        if one["name"] in consumed():
            held[f"{one['name']} consumers"] = one.get("consumers", 0)
    return held


async def _steady(stage: Stage) -> Counter[str]:
    """What is held once it stays the same: the page's figures may be some seconds old."""
    held = await _held(stage)
    for _ in range(LOOKS):
        await asyncio.sleep(STEADY_SECONDS)
        if held == (held := await _held(stage)):
            break
    return held
