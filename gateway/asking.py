"""How a route asks: `ask: Ask`, then `await ask(GetTask(task=task))`.

A command gets its key, its operation and its patience here, from its contract and the request's headers.
"""

import asyncio
import re
from typing import Annotated, Any, cast
from urllib.parse import quote

from fastapi import Depends, Request, Response

import shared.messages
from gateway.conditions import VersionDemanded, entity_tag, names, versions_in
from gateway.errors import Accepted, NotModified
from gateway.operations import OperationKey, Operations
from gateway.parameters import require_known
from gateway.preferences import key_in, message_id_for, preference_in
from shared.asking import NotAnsweredYet, RequestClient
from shared.contracts.operations import GetOperation, Operation
from shared.health import Dependency
from shared.messages import Answer, AnswerType, Command, Conditional, Page, Unavailable

ANONYMOUS = "anonymous"
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, version 00; anything else is no trace of ours."""


class Asker:
    """One HTTP request's way to the services. `headers` go with its answer, whatever that will be."""

    def __init__(self, http: Request, response: Response):
        self.http = http
        self.response = response
        self.gateway: Gateway = http.app.state.gateway
        self.headers: dict[str, str] = {}
        http.state.answer_headers = self.headers
        traceparent = http.headers.get("traceparent", "")
        self.traceparent = traceparent if TRACEPARENT.fullmatch(traceparent) else ""

    async def __call__(self, request: shared.messages.Request[AnswerType]) -> AnswerType:
        """The owner's answer. Raises the refusal it sent, `Unavailable`, and for commands `Accepted`."""
        if isinstance(request, Command):
            answer = await self._command(request)
        else:
            answer = await self._query(request)
        self.response.headers.update(self.headers)
        return cast(AnswerType, answer)

    async def _query(self, query: shared.messages.Request[Any]) -> Answer:
        """A resource goes with its entity tag, a page with a link to the next. May raise `NotModified`."""
        answer = await self._ask(query, wait=self.gateway.wait)
        if isinstance(answer, Page) and answer.next_cursor:
            self.headers["link"] = next_page(self.http, answer.next_cursor)
        if tag := entity_tag(answer):
            self.headers["etag"] = tag
            if names(self._header("if-none-match"), tag):
                raise NotModified
        return answer

    async def _command(self, command: Command[Any]) -> Answer:
        if isinstance(command, Conditional):
            versions = self._versions(command)
            command = command.model_copy(update={"expected_version": versions})
        preference = preference_in(self._header("prefer"), self.gateway.wait, self.gateway.longest_wait)
        key = key_in(self._header("idempotency-key") if "idempotency-key" in self.http.headers else None)
        message_id = message_id_for(ANONYMOUS, command.queue, key)
        operation = self.gateway.operations.path(OperationKey(command.queue, message_id, ANONYMOUS))
        self.headers["idempotency-key"] = f'"{key}"'
        self.headers["link"] = f'<{operation}>; rel="monitor"'
        if preference.applied:
            self.headers["preference-applied"] = preference.applied
        try:
            answer = await self._ask(command, wait=preference.wait, message_id=message_id)
        except NotAnsweredYet:
            raise Accepted(operation) from None
        if command.resource:
            self.headers["location"] = location(command, answer)
            if tag := entity_tag(answer):
                self.headers["etag"] = tag
        return answer

    def _versions(self, command: Conditional) -> tuple[int, ...]:
        """The versions that the command is meant for by its If-Match, none for any."""
        if "if-match" in self.http.headers:
            return versions_in(self._header("if-match"))
        if command.demands_version:
            raise VersionDemanded(
                "Send If-Match with the ETag that you saw last, so that nobody's change is undone unseen; "
                "or If-Match: * for whatever is there."
            )
        return command.expected_version

    def _header(self, name: str) -> str:
        """A header that may come on several lines, which are one list (RFC 9110, section 5.3)."""
        return ", ".join(self.http.headers.getlist(name))

    async def operation(self, operation: str) -> tuple[OperationKey, Operation]:
        """Which command an operation is about, and what has become of it."""
        key = self.gateway.operations.read(operation, ANONYMOUS)
        query = GetOperation(command_queue=key.queue, message_id=key.message_id)
        queue = GetOperation.queue.replace("*", key.owner)
        return key, cast(Operation, await self._ask(query, wait=self.gateway.wait, queue=queue))

    async def _ask(self, request: shared.messages.Request[Any], **how: Any) -> Answer:
        answered = await self.gateway.ask(request, traceparent=self.traceparent, **how)
        if answered.repeated:
            self.headers["idempotency-replayed"] = "true"
        return cast(Answer, answered.answer)


async def _asker(http: Request, response: Response) -> Asker:  # async: FastAPI sends others to a thread
    if http.scope["query_string"]:
        require_known(http)
    return Asker(http, response)


Ask = Annotated[Asker, Depends(_asker)]


def location(command: Command[Any] | type[Command[Any]], answer: Any) -> str:
    """Where the resource that a command was answered with can be looked up."""
    fields = answer if isinstance(answer, dict) else dict(answer)
    return command.resource.format(**fields)


def next_page(http: Request, cursor: str) -> str:
    """The same list further on, as a `Link` (RFC 8288)."""
    query = http.url.include_query_params(cursor=cursor).query
    return f'<{quote(http.scope["path"])}?{query}>; rel="next"'


class Gateway:
    """What all requests of the process share."""

    def __init__(
        self,
        client: RequestClient,
        broker: Dependency,
        operations: Operations,
        wait: float,
        longest_wait: int,
        most: int,
    ):
        self.client = client
        self.broker = broker
        self.operations = operations
        self.wait = wait
        self.longest_wait = longest_wait
        self.most = most
        self.waiting = 0

    async def ask(self, request: shared.messages.Request[Any], **how: Any) -> Any:
        """Refuses at once while the broker does not answer probes: a frozen one would only cost time."""
        if not self.broker.up:
            raise Unavailable("The message broker cannot be reached; try again shortly.")
        if self.waiting >= self.most:
            raise Unavailable("Too many requests wait for answers already; try again shortly.")
        self.waiting += 1
        try:
            return await self.client.ask(request, actor=ANONYMOUS, **how)
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
