"""The pages for people: `/docs` is REST, `/docs/queues` what to type into queues, `/asyncapi` all messages.

Everything that they load is served here, so they work offline, and their policy lets nothing else in.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from gateway import queues
from gateway.asyncapi import document
from gateway.conditions import names
from gateway.settings import GatewaySettings

ASSETS = Path(__file__).parent.parent / "assets"
SWAGGER_UI = "/assets/swagger-ui-5.35.0"
ASYNCAPI_REACT = "/assets/asyncapi-react-3.2.1"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
WITH_EVAL = POLICY.replace("script-src 'self'", "script-src 'self' 'unsafe-eval'")
"""AsyncAPI's viewer compiles JSON schemas when it is loaded; all its code is from here even so."""
VIEWS = {"/docs": "REST", "/docs/queues": "Queues", "/asyncapi": "AsyncAPI"}


class Assets(StaticFiles):
    """Files for the pages. Folders are named with the version of what is in them, which never changes."""

    def file_response(
        self, full_path: Any, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        forever = Path(full_path).parent != ASSETS
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if forever else "no-cache"
        return response

    def is_not_modified(self, response_headers: Headers, request_headers: Headers) -> bool:
        """By the tag of the plain or of the compressed file."""
        return names(request_headers.get("if-none-match", ""), response_headers["etag"])


def pages(settings: GatewaySettings) -> APIRouter:
    """All of them, each made once, when it is first asked for."""
    router = APIRouter(include_in_schema=False)
    assets = Assets(directory=ASSETS)

    @cache
    def described() -> bytes:
        return orjson.dumps(document(settings.broker_host, settings.virtual_host))

    @cache
    def explained() -> str:
        return queues.content(queues.Links(settings.management_url, settings.virtual_host))

    @router.get("/docs")
    async def rest() -> HTMLResponse:
        scripts = [f"{SWAGGER_UI}/swagger-ui-bundle.js", "/assets/rest.js"]
        return _page("/docs", '<div id="viewer"></div>', [f"{SWAGGER_UI}/swagger-ui.css"], scripts)

    @router.get("/docs/queues")
    async def by_hand() -> HTMLResponse:
        return _page("/docs/queues", f'<main class="queues">{explained()}</main>', [], ["/assets/queues.js"])

    @router.get("/asyncapi")
    async def messages() -> HTMLResponse:
        scripts = [f"{ASYNCAPI_REACT}/without-parser.js", "/assets/asyncapi.js"]
        style = f"{ASYNCAPI_REACT}/default.min.css"
        return _page("/asyncapi", '<div id="viewer" class="asyncapi"></div>', [style], scripts, WITH_EVAL)

    @router.get("/asyncapi.json")
    async def asyncapi() -> Response:
        return Response(described(), media_type="application/json", headers={"cache-control": "no-cache"})

    @router.get("/assets/{file:path}")
    async def asset(file: str, http: Request) -> Response:
        return await assets.get_response(file, http.scope)

    return router


def _page(
    path: str, content: str, styles: list[str], scripts: list[str], policy: str = POLICY
) -> HTMLResponse:
    views = "".join(
        f'<a href="{view}"{" aria-current=page" if view == path else ""}>{name}</a>'
        for view, name in VIEWS.items()
    )
    links = "".join(f'<link rel="stylesheet" href="{style}">' for style in [*styles, "/assets/pages.css"])
    loads = "".join(f'<script src="{script}"></script>' for script in scripts)
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Conveyor: {VIEWS[path]}</title>"
        f'<link rel="icon" href="/assets/favicon.svg">{links}</head>'
        f"<body><nav><strong>Conveyor</strong>{views}</nav>{content}{loads}</body></html>",
        headers={
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "cache-control": "no-cache",
        },
    )
