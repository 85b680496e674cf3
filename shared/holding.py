"""What nobody waits for makes way and leaves together: one write for many, one entry in a broker's log."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

QUIET_SECONDS, LATEST_SECONDS = 0.005, 0.02
MOST_HELD = 64
CLOCK_SECONDS = 0.001
"""What uvloop's clock goes by, and its timers with it."""
T = TypeVar("T")


class Held(Generic[T]):
    """Things that `leave` together, in their order.

    That is once no more has come for 5 ms, 20 ms after the first at the latest, or as soon as they are 64.
    `patient`: the 20 ms are waited for also where no more comes.
    """

    def __init__(self, leave: Callable[[list[T]], None], *, patient: bool = False):
        self.things: list[T] = []
        self.patient = patient
        self._leave = leave
        self._first = self._last = 0.0
        self._loop = asyncio.get_running_loop()  # looked up once, since that asks the kernel
        self._timer: asyncio.TimerHandle | None = None

    def add(self, things: Sequence[T], *, at_once: bool = False) -> None:
        """Hold them with the others; `at_once`: nothing is held any longer."""
        now = self._loop.time()
        if not self.things:
            self._first = now
        if things:
            self._last = now
        self.things += things
        if at_once or len(self.things) >= MOST_HELD or now >= self._first + LATEST_SECONDS:
            self.leave()
        elif self._timer is None:
            self._look()

    def leave(self) -> None:
        """All of them, now."""
        things, self.things = self.things, []
        if things:
            self._leave(things)

    def _look(self) -> None:
        """Whether it is time by now: setting a timer anew with each thing would cost more than looking."""
        until = self._first + LATEST_SECONDS
        if not self.patient:
            until = min(self._last + QUIET_SECONDS, until)
        self._timer = None
        if self._loop.time() > until - CLOCK_SECONDS:
            self.leave()
        elif self.things:
            self._timer = self._loop.call_at(until, self._look)
