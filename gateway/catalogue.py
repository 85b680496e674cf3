"""What a reader wants to know of queues, refusals and events, from the contracts and the topology."""

from typing import Any

from shared import topology
from shared.messages import (
    REQUESTS,
    Command,
    Event,
    Failed,
    Invalid,
    MessageIdReused,
    Refusal,
    Request,
    Unavailable,
)

QUEUES_OF_THE_SYSTEM = {
    topology.EVENTS_RECENT: "The last 1,000 events, where the system is set up to keep them.",
    topology.REFUSED_RECENT: "The last 1,000 commands that were refused while nobody waited for an answer.",
    topology.DEAD_LETTERS: "What was given up and lies not on the desk yet, with the reason in its headers.",
    **{
        topology.delay_exchange(seconds): f"What broke and is tried again after {seconds} s."
        for seconds in topology.DELAYS_SECONDS
    },
}
EXCHANGES = {
    topology.EVENTS_EXCHANGE: "Every event, under its routing key.",
    topology.DEAD_LETTERS: "Leads to the queue of that name.",
    topology.RETURNS: "Leads back what has waited; what finds no queue here goes to the dead letters.",
    **{
        topology.delay_exchange(seconds): "Leads to the queue of that name."
        for seconds in topology.DELAYS_SECONDS
    },
}


def sentence(described: type[Any]) -> str:
    """The first paragraph of a contract's docstring, in one line."""
    return " ".join((described.__doc__ or "").partition("\n\n")[0].split())


def remark(described: type[Any]) -> str:
    """What its docstring says after that."""
    return " ".join((described.__doc__ or "").partition("\n\n")[2].split())


def requests() -> list[tuple[str, type[Request[Any]]]]:
    """Every command and query with its queue; those that each owner of commands has come last."""
    queues = sorted(topology.request_queues(), key=lambda queue: queue not in REQUESTS)
    return [(queue, request) for queue in queues if (request := topology.request_of(queue))]


def refusals_of(request: type[Request[Any]]) -> list[type[Refusal]]:
    """Every refusal that a request may be answered with: its own, then those of the kernel."""
    kernels = MessageIdReused if issubclass(request, Command) else Unavailable
    return [*request.refusals, Invalid, kernels, Failed]


def routing_keys(event: type[Event]) -> list[str]:
    """The routing keys that an event is said under."""
    if not event.routing_key.startswith("*."):
        return [event.routing_key]
    return [event.routing_key.replace("*", owner) for owner in topology.owners()]
