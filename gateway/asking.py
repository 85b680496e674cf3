"""How a route asks: `ask: Ask`, then `await ask(GetTask(task=task))`."""

import asyncio
import re
from typing import Annotated

from fastapi import Depends, Request

import shared.messages
from shared.asking import RequestClient
from shared.health import Dependency
from shared.messages import AnswerType, Unavailable

ANONYMOUS = "anonymous"
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, version 00; anything else is no trace of ours."""


class Asker:
    """One HTTP request's way to the services; carries its trace with it."""

    def __init__(self, http: Request):
        self.gateway: Gateway = http.app.state.gateway
        traceparent = http.headers.get("traceparent", "")
        self.traceparent = traceparent if TRACEPARENT.fullmatch(traceparent) else ""

    async def __call__(self, request: shared.messages.Request[AnswerType]) -> AnswerType:
        """The owner's answer; raises the refusal it sent, `Unavailable` or `OutcomeUnknown`."""
        return await self.gateway.ask(request, self.traceparent)


async def _asker(http: Request) -> Asker:  # async, since FastAPI sends what is not to a thread
    return Asker(http)


Ask = Annotated[Asker, Depends(_asker)]


class Gateway:
    """What all requests of the process share."""

    def __init__(self, client: RequestClient, broker: Dependency, wait: float, most: int):
        self.client = client
        self.broker = broker
        self.wait = wait
        self.most = most
        self.waiting = 0

    async def ask(self, request: shared.messages.Request[AnswerType], traceparent: str) -> AnswerType:
        """Refuses at once while the broker does not answer probes: a frozen one would only cost time."""
        if not self.broker.up:
            raise Unavailable("The message broker cannot be reached; try again shortly.")
        if self.waiting >= self.most:
            raise Unavailable("Too many requests wait for answers already; try again shortly.")
        self.waiting += 1
        try:
            return await self.client.ask(request, actor=ANONYMOUS, wait=self.wait, traceparent=traceparent)
        finally:
            self.waiting -= 1

    async def drained(self, seconds: float) -> None:
        """Wait until nobody waits for an answer any more."""
        try:
            async with asyncio.timeout(seconds):
                while self.waiting:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pass
