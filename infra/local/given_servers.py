"""The servers and ports that the person gave; what cannot work is refused before anything starts.

A refusal names the variable and never its value, which may hold a password.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from infra.local.problems import Problem
from infra.local.system import Service, System

DEFAULT_PORTS = {
    **{"amqp": 5672, "amqps": 5671, "postgresql": 5432, "postgres": 5432},
    **{"valkey": 6379, "valkeys": 6379, "redis": 6379, "rediss": 6379},
    "mongodb": 27017,
}
KINDS = {
    "RABBITMQ_URL": ("amqp", "amqps"),
    "DATABASE_URL": ("postgresql", "postgres"),
    "MONGODB_URL": ("mongodb", "mongodb+srv"),
    "VALKEY_URL": ("valkey", "valkeys", "redis", "rediss"),
}


def with_store(system: System, given: Mapping[str, str], home: Path) -> dict[str, str]:
    """What was given, with `STORE` spelt out as the databases that it means."""
    store = given.get("STORE") or "postgresql"
    if store not in ("postgresql", "sqlite"):
        raise Problem(f"STORE is {store}: it can be sqlite or postgresql.")
    found = dict(given)
    for service in system.services if store == "sqlite" else ():
        name = f"{service.prefix}_DATABASE_URL"
        if service.sqlite and not found.get(name):
            found[name] = f"sqlite+aiosqlite:///{home / service.name}.db"
        elif service.sqlite and not _is_sqlite(found[name]):
            raise Problem(f"STORE=sqlite and a {name} of something else are given: take one of them away.")
    return found


def given_servers(system: System, given: Mapping[str, str]) -> dict[str, str]:
    """The URLs that the person gave, by the name of their setting; nobody starts these."""
    own_brokers = [f"{service.prefix}_RABBITMQ_URL" for service in system.services]
    databases = [f"{service.prefix}_DATABASE_URL" for service in system.services if service.database]
    caches = ["VALKEY_URL", *(f"{service.prefix}_VALKEY_URL" for service in system.services if service.cache)]
    documents = [f"{service.prefix}_DATABASE_URL" for service in system.services if service.mongodb]
    names = ["RABBITMQ_URL", *own_brokers, *databases, *documents, *caches]
    names += ["MONGODB_URL"] if documents else []
    found = {name: given[name] for name in names if given.get(name)}
    files = {f"{service.prefix}_DATABASE_URL" for service in system.services if service.sqlite}
    for name, url in found.items():
        if not (name in files and _is_sqlite(url)):
            _check(name, url, KINDS["MONGODB_URL"] if name in documents else _kinds_of(name))
    if "RABBITMQ_URL" not in found and (alone := [name for name in own_brokers if name in found]):
        raise Problem(f"{alone[0]} is given: give RABBITMQ_URL too, since queues are declared through it.")
    return found


def _is_sqlite(url: str) -> bool:
    return url.partition("://")[0] in ("sqlite", "sqlite+aiosqlite")


def _kinds_of(name: str) -> tuple[str, ...]:
    return next(kinds for end, kinds in KINDS.items() if name.endswith(end))


def _check(name: str, url: str, kinds: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url)
        named = _names_a_place(parts)
        if name.endswith("VALKEY_URL"):  # its client knows one host
            named = bool(parts.hostname and "," not in parts.hostname and parts.port != 0)
    except ValueError:  # a port that is none, or a bracket that is not closed
        named = False
    if not named or parts.scheme.partition("+")[0] not in kinds:
        forms = " or ".join(f"{kind}://" for kind in kinds)
        raise Problem(f"{name} is no {forms} address with a host: correct it in .env or the environment.")


def _names_a_place(parts: SplitResult) -> bool:
    several = "," in parts.netloc
    return several or "host=" in parts.query or bool(parts.hostname and parts.port != 0)


def host_and_port(url: str) -> tuple[str, int] | None:
    """Where a given URL points; None where it names several hosts, or no network address."""
    parts = urlsplit(url)
    if "," in parts.netloc or not parts.hostname or parts.scheme == "mongodb+srv":
        return None
    return parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme.partition("+")[0]]


def given_mongodb(service: Service, given: Mapping[str, str]) -> str:
    """The URL of a service's MongoDB database, where one was given for it or for all; else empty."""
    own, for_all = given.get(f"{service.prefix}_DATABASE_URL"), given.get("MONGODB_URL")
    return own or (with_database(for_all, service.mongodb) if for_all else "")


def with_database(url: str, database: str) -> str:
    """A MongoDB URL with this database; its user is still looked up where the URL as given said."""
    parts = urlsplit(url)
    options = [parts.query] if parts.query else []
    # Without authSource it would be the new database; the mechanisms MONGODB-… know users of their own.
    if "@" in parts.netloc and not re.search(
        r"authSource=|authMechanism=MONGODB-", parts.query, re.IGNORECASE
    ):
        options.append(f"authSource={parts.path.strip('/') or 'admin'}")
    return parts._replace(path=f"/{database}", query="&".join(options)).geturl()


def given_port(service: Service, given: Mapping[str, str]) -> int | None:
    """Where the person wants a service's HTTP; None when that was not said."""
    name = f"{service.prefix}_HTTP_PORT"
    value = given.get(name)
    if not value:
        return None
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise Problem(f"{name} is not a port from 1 to 65535: correct it in .env or the environment.")
    return int(value)
