"""What a fault is, and the list of all."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from tests.faults.accountant import Accountant
from tests.faults.load import Load
from tests.faults.stage import Stage


@dataclass
class Scene:
    """What a fault has in hand. It writes into `notes` what a reader should know beside the figures."""

    stage: Stage
    load: Load
    accountant: Accountant
    random: Random
    notes: list[str] = field(default_factory=list)
    forgiven: set[str] = field(default_factory=set)
    """Kinds of which a fault takes messages away on purpose: what is lost of them is reported apart."""


Strike = Callable[[Scene], Awaitable[None]]
Around = Callable[[Stage], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def as_it_is(stage: Stage) -> AsyncIterator[None]:
    """The processes as anybody would run them."""
    yield


@dataclass(frozen=True)
class Fault:
    """`strike` breaks something and mends it; it returns as soon as what it broke is back.

    `around`: what is otherwise than usual from before the load until its account is made.
    """

    name: str
    strike: Strike
    times: int
    around: Around = as_it_is
    cluster: bool = False
    """Whether RabbitMQ is three nodes."""

    @property
    def says(self) -> str:
        return " ".join((self.strike.__doc__ or "").split()).rstrip(".")


FAULTS: dict[str, Fault] = {}


def fault(
    name: str, times: int = 5, around: Around = as_it_is, *, cluster: bool = False
) -> Callable[[Strike], Strike]:
    """Register what strikes; what lasts over 30 s once, the rest five times."""

    def register(strike: Strike) -> Strike:
        FAULTS[name] = Fault(name, strike, times, around, cluster)
        return strike

    return register
