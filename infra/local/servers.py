"""Servers for tests: real ones, in a folder and on ports of their own, gone when the tests are.

They end also when the process that started them is killed.
"""

from dataclasses import dataclass
from pathlib import Path

from infra.local.ports import Ports
from infra.local.postgresql import PostgreSQL
from infra.local.rabbitmq import RabbitMQ, User
from infra.local.system import CONVEYOR
from infra.local.valkey import Valkey

OPERATOR = User("operator", tags=("administrator",))


@dataclass(frozen=True)
class Servers:
    """PostgreSQL, RabbitMQ and Valkey, all ready. The broker's users have their name as password."""

    postgresql: PostgreSQL
    rabbitmq: RabbitMQ
    valkey: Valkey
    ports: Ports

    def stop(self) -> None:
        """Stop all three."""
        self.rabbitmq.process.ask_to_end()
        self.postgresql.stop()
        self.rabbitmq.stop()
        self.valkey.stop()
        self.ports.release()


def start_test_servers(directory: Path) -> Servers:
    """Start the servers with their data in `directory` and wait until they answer; about five seconds."""
    ports = Ports()
    names = [service.name for service in CONVEYOR.services]
    postgresql = PostgreSQL(directory / "postgresql", ports.choose_any())
    users = {"operator": OPERATOR, **{name: User(name) for name in names}}
    rabbitmq = RabbitMQ(
        directory / "rabbitmq",
        port=ports.choose_any(),
        management_port=ports.choose_any(),
        distribution_port=ports.choose_any(),
        epmd_port=ports.choose_any(),
        users=users,
    )
    valkey = Valkey(directory / "valkey", ports.choose_any(), "valkey")
    servers = Servers(postgresql, rabbitmq, valkey, ports)
    try:
        servers.rabbitmq.start()
        servers.valkey.start()
        servers.postgresql.start()
        servers.postgresql.wait_ready()
        servers.rabbitmq.wait_ready()
        servers.valkey.wait_ready()
    except BaseException:
        servers.stop()
        raise
    return servers
