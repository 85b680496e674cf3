"""What the contracts declare against what the broker has: every difference is a finding that says what to do.

Pure: `seen` is what the management API answered. Exclusive queues belong to processes and are passed over.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shared.topology import DEAD_LETTERS, Exchange, Queue, request_of

DECLARE = "declare it: 'make down' and 'make up' do, or python -m shared.topology"
MOVING = ".moving"
"""The tail of the queue in which messages wait while theirs is made anew."""

DROPPING = ("max-length", "max-length-bytes", "message-ttl", "expires")
"""What a policy can set by which messages go that no contract lets go."""


@dataclass(frozen=True)
class Finding:
    """`kind` is for programs; `found` and `do` are sentences without an end."""

    kind: str
    name: str
    found: str
    do: str


@dataclass(frozen=True)
class Seen:
    """The broker, as the management API tells it."""

    exchanges: list[dict[str, Any]]
    queues: list[dict[str, Any]]
    bindings: list[dict[str, Any]]
    consumers: list[dict[str, Any]]
    channels: list[dict[str, Any]]
    connection_limit: int | None

    @property
    def lasting(self) -> dict[str, dict[str, Any]]:
        """The queues that outlive connections, by name."""
        return {queue["name"]: queue for queue in self.queues if not queue["exclusive"]}

    def bound(self, kind: str = "queue") -> set[tuple[str, str, str]]:
        """(exchange, routing key, queue or exchange); without the default one, which knows every queue."""
        return {
            (one["source"], one["routing_key"], one["destination"])
            for one in self.bindings
            if one["source"] and one["destination_type"] == kind
        }


def findings(exchanges: list[Exchange], queues: list[Queue], seen: Seen) -> list[Finding]:
    """All of them; empty when all is right."""
    return [
        *_of_exchanges({exchange.name: exchange for exchange in exchanges}, seen),
        *_of_queues({queue.name: queue for queue in queues}, seen),
        *_of_bindings(exchanges, queues, seen),
        *_of_dead_letters(queues, seen),
        *_of_policies(queues, seen),
        *_of_consumers(queues, seen),
        *_of_prefetch(seen),
        *_of_limit(seen),
    ]


def _of_exchanges(declared: dict[str, Exchange], seen: Seen) -> Iterator[Finding]:
    existing = {one["name"]: one for one in seen.exchanges if _is_own(one["name"])}
    for name in sorted(declared.keys() - existing.keys()):
        yield Finding("missing_exchange", name, "the broker does not have this exchange", DECLARE)
    for name in sorted(existing.keys() - declared.keys()):
        yield Finding(
            "extra_exchange",
            name,
            "no contract knows this exchange",
            "delete it on the management page if nobody else uses it",
        )
    for name in sorted(declared.keys() & existing.keys()):
        ours, theirs = declared[name], existing[name]
        wanted = {"type": ours.kind, "durable": True, "auto_delete": False, "internal": False}
        has = {name: theirs[name] for name in wanted} | theirs["arguments"]
        wanted |= ours.arguments
        if said := difference(wanted, has):
            do = "delete it on the management page (it holds no messages), then at once " + DECLARE
            yield Finding("other_arguments", name, said, do)


def _is_own(exchange: str) -> bool:
    """Neither the broker's, nor an unfinished migration's, which its queue tells of."""
    return exchange != "" and not exchange.startswith("amq.") and not exchange.endswith(MOVING)


def _of_queues(declared: dict[str, Queue], seen: Seen) -> Iterator[Finding]:
    existing = seen.lasting
    for name in sorted(declared.keys() - existing.keys()):
        yield Finding("missing_queue", name, "the broker does not have this queue", DECLARE)
    for name in sorted(existing.keys() - declared.keys()):
        yield _extra(existing[name], declared)
    for name in sorted(declared.keys() & existing.keys()):
        migrate = f"make topology MIGRATE={name} gives it the declared arguments and keeps its messages"
        if said := other_arguments(declared[name], existing[name]):
            yield Finding("other_arguments", name, said, migrate)
        if not existing[name]["durable"]:
            yield Finding("transient", name, "it does not survive a restart of the broker", migrate)
        if existing[name]["auto_delete"]:
            do = (
                "delete it on the management page (messages that wait in it are lost), then at once "
                + DECLARE
            )
            yield Finding("transient", name, "it is deleted with its last consumer", do)


def _extra(queue: dict[str, Any], declared: dict[str, Queue]) -> Finding:
    name, messages = queue["name"], queue.get("messages", 0)
    of = name.removesuffix(MOVING)
    if of != name and of in declared:
        found = f"a migration of {of} was broken off; {messages} of its messages wait here"
        return Finding("unfinished_migration", name, found, f"make topology MIGRATE={of} goes on with it")
    found = f"no contract knows this queue; it holds {messages} messages"
    if not queue["durable"]:
        found += " and is transient, which RabbitMQ 4.3 refuses"
    return Finding("extra_queue", name, found, "delete it on the management page if nobody needs it")


def other_arguments(declared: Queue, existing: dict[str, Any]) -> str:
    """The difference in words; empty for none. A queue's type may be said or follow from the default."""
    wanted = {"x-queue-type": "classic", **declared.arguments}
    return difference(wanted, {**existing["arguments"], "x-queue-type": existing.get("type", "classic")})


