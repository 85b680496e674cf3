"""All that a handler sees: `@handles` says what it is for, `Work` is what it works with.

A handler is one async function of (message, work). It never commits, never acknowledges, never answers by
itself: what it returns is the answer, what it says is sent after the commit, what it raises is a refusal or
a defect.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from shared.messages import Answer, Command, Event, Query, Raw, Request

if TYPE_CHECKING:
    from shared.blobs import Blobs

DIRECT = "direct"
"""Who acts when nobody that is trusted with it said so: a person with access to the broker."""

EVERYBODY = ("*",)

Compute = Callable[..., Awaitable[Any]]
"""Runs a function of a module with its arguments in another process; the result comes back pickled."""


class NotNow(Exception):
    """What a message needs besides its store is away. It is tried again later, and no attempt is charged."""


@dataclass(slots=True)
class Work:
    """One message's work. `transaction` belongs to the stores: no handler touches it.

    `id` is the message's id, `actor` who acts (`direct` when unknown), `conversation` the correlation id,
    `queue` where it came in,
    `now` an aware UTC time that is the same for all that this message does.
    """

    id: str
    actor: str
    conversation: str
    now: datetime
    transaction: Any
    queue: str = ""
    attempt: int = 1
    visible_to: tuple[str, ...] = EVERYBODY
    """Actors that may see the answer too, for whoever keeps a copy of it."""
    said: list[Event] = field(default_factory=list)
    sent: list[Command[Any]] = field(default_factory=list)
    prepared: Any = None
    """What the handler's prepare beat made of the message."""
    blobs: "Blobs | None" = None
    """Where the service keeps what is too large for its store, if it has such."""
    compute: Compute | None = None
    turn: AbstractAsyncContextManager[None] | None = None
    """Of those that share a place, who holds it has what is large in memory, and nobody else."""
    send_now: Callable[[Command[Any]], object] | None = None
    """All three in a prepare beat only. What is sent at once is lost if its process dies: for news alone."""

    def send(self, *commands: Command[Any]) -> None:
        """Have something done, in the service's own name: sent after the commit, never without it."""
        self.sent += commands

    def say(self, *events: Event) -> None:
        """Say what happened: sent after the commit, never without it."""
        self.said += events


@dataclass(frozen=True, eq=False)
class Handler:
    """A handler with what it was declared for."""

    message: type[Request[Any]] | type[Event] | type[Raw]
    function: Callable[[Any, Work], Awaitable[Answer | None]]
    contended: bool = False
    prepare: Callable[[Any, Work], Awaitable[Any]] | None = None
    given_up: "GivenUp | None" = None
    bulk: bool = False
    ahead: Callable[[Sequence[Any], Work], Awaitable[None]] | None = None
    large: bool = False

    def queue(self, owner: str) -> str:
        """Where its message comes in, `owner` being the service's own name for that."""
        if issubclass(self.message, Event):
            return self.message.queue_of(owner)
        return self.message.queue.replace("*", owner)

    @cached_property
    def is_raw(self) -> bool:
        return issubclass(self.message, Raw)

    @property
    def is_large(self) -> bool:
        """A raw message may be of any size."""
        return self.large or self.is_raw

    @cached_property
    def is_query(self) -> bool:
        return issubclass(self.message, Query)

    @property
    def description(self) -> str:
        return (self.function.__doc__ or self.message.__doc__ or "").strip()


GivenUp = Callable[[Any, str, Work], Awaitable[None]]
GIVEN_UP: dict[Any, GivenUp] = {}
"""What every handler declared for its message's end among the dead letters."""

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


def handles(
    message: type[Command[Any]] | type[Query[Any]] | type[Event] | type[Raw],
    *,
    contended: bool = False,
    prepare: Callable[[Any, Work], Awaitable[Any]] | None = None,
    given_up: GivenUp | None = None,
    bulk: bool = False,
    ahead: Callable[[Sequence[Any], Work], Awaitable[None]] | None = None,
    large: bool = False,
) -> Callable[[F], F]:
    """Declare the handler of a message.

    `contended`: its effects depend on rows that others change too, so a batch that holds one takes the
    service's one lock first. Without it two processes that update the same rows block each other.

    `prepare`: what takes long and changes nothing, done before the transaction, in another process where it
    computes (`work.compute`); the handler finds its result as `work.prepared`. It may run more than once. It
    reads before it computes: while it does, others need the connection.
    `bulk`: its prepare beats get half of the places while others wait, all when none does.
    `ahead`: reads, in one go for all such messages of a batch, what the handler reads for each.
    `large`: its messages may be of hundreds of kilobytes, so fewer are fetched, and fewer share a batch.
    `given_up`: what is to be changed and said when the message goes to the dead letters, with the reason.
    Where the broker put there what the service had sent itself, the desk's `Fault` calls it; so it may be
    called more than once for a message.
    """
    if given_up:
        GIVEN_UP[message] = given_up

    def declare(function: F) -> F:
        function.__handles__ = Handler(message, function, contended, prepare, given_up, bulk, ahead, large)  # type: ignore[attr-defined]
        return function

    return declare


def handlers_in(*modules: ModuleType) -> list[Handler]:
    """The handlers that the modules declare, in the order they stand there."""
    found = (getattr(value, "__handles__", None) for module in modules for value in vars(module).values())
    return list(dict.fromkeys(cast(Handler, handler) for handler in found if handler))
