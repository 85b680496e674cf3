"""FastAPI that answers a constant of a task's size, after the checks that our gateway makes of a GET.

The address, its text and the headers within the same limits, an id that is one, no parameter that is unknown,
and `If-None-Match`.
"""

import os
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

BODY, TAG = os.environ["TASK"].encode(), '"1"'
URL_BYTES, HEADER_BYTES = 8 * 1024, 16 * 1024


class Limits:
    """As the gateway's, for requests without a body."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = sum([len(name) + len(value) for name, value in scope["headers"]])
            if len(scope["raw_path"]) + len(scope["query_string"]) > URL_BYTES or headers > HEADER_BYTES:
                await Response("The request is too large.", 431)(scope, receive, send)
                return
            if "\ufffd" in scope["path"]:
                await Response("The path is not UTF-8.", 400)(scope, receive, send)
                return
        await self.app(scope, receive, send)


async def known(request: Request) -> None:
    if request.scope["query_string"]:
        raise HTTPException(422, "No parameters are known here.")


app = FastAPI()
app.add_middleware(Limits)


@app.get("/tasks/{task}")
async def get_task(task: UUID, request: Request, _: Annotated[None, Depends(known)]) -> Response:
    headers = {"etag": TAG, "cache-control": "private, no-cache"}
    if TAG in ", ".join(request.headers.getlist("if-none-match")):
        return Response(status_code=304, headers=headers)
    return Response(BODY, headers=headers, media_type="application/json")
