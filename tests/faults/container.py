"""RabbitMQ of another version, from an image, in a container of its own: `make faults BROKER=4`."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from infra.containers.contained import Containers, check
from infra.containers.servers import ContainedRabbitMQ


def image_of(broker: str) -> str:
    """`4` and `4.1` are versions of the official image with its management page; else it names an image."""
    return broker if ":" in broker or "/" in broker else f"rabbitmq:{broker}-management"


@contextmanager
def in_containers(broker: str) -> Iterator[partial[ContainedRabbitMQ]]:
    """What makes such a server, in place of `RabbitMQ`. A Problem where nothing runs containers here."""
    check(f"BROKER={broker}")
    containers = Containers()
    try:
        yield partial(ContainedRabbitMQ, containers=containers, image=image_of(broker))
    finally:
        containers.remove()
