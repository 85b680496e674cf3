"""What a fault is, and the list of all."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from time import monotonic
from typing import Any

from tests.faults.accountant import Accountant, Known
from tests.faults.load import Load
from tests.faults.stage import Stage


@dataclass
class Scene:
    """What a fault has in hand. It writes into `notes` what a reader should know beside the figures."""

    stage: Stage
    load: Load
    accountant: Accountant
    random: Random
    round: int = 0
    """How often it has struck before."""
    ready_seconds: float | None = None
    notes: list[str] = field(default_factory=list)
    forgiven: set[Known] = field(default_factory=set)
    """What a fault takes away on purpose: what is lost of it is reported apart."""
    meant_to_die: set[str] = field(default_factory=set)
    """Message ids: whatever else becomes a dead letter lets the line fall short."""
    afterwards: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What is looked at again once all is done."""
    timing: list["asyncio.Task[float]"] = field(default_factory=list)

    async def until_ready(self, since: float | None = None, *, written: bool = True) -> float:
        """Seconds since then (now, unless it is said) that it took; the line tells the longest.

        To be called as soon as what was broken is back. Not `written` where a write waits behind many others.
        """
        began = monotonic() if since is None else since
        await self.stage.until_ready(written=written)
        return self._note_ready(began)

    def time(self, readiness: Coroutine[None, None, float]) -> None:
        """Beside what the fault goes on to do."""
        self.timing.append(asyncio.create_task(readiness))

    async def until_started(self, name: str) -> float:
        """Until this process, which has just been started again, says that it is ready."""
        began = monotonic()
        await self.stage.until_started(name)
        return self._note_ready(began)

    async def timed(self) -> None:
        """Until all that is timed beside is ready."""
        timing, self.timing = self.timing, []
        await asyncio.gather(*timing)

    def _note_ready(self, began: float) -> float:
        seconds = monotonic() - began
        self.ready_seconds = max(self.ready_seconds or 0, seconds)
        return seconds


Strike = Callable[[Scene], Awaitable[None]]
WarmUp = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """`strike` breaks something and mends it; it returns as soon as what it broke is back.

    `ends`: the processes it is about do not live through it, so that they need no warm-up; of other faults no
    process may end. `armed`: the services run so that they can be told where to die. `warm_up`: what is done
    before memory is weighed, besides the commands that every process has had by then.
    """

    name: str
    strike: Strike
    times: int
    ends: bool = False
    armed: bool = False
    cluster: bool = False
    """Whether RabbitMQ is three nodes."""
    warm_up: WarmUp | None = None

    @property
    def says(self) -> str:
        return " ".join((self.strike.__doc__ or "").split()).rstrip(".")


FAULTS: dict[str, Fault] = {}


def fault(name: str, times: int = 5, **more: Any) -> Callable[[Strike], Strike]:
    """Register what strikes; what lasts over 30 s once, the rest five times."""

    def register(strike: Strike) -> Strike:
        FAULTS[name] = Fault(name, strike, times, **more)
        return strike

    return register