def difference(declared: dict[str, Any], existing: dict[str, Any]) -> str:
    names = sorted(name for name in declared | existing if declared.get(name) != existing.get(name))
    return "; ".join(
        f"{name} is {existing.get(name, 'not set')}, declared {declared.get(name, 'without')}"
        for name in names
    )


def _of_bindings(exchanges: list[Exchange], queues: list[Queue], seen: Seen) -> Iterator[Finding]:
    names = {queue.name for queue in queues} & seen.lasting.keys()
    ours = {exchange.name for exchange in exchanges}
    declared = {(exchange, key, queue.name) for queue in queues for exchange, key in queue.bindings}
    bound = {one for one in seen.bound() if one[2] in names}
    for exchange, key, queue in sorted(one for one in declared - bound if one[2] in names):
        found = f"what {exchange} is sent under {key!r} does not reach it"
        yield Finding("missing_binding", queue, found, DECLARE)
    for exchange, key, queue in sorted(bound - declared):
        said = "nothing of ours is sent there" if exchange in ours else "no contract knows this exchange"
        found = f"it is bound to {exchange} under {key!r}: {said}"
        yield Finding("unroutable_binding", queue, found, "unbind it on the management page")
    for source, key, exchange in sorted(one for one in seen.bound("exchange") if ours & {one[0], one[2]}):
        found = f"what {source} is sent under {key!r} goes on to it: no contract binds an exchange to another"
        yield Finding("extra_binding", exchange, found, "unbind it on the management page")


def _of_dead_letters(queues: list[Queue], seen: Seen) -> Iterator[Finding]:
    """A queue that should have a dead-letter exchange, and has none that leads anywhere."""
    exchanges = {one["name"] for one in seen.exchanges}
    leading = {one["source"] for one in seen.bindings}
    for queue in (queue for queue in queues if "x-dead-letter-exchange" in queue.arguments):
        existing = seen.lasting.get(queue.name)
        if existing is None:
            continue
        policy = existing.get("effective_policy_definition") or {}
        to = existing["arguments"].get("x-dead-letter-exchange", policy.get("dead-letter-exchange"))
        if to is None:
            do = f"make topology MIGRATE={queue.name}"
            yield Finding("no_dead_letter_exchange", queue.name, "what is rejected here is lost", do)
        elif to not in exchanges or to not in leading:
            what = "does not exist" if to not in exchanges else "has no queue"
            found = f"its dead-letter exchange {to} {what}"
            yield Finding("no_dead_letter_exchange", queue.name, found, DECLARE)


def _of_policies(queues: list[Queue], seen: Seen) -> Iterator[Finding]:
    """Policies work beside a queue's arguments: some have the broker drop what it has confirmed."""
    for queue in queues:
        existing = seen.lasting.get(queue.name, {})
        policy = existing.get("effective_policy_definition") or {}
        if dropping := {name: policy[name] for name in DROPPING if name in policy}:
            said = ", ".join(f"{name} {value}" for name, value in dropping.items())
            names = [existing[kind] for kind in ("policy", "operator_policy") if existing.get(kind)]
            found = f"policy {' and '.join(names)} has the broker drop messages or the queue: {said}"
            yield Finding("dropping_policy", queue.name, found, "remove the policy on the management page")


def _of_consumers(queues: list[Queue], seen: Seen) -> Iterator[Finding]:
    consumed = {one["queue"]["name"] for one in seen.consumers}
    for queue in queues:
        existing = seen.lasting.get(queue.name)
        is_desks = queue.name == DEAD_LETTERS
        is_served = is_desks or request_of(queue.name) is not None or ".on." in queue.name
        if existing is None or not is_served or queue.name in consumed:
            continue
        found = f"nobody consumes it; {existing.get('messages', 0)} messages wait"
        service = "desk_service" if is_desks else f"the service of {queue.name.partition('.')[0]}.*"
        do = f"start {service}, or see in its log why it waits; one that began just now shows within 5 s"
        yield Finding("no_consumer", queue.name, found, do)


def _of_prefetch(seen: Seen) -> Iterator[Finding]:
    """RabbitMQ 4 does not tell: there `global_qos` is to be forbidden (infra/rabbitmq/rabbitmq.conf)."""
    for channel in seen.channels:
        if count := channel.get("global_prefetch_count"):
            name = f"{channel['user']}, {channel['name']}"
            found = f"a prefetch of {count} is shared by the channel's consumers, which RabbitMQ 4.3 refuses"
            yield Finding(
                "global_prefetch", name, found, "set it for each consumer (basic.qos, global=false)"
            )


def _of_limit(seen: Seen) -> Iterator[Finding]:
    if seen.connection_limit == 0:
        yield Finding(
            "unfinished_migration",
            "virtual host",
            "nobody may connect (its limit of connections is 0): a migration was broken off",
            "run it again, or remove the limit on the management page",
        )
