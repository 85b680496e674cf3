"""Every error of the desk as `application/problem+json` (RFC 9457), like the gateway's."""

from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.delivery import fault, first_three
from shared.journal import Conflict, StoreAway
from shared.messages import Refusal

STATUS_OF_CODE = {
    "not_found": 404,
    "invalid": 422,
    "bad_cursor": 400,
    "already_acted_on": 409,
    "too_old": 409,
}


class AlreadyActedOn(Refusal):
    """Somebody else was faster, or it is not open for another reason."""

    code = "already_acted_on"


class TooOld(Refusal):
    """Nobody knows whether they were done, and it was not said that they are to be done all the same."""

    code = "too_old"


class ProblemResponse(Response):
    """A problem, with a stable `code` for programs and a `detail` for people."""

    media_type = "application/problem+json"

    def __init__(self, status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None):
        title = HTTPStatus(status).phrase
        problem = {"type": f"urn:conveyor:problem:{code}", "title": title, "status": status, "code": code}
        super().__init__(orjson.dumps(problem | {"detail": detail, "errors": errors or []}), status)


async def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    return ProblemResponse(STATUS_OF_CODE.get(refusal.code, 422), refusal.code, refusal.message)


async def _store_away(request: Request, error: Exception) -> Response:
    detail = (
        "The desk's store cannot be reached; try again in a few seconds. Nothing is known to have happened."
    )
    return ProblemResponse(503, "unavailable", detail)


async def _does_not_fit(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [fault(one["loc"][1:], one["msg"]) for one in error.errors()[:20]]
    return ProblemResponse(422, "invalid", f"The request does not fit: {first_three(errors)}.", errors)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return ProblemResponse(error.status_code, "no_such_route", f"{error.detail}: {request.url.path}")


def install(app: FastAPI) -> None:
    """Answer every error with a problem."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(StoreAway, _store_away)
    app.add_exception_handler(Conflict, _store_away)
    app.add_exception_handler(RequestValidationError, _does_not_fit)
    app.add_exception_handler(HTTPException, _http_error)
