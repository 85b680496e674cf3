"""What each process may do at the broker, from the contracts: declare and read its own queues, no others.

A service's queues begin with the name of their owner; a process's own begin with what they are for and its
name. Answers and commands leave by the default exchange, which leads to every queue, and exchanges of delays
share their queues' names: docs/deployment.md says what that leaves open.
"""

import re
from dataclasses import dataclass

from infra.local.rabbitmq import User
from infra.local.system import Service
from shared.contracts.desk import DeadLetter
from shared.topology import DEAD_LETTERS, DELAYS_SECONDS, EVENTS_EXCHANGE, RETURNS, delay_exchange

DEFAULT_EXCHANGE = "amq.default"
"""What permissions call it."""
NOTHING = "^$"


@dataclass(frozen=True)
class Permissions:
    """Three patterns of names of queues and exchanges, and what may be published as an event.

    RabbitMQ asks for `says` where somebody publishes, not of what comes there from queues and exchanges.
    """

    configure: str
    write: str
    read: str
    says: str

    def user(self, password: str) -> User:
        """Somebody who may do this."""
        return User(password, configure=self.configure, write=self.write, read=self.read)


EVERYTHING = Permissions(".*", ".*", ".*", ".*")
"""For whoever declares what all others find."""


def permissions(service: Service) -> Permissions:
    """What a process of this system may do."""
    # What goes with its connection: probes, answers to what it asks, events that it only hears while it runs.
    own = [f"{what}\\.{service.name}\\..+" for what in ("probe", "answers", "events")]
    if service.owner:
        own.append(f"{service.owner}\\..+")
        if service.owner == DeadLetter.__module__.rpartition(".")[2]:
            own.append(re.escape(DeadLetter.queue))
        # Delayed copies and dead letters go through exchanges; binding writes to the queue.
        exchanges = [EVENTS_EXCHANGE, DEAD_LETTERS, *map(delay_exchange, DELAYS_SECONDS)]
        heard = [EVENTS_EXCHANGE, RETURNS]
    else:  # a door, which only asks
        exchanges, heard = [], [EVENTS_EXCHANGE]
    return Permissions(
        configure=_one_of(own),
        write=_one_of([*own, *map(re.escape, [DEFAULT_EXCHANGE, *exchanges])]),
        read=_one_of([*own, *map(re.escape, heard)]),
        says=f"^{service.owner}\\." if service.owner else NOTHING,
    )


def _one_of(patterns: list[str]) -> str:
    return f"^({'|'.join(patterns)})$"
