"""Running `make topology` against a test's own virtual host, and spoiling what is there."""

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from typing import Any

import aiormq
from aiormq.abc import AbstractChannel

from shared import topology
from shared.messages import REQUESTS
from tests.system import ROOT, System

COMMAND = [sys.executable, "-m", "infra.topology_check"]


def settings(system: System) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONUNBUFFERED": "1",
        "RABBITMQ_URL": system.broker_url("operator"),
        "RABBITMQ_MANAGEMENT_URL": system.servers.rabbitmq.management_url,
        "RABBITMQ_MANAGEMENT_USER": "operator",
        "RABBITMQ_MANAGEMENT_PASSWORD": "operator",
    }


async def run(system: System, *arguments: str, **others: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=settings(system) | others,
        capture_output=True,
        text=True,
        check=False,
    )


async def migrate(system: System, queue: str) -> str:
    """What it said, once it succeeded."""
    ended = await run(system, "--migrate", queue)

    assert ended.returncode == 0, ended
    return ended.stdout


async def found(system: System) -> dict[tuple[str, str], str]:
    """What was found and what to do, by kind and name."""
    ended = await run(system, "--json")
    assert ended.returncode in (0, 1), ended.stderr
    told = json.loads(ended.stdout)["findings"]
    assert ended.returncode == bool(told)
    return {(one["kind"], one["name"]): f"{one['found']} → {one['do']}" for one in told}


def declared(name: str) -> topology.Queue:
    """A queue as the contracts declare it; the toy's contracts are no part of the system."""
    if not REQUESTS:
        topology.load_contracts()
    return topology.queue_for(name)


async def make_anew(channel: AbstractChannel, name: str, **arguments: Any) -> None:
    """The queue of that name, empty, with other arguments; None takes one away."""
    changed = {key.replace("_", "-"): value for key, value in arguments.items()}
    whole = {**declared(name).arguments, **changed}
    await channel.queue_delete(name)
    await channel.queue_declare(
        name, durable=True, arguments={key: value for key, value in whole.items() if value is not None}
    )
    for exchange, key in declared(name).bindings:
        await channel.queue_bind(name, exchange, key)


async def arguments_of(system: System, name: str) -> dict[str, Any]:
    async with system.management() as page:
        answer = await page.get(f"/api/queues/{system.name}/{name}")
        return dict(answer.json()["arguments"]) if answer.is_success else {}


async def depth(system: System, name: str) -> int | None:
    """Messages that wait in a queue, by AMQP, which knows at once; None without the queue."""
    connection = await aiormq.connect(system.broker_url("operator"))
    try:
        with suppress(aiormq.exceptions.ChannelNotFoundEntity):
            return (await (await connection.channel()).queue_declare(name, passive=True)).message_count
        return None
    finally:
        await connection.close()
