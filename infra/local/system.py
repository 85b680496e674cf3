"""What the system consists of: one line for each process. A new service is one more line here."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Service:
    """One process of the system, and what it needs from the machine."""

    name: str
    prefix: str  # of its settings: TASK_HTTP_PORT, TASK_RABBITMQ_URL, TASK_DATABASE_URL
    port: int  # for HTTP; where it is taken the next free one
    owner: str = ""  # what its queues begin with; a door has none
    secret: bool = False  # a secret of its own, the same at every start
    links: bool = False  # is told where RabbitMQ's management page is
    database: str = ""  # its own PostgreSQL database, when it has one
    mongodb: str = ""  # its own MongoDB database, when it has one
    cache: bool = False  # is faster with Valkey, and does without
    blobs: bool = False  # keeps something in the blob store
    sqlite: bool = False  # whether a SQLite file will do instead
    command: tuple[str, ...] = ()  # `python -m name.main` unless said otherwise

    @property
    def start_command(self) -> list[str]:
        """What runs it."""
        return list(self.command) or [sys.executable, "-m", f"{self.name}.main"]

    @property
    def has_store(self) -> bool:
        """Whether it keeps something in a database, whatever kind."""
        return bool(self.database or self.mongodb)

    @property
    def migrate_command(self) -> list[str]:
        """What brings its database to its newest form."""
        return [*self.start_command, "migrate"]


@dataclass(frozen=True)
class System:
    """All processes, the step that declares queues before they start, and what a person may paste then."""

    services: tuple[Service, ...]
    topology: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


CONVEYOR = System(
    services=(
        Service("gateway", "GATEWAY", 8000, secret=True, links=True, cache=True, blobs=True),
        Service("task_service", "TASK", 8001, owner="tasks", database="task_service", sqlite=True),
        Service("waste_service", "WASTE", 8002, owner="waste", database="waste_service"),
        Service("text_worker", "TEXT", 8003, owner="texts", mongodb="text_worker", blobs=True),
        Service("desk_service", "DESK", 8004, owner="desk", database="desk_service"),
    ),
    topology=(sys.executable, "-m", "shared.topology"),
    examples=(
        """curl -s {GATEWAY_URL}/tasks -H 'Content-Type: application/json' -d '{{"title": "Buy milk"}}'""",
        "curl -s {GATEWAY_URL}/waste/kinds",
        "curl -s {GATEWAY_URL}/health/ready",
    ),
)
