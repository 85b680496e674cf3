"""Who may talk to the desk while there are no tokens: programs of this machine, and no page in its browser.

A page elsewhere can have a browser send requests here: under the page's own name once that leads to 127.0.0.1
(DNS rebinding), or from another origin. `Host` shows the first, `Origin` and `Sec-Fetch-Site` the second.
"""

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from desk_service.door.problems import ProblemResponse

LOCAL = frozenset(("127.0.0.1", "localhost", "::1"))
OWN_SITES = frozenset(("", "none", "same-origin"))


class LocalOnly:
    """Refuses what was not meant for this machine by somebody on it."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := _refusal({**dict(scope["headers"])})):
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _refusal(headers: dict[bytes, bytes]) -> ProblemResponse | None:
    host = headers.get(b"host", b"").decode("latin-1")
    if _host_in(f"//{host}") not in LOCAL:
        detail = f"The desk answers to 127.0.0.1 and localhost, not to {host[:100]!r}."
        return ProblemResponse(421, "not_local", detail)
    origin = headers.get(b"origin", b"").decode("latin-1")
    site = headers.get(b"sec-fetch-site", b"").decode("latin-1")
    if (origin and origin != f"http://{host}") or site not in OWN_SITES:
        return ProblemResponse(403, "other_origin", "The desk takes nothing from web pages elsewhere.")
    return None


def _host_in(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
