"""How a route asks: `ask: Ask`, then `await ask(GetTask(task=task))`.

A command gets its key, its operation and its patience here, from its contract and the request's headers.
"""

import re
from collections.abc import Callable, Iterable
from functools import cached_property
from http import HTTPStatus
from time import monotonic
from typing import Annotated, Any, cast
from urllib.parse import quote

import fastapi
import orjson
from fastapi import Depends, Response
from starlette.responses import StreamingResponse
from uuid_utils import uuid4

from gateway.cache import Entry
from gateway.conditions import VersionDemanded, entity_tag, names, versions_in
from gateway.errors import Accepted, NotModified
from gateway.gateway import ANONYMOUS, Gateway
from gateway.operations import OperationKey
from gateway.parameters import require_known
from gateway.preferences import key_in, message_id_for, preference_in
from gateway.reading import address_in, address_of, learn, tell
from gateway.streaming import changes
from shared.asking import Answered, NotAnsweredYet
from shared.contracts.operations import GetOperation, Operation
from shared.messages import AnswerType, Command, Conditional, Page, Request, Resource

TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, version 00; anything else is no trace of ours."""
MOST_OF_AN_ID = 128
"""Characters of a request's id, which whoever is before the gateway gives it, that are logged."""


class Asker:
    """One HTTP request's way to the services. `headers` go with its answer, whatever that will be.

    `sent` goes into its log line: which message it became.
    """

    def __init__(self, http: fastapi.Request, response: Response | None = None):
        self.http = http
        self.response = response
        self.gateway: Gateway = http.app.state.gateway
        state = http.scope.setdefault("state", {})  # which `http.state` reads, at ten times the cost
        self.headers: dict[str, str] = {}
        self.sent: dict[str, Any] = {}
        state.update(answer_headers=self.headers, sent=self.sent)
        self.fields = _joined(http.scope["headers"])
        if "x-request-id" in self.fields:
            self.sent["request_id"] = self._header("x-request-id")[:MOST_OF_AN_ID]
        traceparent = self._header("traceparent")
        self.traceparent = traceparent if TRACEPARENT.fullmatch(traceparent) else ""

    async def __call__(self, request: Request[AnswerType]) -> AnswerType:
        """The owner's answer, as it came: JSON of what the type says, on its way out.

        Raises the refusal it sent, `Unavailable`, for queries `NotModified`, for commands `Accepted`.
        """
        if isinstance(request, Command):
            body = await self._command(request)
        elif issubclass(request.answer, Resource):
            body = await self._resource(request)
        else:
            body = await self._list(request)
        if self.response:  # FastAPI's, of a route that does not return the answer
            self.response.headers.update(self.headers)
        status = self.http.scope["route"].status_code or HTTPStatus.OK
        return cast(AnswerType, Response(body, status, self.headers, media_type="application/json"))

    async def _list(self, query: Request[Any]) -> bytes:
        """A page goes with a link to the next."""
        answered = await self._ask(query, wait=self.gateway.settings.wait_seconds)
        if issubclass(query.answer, Page) and (cursor := orjson.loads(answered.body)["next_cursor"]):
            self.headers["link"] = next_page(self.http, cursor)
        return answered.body

    async def _resource(self, query: Request[Any]) -> bytes:
        """A resource goes with its entity tag, from the cache (RFC 9211) unless the client wants it fresh."""
        fresh = "no-cache" in self._header("cache-control").lower()
        entry = await self._look(query, fresh=fresh)
        tag = self.headers["etag"] = entity_tag(entry.version)
        self.headers["cache-control"] = "private, no-cache"
        if names(self._header("if-none-match"), tag):
            raise NotModified
        return entry.body

    async def _look(self, query: Request[Any], *, fresh: bool) -> Entry:
        address = address_of(query)
        if not fresh and (found := await self.gateway.cache.get(address, ANONYMOUS)):
            entry, where = found
            self.headers["cache-status"] = f"conveyor; hit; detail={where}"
            return entry
        self.headers["cache-status"] = f"conveyor; fwd={'request' if fresh else 'miss'}"
        return await self._fetch(query, address)

    async def changes(self, query: Request[Any], is_last: Callable[[dict[str, Any]], bool]) -> Response:
        """The resource, and each new version of it, until one is the last; however long that takes."""
        first = await self._look(query, fresh=False)
        if self._header("last-event-id") == str(first.version) and is_last(orjson.loads(first.body)):
            return Response(status_code=HTTPStatus.NO_CONTENT)  # a browser would come again for ever
        self.http.state.deadline.lift()
        stream = changes(
            self.gateway.cache,
            address_of(query),
            first,
            lambda fresh: self._look(query, fresh=fresh),
            is_last,
        )
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(stream, headers=headers, media_type="text/event-stream")

    async def _fetch(self, query: Request[Any], address: str) -> Entry:
        asked_at = monotonic()
        answered = await self._ask(query, wait=self.gateway.settings.wait_seconds)
        fields = orjson.loads(answered.body)
        entry = Entry(fields["version"], answered.visible_to, answered.body, asked_at)
        if cast(type[Resource], query.answer).address_of(fields["id"]) == address:
            self.gateway.cache.fill(address, entry)
        return entry

    async def _command(self, command: Command[Any]) -> bytes:
        message_id, operation = self._names(command)
        if isinstance(command, Conditional):
            command = command.model_copy(update={"expected_version": self._versions(command)})
        settings = self.gateway.settings
        preference = preference_in(
            self._header("prefer"), settings.wait_seconds, settings.longest_wait_seconds
        )
        if preference.applied:
            self.headers["preference-applied"] = preference.applied
        asked_at = monotonic()
        try:
            answered = await self._ask(command, wait=preference.wait, message_id=message_id)
        except NotAnsweredYet:
            raise Accepted(operation) from None
        if place := learn(self.gateway.cache, command, answered, asked_at):
            address, version = place
            self.headers["location"], self.headers["etag"] = address, entity_tag(version)
        return answered.body

    def _names(self, command: Command[Any]) -> tuple[str, str]:
        """What the command is known by: message id and operation, which go with whatever it is answered."""
        message_id = self.message_id(type(command))
        operation = self.gateway.operations.path(OperationKey(command.queue, message_id, ANONYMOUS))
        self.headers["link"] = f'<{operation}>; rel="monitor"'
        return message_id, operation

    def message_id(self, command: type[Command[Any]]) -> str:
        """What a command of this request is known by, the same each time it is asked for."""
        return message_id_for(ANONYMOUS, command.queue, self.key)

    @cached_property
    def key(self) -> str:
        """The client's key, or a new one; it goes with whatever is answered."""
        key = key_in(self.fields.get("idempotency-key"))
        self.sent["key"] = key
        self.headers["idempotency-key"] = f'"{key}"'
        return key

    def _versions(self, command: Conditional) -> tuple[int, ...]:
        """The versions that the command is meant for by its If-Match, none for any."""
        if "if-match" in self.fields:
            return versions_in(self._header("if-match"))
        if command.demands_version:
            raise VersionDemanded(
                "Send If-Match with the ETag that you saw last, so that nobody's change is undone unseen; "
                "or If-Match: * for whatever is there."
            )
        return command.expected_version

    def _header(self, name: str) -> str:
        return self.fields.get(name, "")

    async def operation(self, operation: str) -> tuple[OperationKey, Operation]:
        """Which command an operation is about, and what has become of it."""
        key = self.gateway.operations.read(operation, ANONYMOUS)
        self.sent["about"] = [key.message_id]
        query = GetOperation(command_queue=key.queue, message_id=key.message_id)
        queue = GetOperation.queue.replace("*", key.owner)
        answered = await self._ask(query, wait=self.gateway.settings.wait_seconds, queue=queue)
        found = Operation.model_validate_json(answered.body)
        if found.state == "done":
            tell(self.gateway.cache, found.versions)
            if address := address_in(key.queue, found.answer):
                self.gateway.cache.told(address, found.answer["version"])
        return key, found

    async def _ask(self, request: Request[Any], *, message_id: str | None = None, **how: Any) -> Answered:
        ids = {"message_id": message_id or uuid4().hex, "conversation": uuid4().hex}
        self.sent.update({"message": type(request).__name__, **ids})
        answered = await self.gateway.ask(request, traceparent=self.traceparent, **ids, **how)
        if answered.repeated:
            self.headers["idempotency-replayed"] = "true"
        return answered


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; one that comes on several lines is one list (RFC 9110, section 5.3)."""
    fields: dict[str, str] = {}
    for line in headers:
        name, value = line[0].decode("latin-1"), line[1].decode("latin-1")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


async def _asker(
    http: fastapi.Request, response: Response
) -> Asker:  # async: FastAPI sends others to a thread
    if http.scope["query_string"]:
        require_known(http)
    return Asker(http, response)


Ask = Annotated[Asker, Depends(_asker)]


def next_page(http: fastapi.Request, cursor: str) -> str:
    """The same list further on, as a `Link` (RFC 8288)."""
    query = http.url.include_query_params(cursor=cursor).query
    return f'<{quote(http.scope["path"])}?{query}>; rel="next"'
