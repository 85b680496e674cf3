"""All that a handler sees: `@handles` says what it is for, `Work` is what it works with.

A handler is one async function of (message, work). It never commits, never acknowledges, never answers by
itself: what it returns is the answer, what it says is sent after the commit, what it raises is a refusal or
a defect.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from types import ModuleType
from typing import Any, TypeVar, cast

from shared.messages import Answer, Command, Event, Query, Request

DIRECT = "direct"
"""Who acts when nobody that is trusted with it said so: a person with access to the broker."""

EVERYBODY = ("*",)


@dataclass(slots=True)
class Work:
    """One message's work. `transaction` belongs to the stores: no handler touches it.

    `id` is the message's id, `actor` who acts (`direct` when unknown), `conversation` the correlation id,
    `now` an aware UTC time that is the same for all that this message does.
    """

    id: str
    actor: str
    conversation: str
    now: datetime
    transaction: Any
    visible_to: tuple[str, ...] = EVERYBODY
    """Actors that may see the answer too, for whoever keeps a copy of it."""
    said: list[Event] = field(default_factory=list)

    def say(self, *events: Event) -> None:
        """Say what happened: sent after the commit, never without it."""
        self.said += events


@dataclass(frozen=True, slots=True)
class Handler:
    """A handler with what it was declared for."""

    message: type[Request[Any]] | type[Event]
    function: Callable[[Any, Work], Awaitable[Answer | None]]
    contended: bool

    def queue(self, owner: str) -> str:
        """Where its message comes in, `owner` being the service's own name for that."""
        if issubclass(self.message, Event):
            return self.message.queue_of(owner)
        return self.message.queue.replace("*", owner)

    @property
    def is_query(self) -> bool:
        return issubclass(self.message, Query)

    @property
    def description(self) -> str:
        return (self.function.__doc__ or self.message.__doc__ or "").strip()


F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


def handles(
    message: type[Command[Any]] | type[Query[Any]] | type[Event], *, contended: bool = False
) -> Callable[[F], F]:
    """Declare the handler of a message.

    `contended`: its effects depend on rows that others change too, so a batch that holds one takes the
    service's one lock first. Without it two processes that update the same rows block each other.
    """

    def declare(function: F) -> F:
        function.__handles__ = Handler(message, function, contended)  # type: ignore[attr-defined]
        return function

    return declare


def handlers_in(*modules: ModuleType) -> list[Handler]:
    """The handlers that the modules declare, in the order they stand there."""
    found = (getattr(value, "__handles__", None) for module in modules for value in vars(module).values())
    return list(dict.fromkeys(cast(Handler, handler) for handler in found if handler))
