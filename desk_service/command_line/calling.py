"""Calls the desk's REST with what Python brings along."""

import getpass
import http.client
import json
import os
import sys
import urllib.request
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode

REFUSED, WRONG_USAGE, UNREACHABLE = 1, 2, 3
TIMEOUT_SECONDS = 60
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""The desk is on this machine: no proxy."""


class Ended(Exception):
    """The program ends here: its exit code, and what to say."""

    def __init__(self, code: int, said: str):
        super().__init__(said)
        self.code = code


def default_url() -> str:
    """Where `make run` says that the desk is, or where it is by default."""
    port = os.environ.get("DESK_HTTP_PORT", "8004")
    return os.environ.get("DESK_URL") or os.environ.get("DESK_SERVICE_URL") or f"http://127.0.0.1:{port}"


def login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


class Desk:
    """The desk at a URL, as somebody."""

    def __init__(self, url: str, who: str):
        self.url = url.rstrip("/")
        self.who = who

    def get(self, path: str, needs: str, **query: Any) -> Any:
        """`needs`: a field that the desk's answer has, whoever else may answer there."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._call(urllib.request.Request(self._address(path, given)), needs)

    def post(self, path: str, needs: str, body: dict[str, Any]) -> Any:
        given = {name: value for name, value in body.items() if value is not None}
        headers = {"content-type": "application/json", "who": self.who.encode().decode("latin-1")}
        request = urllib.request.Request(self._address(path, {}), json.dumps(given).encode(), headers)
        return self._call(request, needs)

    def _address(self, path: str, query: dict[str, Any]) -> str:
        return f"{self.url}/desk/{quote(path)}" + (f"?{urlencode(query)}" if query else "")

    def _call(self, request: urllib.request.Request, needs: str) -> Any:
        """The answer's JSON; `Ended` where there is none."""
        try:
            with _DIRECTLY.open(request, timeout=TIMEOUT_SECONDS) as answer:
                said = json.load(answer)
        except HTTPError as error:
            raise Ended(REFUSED, _detail(error)) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", repr(error))
            hint = "Does it run ('make status')? --url or DESK_URL says where it is."
            raise Ended(UNREACHABLE, f"The desk at {self.url} cannot be reached: {reason}. {hint}") from None
        except ValueError:
            said = None
        if not isinstance(said, dict) or needs not in said:
            raise Ended(UNREACHABLE, f"What answers at {self.url} is not the desk.")
        return said


def _detail(error: HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return f"The desk answered {error.code}."


def say(text: str) -> None:
    """To a person, beside what goes down a pipe."""
    print(text, file=sys.stderr, flush=True)
