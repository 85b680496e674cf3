"""What a person sees once everything answers: the addresses, and lines to paste."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from infra.local.system import System


def table(system: System, addresses: Mapping[str, str]) -> str:
    """The addresses, one a line, and curl lines that work when pasted."""
    rows = []
    if gateway := addresses.get("GATEWAY_URL"):
        rows = [("gateway", gateway), ("its documentation", f"{gateway}/docs")]
    if page := addresses.get("RABBITMQ_MANAGEMENT_URL"):
        user = addresses.get("RABBITMQ_MANAGEMENT_USER", "")
        rows.append(("RabbitMQ's page", f"{page}  user {user}  password {_password(addresses)}"))
    rows.append(("RabbitMQ", _without_password(addresses["RABBITMQ_URL"])))
    for service in system.services:
        if valkey := addresses.get(f"{service.prefix}_VALKEY_URL"):
            rows.append(("Valkey", _without_password(valkey)))
        if service.has_store:
            rows.append((f"{service.name}", addresses[f"{service.name.upper()}_URL"] + "/metrics"))
            rows.append(("  its store", _without_password(addresses[f"{service.prefix}_DATABASE_URL"])))
    width = max(len(name) for name, _ in rows) + 2
    lines = [f"  {name:<{width}}{address}" for name, address in rows]
    examples = [f"  {example.format(**addresses)}" for example in system.examples]
    passwords = "  (with passwords: .conveyor/addresses.env)"
    return "\n".join(["", *lines, passwords, "", *(["Try:", *examples, ""] if examples else [])])


def _password(addresses: Mapping[str, str]) -> str:
    return addresses.get("RABBITMQ_MANAGEMENT_PASSWORD", "")


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    _, at, host = parts.netloc.rpartition("@")
    if not at:
        return url
    return parts._replace(netloc=f"{parts.username}@{host}" if parts.username else host).geturl()
