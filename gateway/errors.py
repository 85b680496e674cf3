"""Every error as `application/problem+json` (RFC 9457), from ONE table: code → status."""

import logging
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from gateway.methods import allowed
from shared.delivery import fault, first_three
from shared.messages import Refusal

log = logging.getLogger(__name__)

STATUS_OF_CODE = {
    "not_found": 404,
    "invalid": 422,
    "refused": 422,
    "unknown_kind": 422,
    "name_looks_like_id": 422,
    "road_to_itself": 422,
    "name_taken": 409,
    "not_trusted": 403,
    "not_done": 409,
    "already_ended": 409,
    "still_under_way": 409,
    "kind_exists": 409,
    "road_exists": 409,
    "message_id_reused": 422,
    "malformed_key": 400,
    "malformed_condition": 400,
    "malformed": 400,
    "bad_cursor": 400,
    "changed_meanwhile": 412,
    "version_demanded": 428,
    "expired": 410,
    "request_too_slow": 408,
    "body_too_large": 413,
    "url_too_long": 414,
    "not_json": 415,
    "encoded_body": 415,
    "too_deep": 422,
    "too_many_items": 422,
    "headers_too_large": 431,
    "unavailable": 503,
    "outcome_unknown": 503,
    "failed": 502,
    "no_answer": 504,
}
CODE_OF_STATUS = {
    400: "malformed",
    404: "no_such_route",
    405: "method_not_allowed",
    415: "not_json",
}
RETRY_SECONDS = 2


def problem(
    status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """A problem's fields (RFC 9457)."""
    body: dict[str, Any] = {
        "type": f"urn:conveyor:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    return body | {"errors": errors} if errors else body


def problem_of(refusal: Refusal) -> dict[str, Any]:
    """A refusal as a problem."""
    return problem(status_of(refusal.code), refusal.code, refusal.message, refusal.errors)


def status_of(code: str) -> int:
    status = STATUS_OF_CODE.get(code)
    if status is None:
        log.warning("a code without a status", extra={"fields": {"code": code}})
    return status or 422


class Accepted(Exception):
    """The command was taken and is not answered yet."""

    def __init__(self, operation: str):
        super().__init__(operation)
        self.operation = operation


class NotModified(Exception):
    """The client has what it asks for already."""


class Problem(BaseModel):
    """What went wrong (RFC 9457): `code` is stable and for programs, `detail` is for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[dict[str, str]] = []


class ProblemResponse(Response):
    """A problem, with a stable `code` for programs and a `detail` for people."""

    media_type = "application/problem+json"

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ):
        body = problem(status, code, detail, errors)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers = {**(headers or {}), "retry-after": str(RETRY_SECONDS)}
        super().__init__(orjson.dumps(body), status, headers)


async def refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    getattr(request.state, "sent", {})["code"] = refusal.code
    headers = dict(answer_headers(request))
    if refusal.repeated:
        headers["idempotency-replayed"] = "true"
    status = status_of(refusal.code)
    return ProblemResponse(status, refusal.code, refusal.message, refusal.errors, headers)


async def accepted(request: Request, taken: Exception) -> Response:
    """202: the command was taken; its operation tells the rest (RFC 7240)."""
    assert isinstance(taken, Accepted)
    headers = {
        **answer_headers(request),
        "location": taken.operation,
        "retry-after": str(RETRY_SECONDS),
        "content-type": "application/json",
    }
    return Response(orjson.dumps({"state": "waiting", "operation": taken.operation}), 202, headers)


async def not_modified(request: Request, _: Exception) -> Response:
    return Response(status_code=304, headers=answer_headers(request))


def answer_headers(request: Request) -> dict[str, str]:
    """What the request's own asking wants to go with whatever it is answered."""
    return headers_of(request.scope)


def headers_of(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = scope["state"].get("answer_headers", {})
    return headers


async def does_not_fit(request: Request, error: Exception) -> Response:
    """What FastAPI found wrong with path, query or body, each field by its name."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return ProblemResponse(400, "malformed", f"The body is not JSON: {found[0]['ctx']['error']}.")
    if isinstance(error.body, bytes):
        return ProblemResponse(415, "not_json", "Send the body with Content-Type: application/json.")
    errors = [fault(one["loc"][1:], one["msg"]) for one in found[:20]]
    return ProblemResponse(422, "invalid", f"The request does not fit: {first_three(errors)}.", errors)


async def http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = CODE_OF_STATUS.get(error.status_code, "http_error")
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"allow": ", ".join(allowed(request.scope, request.app.routes))}
    detail = f"{error.detail}: {request.method} {request.scope['path']}"
    if isinstance(error.__cause__, ValueError):  # of all that JSON may be, this alone Python does not read
        detail = "The body holds a number with too many digits."
    return ProblemResponse(error.status_code, code, detail, headers=headers)


async def defect(request: Request, error: Exception) -> Response:
    log.error("a defect in the gateway", exc_info=error, extra={"fields": {"path": request.url.path}})
    detail = "The gateway broke on this request; its log says why."
    return ProblemResponse(500, "defect", detail, headers=answer_headers(request))


async def answer_to(request: Request, outcome: Refusal | Accepted | NotModified) -> Response:
    """What a request is answered with that ended otherwise than with its answer."""
    if isinstance(outcome, Refusal):
        return await refused(request, outcome)
    answer = accepted if isinstance(outcome, Accepted) else not_modified
    return await answer(request, outcome)


def install(app: FastAPI) -> None:
    """Answer every error with a problem."""
    for outcome in (Refusal, Accepted, NotModified):
        app.add_exception_handler(outcome, answer_to)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, does_not_fit)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, defect)
