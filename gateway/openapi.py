"""What routes really answer, in the OpenAPI document: said once, from the contract that a route asks with.

A route's function is named like the contract it sends, and its router's tag is the owner: `tasks` and
`create_task` are `tasks.create_task`, the operation's id in the document and the queue on the broker.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from gateway.errors import STATUS_OF_CODE, Problem
from shared.messages import REQUESTS, Command, Conditional, Page, Request, Resource

METHODS = frozenset(("get", "put", "post", "patch", "delete"))
ALWAYS = (
    "malformed",
    "url_too_long",
    "headers_too_large",
    "invalid",
    "too_many_items",
    "failed",
    "unavailable",
    "no_answer",
)
WITH_A_BODY = ("request_too_slow", "body_too_large", "not_json", "encoded_body", "too_deep")
OF_COMMANDS = ("malformed_key", "message_id_reused", "outcome_unknown")
ENTITY_TAG = r'(W/)?"[\x21\x23-\x7e]*"'
KEY = r'^"[\x20-\x21\x23-\x5b\x5d-\x7e]{1,200}"$'
ACCEPTED = {
    "title": "Accepted",
    "description": "The command was taken and is not answered yet; its operation tells the rest.",
    "type": "object",
    "properties": {"state": {"const": "waiting"}, "operation": {"type": "string"}},
    "required": ["state", "operation"],
}
ACCEPTED_SCHEMA = {"$ref": "#/components/schemas/Accepted"}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "For 24 hours a command is done once under one key, and answered as the first time.",
    "schema": {"type": "string", "pattern": KEY},
}
PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": "`respond-async` asks for 202 at once, `wait=n` for patience of n seconds (RFC 7240).",
    "schema": {"type": "string"},
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag that is there already: 304 if it is still the one.",
    "schema": {"type": "string"},
}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag that the command is meant for, or several, or `*` for any.",
    "example": "*",
    "schema": {"type": "string", "pattern": rf"^(\*|{ENTITY_TAG}(, ?{ENTITY_TAG}){{0,99}})$"},
}


def header(description: str, *, always: bool = True) -> dict[str, Any]:
    return {"description": description, "required": always, "schema": {"type": "string"}}


ETAG = header("The version, strong.")
NOT_MODIFIED = {"description": "It is still the version that was named.", "headers": {"ETag": ETAG}}
CACHE_STATUS = header("Where the answer came from (RFC 9211).")
LOCATION = header("Where to look it up.")
RETRY_AFTER = header("Seconds.")
NEXT_LINK = header('The next page, as `rel="next"` (RFC 8288).', always=False)
COMMAND_HEADERS = {
    "Idempotency-Key": header("The key to repeat the command with."),
    "Link": header('The operation, as `rel="monitor"`.'),
    "Idempotency-Replayed": header("`true` if it had been answered before.", always=False),
    "Preference-Applied": header("What of `Prefer` was heeded.", always=False),
}


def operation_id(route: APIRoute) -> str:
    """Of a route that sends a message: the message's queue."""
    return ".".join([*(str(tag) for tag in route.tags[:1]), route.name])


def install(app: FastAPI) -> None:
    """Complete the document that FastAPI makes of the routes alone."""
    routes_alone = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = routes_alone()
            for operation in _operations(document):
                if request := request_of(operation["operationId"]):
                    _describe(operation, request)
            schemas = document["components"]["schemas"]
            schemas["Accepted"] = ACCEPTED
            schemas["Problem"] = Problem.model_json_schema()
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend it


def request_of(operation: str) -> type[Request[Any]] | None:
    """The contract that an operation sends; one of an open owner is found by its name alone."""
    return REQUESTS.get(operation) or REQUESTS.get(f"*.{operation.partition('.')[2]}")


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from (operation for method, operation in methods.items() if method in METHODS)


def _describe(operation: dict[str, Any], request: type[Request[Any]]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    done = next(responses[status] for status in responses if status.startswith("2"))
    if issubclass(request, Command):
        _describe_command(operation, request, done)
    else:
        _describe_query(operation, request, done)
    codes = [*ALWAYS, *_refusals(operation, request)]
    responses.update(problems(*codes))


def _describe_query(operation: dict[str, Any], query: type[Request[Any]], done: dict[str, Any]) -> None:
    if issubclass(query.answer, Page):
        done["headers"] = {"Link": NEXT_LINK}
    if issubclass(query.answer, Resource):
        done["headers"] = {"ETag": ETAG, "Cache-Status": CACHE_STATUS}
        operation["responses"]["304"] = NOT_MODIFIED
        operation.setdefault("parameters", []).append(IF_NONE_MATCH)


def _describe_command(operation: dict[str, Any], command: type[Command[Any]], done: dict[str, Any]) -> None:
    done["headers"] = dict(COMMAND_HEADERS)
    if issubclass(command.answer, Resource) and not command.removes:
        done["headers"] |= {"Location": LOCATION, "ETag": ETAG}
    if operation["responses"].get("202") is done:  # what is done later has an answer at once all the same
        done["headers"] = COMMAND_HEADERS | {"Location": LOCATION}
        answer = done["content"]["application/json"]["schema"]
        done["content"]["application/json"]["schema"] = {"anyOf": [answer, ACCEPTED_SCHEMA]}
    else:
        operation["responses"]["202"] = {
            "description": "Taken, and not answered yet (RFC 7240).",
            "headers": COMMAND_HEADERS | {"Location": LOCATION, "Retry-After": RETRY_AFTER},
            "content": {"application/json": {"schema": ACCEPTED_SCHEMA}},
        }
    parameters = operation.setdefault("parameters", [])
    parameters += [IDEMPOTENCY_KEY, PREFER]
    if issubclass(command, Conditional):
        parameters.append(IF_MATCH | {"required": command.demands_version})


def _refusals(operation: dict[str, Any], request: type[Request[Any]]) -> Iterator[str]:
    yield from (refusal.code for refusal in request.refusals)
    if "requestBody" in operation:
        yield from WITH_A_BODY
    if issubclass(request, Command):
        yield from OF_COMMANDS
    if issubclass(request, Conditional):
        yield "malformed_condition"
        if request.demands_version:
            yield "version_demanded"


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Each status with the codes that it may have; also for a route that refuses by itself."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(STATUS_OF_CODE[code], []).append(code)
    return {
        str(status): {
            "description": ", ".join(by_status[status]),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **({"headers": {"Retry-After": RETRY_AFTER}} if status == 503 else {}),
        }
        for status in sorted(by_status)
    }
