"""Asks task_service for a task by the client that the gateway asks with."""

import asyncio
import os
from uuid import UUID

import uvloop

from benchmarks.asking.clock import ask_and_say
from shared.amqp.channel import Channel
from shared.asking import RequestClient
from shared.bus import Publisher
from shared.contracts.tasks import GetTask

WAIT_SECONDS = 10.0


async def nothing_else(channel: Channel) -> None:
    """Answers are all that is heard."""


async def main() -> None:
    url, task = os.environ["BROKER_URL"], UUID(os.environ["TASK"])
    publisher = Publisher(url, "gateway")
    client = RequestClient(url, publisher, also=nothing_else)
    links = [asyncio.create_task(link.keep_open()) for link in (publisher.link, client.link)]
    await asyncio.gather(publisher.link.back.wait(), client.link.back.wait())

    async def ask() -> bytes:
        return (await client.ask(GetTask(task=task), actor="anonymous", wait=WAIT_SECONDS)).body

    await ask_and_say(ask)
    for link in links:
        link.cancel()


if __name__ == "__main__":
    uvloop.run(main())
