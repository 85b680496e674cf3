"""Servers for tests: real ones, in a folder and on ports of their own, gone when the tests are.

They end also when the process that started them is killed.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from infra.local import mongodb
from infra.local.given_mongodb import GivenMongoDB
from infra.local.mongodb import MongoDB
from infra.local.ports import Ports
from infra.local.postgresql import PostgreSQL
from infra.local.problems import Problem
from infra.local.rabbitmq import RabbitMQ, User
from infra.local.system import CONVEYOR
from infra.local.valkey import Valkey

OPERATOR = User("operator", tags=("administrator",))


@dataclass(frozen=True)
class Servers:
    """All ready, but MongoDB where none runs here. The broker's users have their name as password."""

    postgresql: PostgreSQL
    rabbitmq: RabbitMQ
    valkey: Valkey
    documents: MongoDB | GivenMongoDB | None
    ports: Ports
    afterwards: Callable[[], None] = field(default=lambda: None)

    @property
    def mongodb(self) -> MongoDB | GivenMongoDB:
        """The server of MongoDB's protocol; a Problem where there is none."""
        if self.documents is None:
            raise Problem(mongodb.MISSING)
        return self.documents

    def stop(self) -> None:
        """Stop all."""
        self.rabbitmq.process.ask_to_end()
        self.postgresql.stop()
        if self.documents:
            self.documents.stop()
        self.rabbitmq.stop()
        self.valkey.stop()
        self.ports.release()
        self.afterwards()


@dataclass(frozen=True)
class Kinds:
    """What makes the servers, and what is to be done when they have ended."""

    rabbitmq: Callable[..., RabbitMQ] = RabbitMQ
    postgresql: Callable[..., PostgreSQL] = PostgreSQL
    valkey: Callable[..., Valkey] = Valkey
    afterwards: Callable[[], None] = field(default=lambda: None)


def kinds() -> Kinds:
    """The embedded servers, or with `SERVERS=containers` those of the official images. A Problem where they
    cannot run."""
    wanted = os.environ.get("SERVERS") or "embedded"
    if wanted == "embedded":
        return Kinds()
    if wanted != "containers":
        raise Problem(f"SERVERS is {wanted}: it can be embedded or containers.")
    from infra.containers import contained, servers  # noqa: PLC0415 the engine's client takes a moment

    contained.check("SERVERS=containers")
    containers = contained.Containers()
    return Kinds(
        partial(servers.ContainedRabbitMQ, containers=containers),
        partial(servers.ContainedPostgreSQL, containers=containers),
        partial(servers.ContainedValkey, containers=containers),
        afterwards=containers.remove,
    )


def start_test_servers(
    directory: Path, broker: Callable[..., RabbitMQ] | None = None, *, figures_every: int = 1
) -> Servers:
    """Start the servers with their data in `directory` and wait until they answer; about five seconds.

    `broker` makes a RabbitMQ of another kind than the system's. `figures_every` is in seconds; tests wait for
    figures.
    """
    ports = Ports()
    names = [service.name for service in CONVEYOR.services]
    kind = kinds()
    postgresql = kind.postgresql(directory / "postgresql", ports.choose_any())
    users = {"operator": OPERATOR, **{name: User(name) for name in names}}
    rabbitmq = (broker or kind.rabbitmq)(
        directory / "rabbitmq",
        port=ports.choose_any(),
        management_port=ports.choose_any(),
        distribution_port=ports.choose_any(),
        epmd_port=ports.choose_any(),
        users=users,
        figures_every=figures_every,
    )
    valkey = kind.valkey(directory / "valkey", ports.choose_any(), "valkey")
    documents = _mongodb(directory / "mongodb", ports)
    servers = Servers(postgresql, rabbitmq, valkey, documents, ports, kind.afterwards)
    try:
        servers.rabbitmq.start()
        servers.valkey.start()
        servers.postgresql.start()
        if documents:
            documents.start()
            documents.wait_ready()
        servers.postgresql.wait_ready()
        servers.rabbitmq.wait_ready()
        servers.valkey.wait_ready()
    except BaseException:
        servers.stop()
        raise
    return servers


def _mongodb(directory: Path, ports: Ports) -> MongoDB | GivenMongoDB | None:
    """The server that `MONGODB_URL` names, else one of the tests' own."""
    if given := os.environ.get("MONGODB_URL"):
        return GivenMongoDB(given)
    program = mongodb.find_program()
    return MongoDB(directory, ports.choose_any(), program) if program else None


def mongodb_kind() -> str:
    """On which server of MongoDB's protocol tests run here."""
    if given := os.environ.get("MONGODB_URL"):
        return GivenMongoDB(given).kind
    program = mongodb.find_program()
    return program.kind if program else "none here"
