"""A hundred commands at once on the last free units, with two processes of the service."""

import asyncio
from typing import Any

import pytest

from tests.amqp import client
from tests.system import Replica, System

UNITS = 60
COMMANDS = 100


@pytest.fixture(scope="module")
async def processes(system: System) -> list[Replica]:
    return [await system.start("waste_service"), await system.start("waste_service")]


async def test_a_hundred_commands_share_the_last_units_and_nothing_is_lost(
    system: System, gateway: Replica, processes: list[Replica]
) -> None:
    await load(system)

    generations = await asyncio.gather(by_rest(system, gateway), by_queue(system))

    placed = [each["amount"] for those in generations for one in those for each in one["placements"]]
    waiting = [one["unplaced"].get("bio", 0) for those in generations for one in those]
    assert sum(map(len, generations)) == COMMANDS
    assert sum(placed) == UNITS
    assert sum(waiting) == COMMANDS - UNITS
    [held] = await system.fetch("waste_service", "SELECT sum(stored), max(stored - capacity) FROM capacities")
    assert tuple(held) == (UNITS, 0)
    assert await unbalanced(system) == []
    assert all([await took_part(system, replica) for replica in processes])


async def load(system: System) -> None:
    async with client(system) as amqp:
        for queue, body in (
            ("waste.register_organization", {"name": "one"}),
            ("waste.register_organization", {"name": "two"}),
            ("waste.register_storage", {"name": "near", "capacity": {"bio": UNITS - 20}}),
            ("waste.register_storage", {"name": "far", "capacity": {"bio": 20}}),
            ("waste.add_road", {"from": "one", "to": "near", "metres": 1}),
            ("waste.add_road", {"from": "two", "to": "far", "metres": 1}),
            ("waste.add_road", {"from": "near", "to": "far", "metres": 1, "two_way": True}),
        ):
            answer = await amqp.ask(queue, body)
            assert not answer.refused, answer.body


async def by_rest(system: System, gateway: Replica) -> list[dict[str, Any]]:
    async with system.http(gateway) as http:
        answers = await asyncio.gather(
            *(
                http.post("/waste/organizations/one/waste", json={"amounts": {"bio": 1}})
                for _ in range(COMMANDS // 2)
            )
        )
    assert {answer.status_code for answer in answers} == {201}
    return [answer.json() for answer in answers]


async def by_queue(system: System) -> list[dict[str, Any]]:
    async with client(system) as amqp:
        body = {"organization": "two", "amounts": {"bio": 1}}
        await asyncio.gather(
            *(amqp.publish("waste.generate_waste", body, answered=True) for _ in range(COMMANDS // 2))
        )
        answers = [await amqp.next_answer() for _ in range(COMMANDS // 2)]
    assert not any(answer.refused for answer in answers)
    return [answer.body for answer in answers]


async def unbalanced(system: System) -> list[Any]:
    """Generations and capacities whose sums do not agree."""
    return [
        *await system.fetch(
            "waste_service",
            """SELECT a.* FROM amounts a WHERE amount <>
                (SELECT coalesce(sum(p.amount), 0) FROM placements p
                 WHERE (p.generation, p.kind) = (a.generation, a.kind)) +
                (SELECT coalesce(sum(w.amount), 0) FROM waiting w
                 WHERE (w.generation, w.kind) = (a.generation, a.kind))""",
        ),
        *await system.fetch(
            "waste_service",
            """SELECT c.* FROM capacities c WHERE stored <>
                (SELECT coalesce(sum(p.amount), 0) FROM placements p
                 WHERE (p.storage, p.kind) = (c.storage, c.kind))""",
        ),
    ]


async def took_part(system: System, replica: Replica) -> bool:
    async with system.http(replica) as http:
        lines = (await http.get("/metrics")).text.splitlines()
    return any('"GenerateWaste"' in line and not line.endswith(" 0.0") for line in lines)
