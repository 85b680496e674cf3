"""Servers in containers, in place of those that are embedded: `SERVERS=containers` and `BROKER=4`.

They are the embedded ones but for what runs them: the same ports on 127.0.0.1, users, databases and logs.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testcontainers.core.network import Network

from infra.containers.contained import ContainedProcess, Containers
from infra.local.passwords import private_folder, remembered
from infra.local.postgresql import PostgreSQL
from infra.local.problems import check_room
from infra.local.rabbitmq import ADVANCED, RabbitMQ, definitions
from infra.local.valkey import CACHE, Valkey

RABBITMQ = "rabbitmq:4-management"
RABBITMQ_CONFIGURATION = """\
load_definitions = /etc/rabbitmq/definitions.json
disk_free_limit.absolute = 200MB
collect_statistics_interval = {figures_every}000
log.console = true
deprecated_features.permit.global_qos = false
"""


class ContainedRabbitMQ(RabbitMQ):
    """RabbitMQ of an official image with its management page; data are called by the name of their host."""

    def __init__(
        self,
        directory: Path,
        *,
        containers: Containers,
        image: str = RABBITMQ,
        hostname: str = "conveyor",
        network: Network | None = None,
        more_configuration: str = "",
        environment: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(directory, **more)
        self.containers = containers
        self.image = image
        files = {
            "conf.d/90-conveyor.conf": RABBITMQ_CONFIGURATION.format(**vars(self)) + more_configuration,
            "advanced.config": ADVANCED.format(**vars(self)),
            "definitions.json": json.dumps(definitions(self.users)),
        }
        self.process: Any = ContainedProcess(
            containers,
            image,
            self.log,
            {5672: self.port, 15672: self.management_port},
            files={f"/etc/rabbitmq/{name}": text for name, text in files.items()},
            environment=environment,
            network=network,
            hostname=hostname,
        )

    def start(self) -> None:
        check_room(private_folder(self.directory))
        self.process.start()

    def stop(self) -> None:
        self.process.thaw()
        self.process.end(8)

    def kill(self) -> None:
        self.process.kill()

    def control(self, *words: str) -> None:
        self.process.run("rabbitmqctl", *words)


class ContainedPostgreSQL(PostgreSQL):
    """PostgreSQL 17 of the official image."""

    def __init__(self, directory: Path, port: int, *, containers: Containers) -> None:
        super().__init__(directory, port)
        self._password = remembered(private_folder(directory) / "superuser_password")
        self.process: Any = ContainedProcess(
            containers,
            "postgres:17",
            self.log,
            {5432: port},
            command=["postgres", "-c", "max_connections=200"],
            environment={"POSTGRES_PASSWORD": self._password},
            shm_size="128m",
        )

    def start(self) -> None:
        self.process.start()


class ContainedValkey(Valkey):
    """Valkey 8 of the official image."""

    def __init__(self, directory: Path, port: int, password: str, *, containers: Containers) -> None:
        super().__init__(directory, port, password)
        self.process: Any = ContainedProcess(
            containers,
            "valkey/valkey:8",
            self.log,
            {6379: port},
            command=["valkey-server", "/etc/valkey.conf"],
            files={"/etc/valkey.conf": CACHE.format(password=password)},
        )

    def start(self) -> None:
        self.process.start()
