"""RabbitMQ's management API, for what `make` looks at and changes there.

Its address and user come from `RABBITMQ_MANAGEMENT_URL`, `_USER` and `_PASSWORD`; the virtual host, and the
user where none is said, from `RABBITMQ_URL`.
"""

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

SECONDS = 10


class CannotLook(Exception):
    """One sentence: why the broker cannot be asked, and what to do."""


class Management:
    """The API, for one virtual host. Every call may raise `CannotLook`."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.url = settings.get("RABBITMQ_MANAGEMENT_URL", "").rstrip("/")
        self.broker_url = settings.get("RABBITMQ_URL", "")
        if not self.url or not self.broker_url:
            raise CannotLook(
                "Nothing runs here ('make up' starts it), and RABBITMQ_URL and RABBITMQ_MANAGEMENT_URL are "
                "not both given: set them, in the environment or in .env, with RABBITMQ_MANAGEMENT_USER and "
                "RABBITMQ_MANAGEMENT_PASSWORD."
            )
        broker = urlsplit(self.broker_url)
        self.virtual_host = unquote(broker.path[1:]) or "/"
        user = settings.get("RABBITMQ_MANAGEMENT_USER") or unquote(broker.username or "guest")
        password = settings.get("RABBITMQ_MANAGEMENT_PASSWORD") or unquote(broker.password or "guest")
        self.login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def ask(self, what: str) -> list[dict[str, Any]]:
        """`queues`, `exchanges`, `bindings`, `consumers` or `vhost-limits` of the virtual host."""
        return list(self.call("GET", what, self.virtual_host))

    def channels(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "vhosts", self.virtual_host, "channels"))

    def connections(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "vhosts", self.virtual_host, "connections"))

    def connection_limit(self) -> int | None:
        """How many connections the virtual host may have; None for any number."""
        limits = [one["value"] for one in self.ask("vhost-limits")]
        return limits[0].get("max-connections") if limits else None

    def limit_connections(self, most: int | None) -> None:
        path = ("vhost-limits", self.virtual_host, "max-connections")
        if most is None:
            self.call("DELETE", *path)
        else:
            self.call("PUT", *path, body={"value": most})

    def call(self, method: str, *path: str, body: Any = None, gone_is_fine: bool = False) -> Any:
        """What the API answers, as JSON; None for nothing."""
        address = "/".join([self.url, "api", *(quote(part, safe="") for part in path)])
        headers = {"Authorization": self.login, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, headers, method=method)
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=SECONDS) as answer:
                said = answer.read()
            return json.loads(said) if said else None
        except urllib.error.HTTPError as refusal:
            if refusal.code == 404 and gone_is_fine:
                return None
            raise CannotLook(self._why(refusal)) from refusal
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise CannotLook(f"{self.url} cannot be reached: {reason}. Does the broker run?") from error

    def _why(self, refusal: urllib.error.HTTPError) -> str:
        if refusal.code in (401, 403):
            return (
                f"{self.url} does not let this user look or change (HTTP {refusal.code}): correct "
                "RABBITMQ_MANAGEMENT_USER and RABBITMQ_MANAGEMENT_PASSWORD; to look it needs the tag "
                "monitoring, to migrate administrator."
            )
        if refusal.code == 404:
            return f"{self.url} has no {urlsplit(refusal.url).path}: is the virtual host right?"
        said = refusal.read(200).decode(errors="replace")
        return f"{self.url} answered {refusal.code}: {said}."
