"""A process that dies is started again: after half a second, then twice that each time, at most ten seconds.

Whoever lived for thirty seconds starts from half a second again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from infra.local.problems import Problem
from infra.local.processes import Process

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 10.0
LONG_LIFE_SECONDS = 30.0


@dataclass
class Supervised:
    """A server or a service under watch."""

    process: Process
    start: Callable[[], None]
    address: str
    health: str = ""  # answers 200 when it is ready; servers have none
    restarts: int = 0
    delay: float = field(default=FIRST_DELAY_SECONDS / 2)
    again_at: float | None = None

    @property
    def name(self) -> str:
        """As in the logs and in `make status`."""
        return self.process.name

    def look(self, say: Callable[[str], None]) -> bool:
        """See whether it lives; once its delay is over, start it again. Whether something changed."""
        if self.process.pid is not None:
            return False
        if self.again_at is None:
            self._plan(say)
        elif time.monotonic() >= self.again_at:
            self._start_again(say)
        else:
            return False
        return True

    def _plan(self, say: Callable[[str], None]) -> None:
        long_life = time.time() - self.process.started_at > LONG_LIFE_SECONDS
        self.delay = FIRST_DELAY_SECONDS if long_life else min(self.delay * 2, LONGEST_DELAY_SECONDS)
        self.again_at = time.monotonic() + self.delay
        say(f"{self.name} ended {self._how()}; it starts again in {self.delay:g} s.")

    def _start_again(self, say: Callable[[str], None]) -> None:
        self.again_at = None
        self.restarts += 1
        try:
            self.start()
        except (Problem, OSError) as problem:
            say(f"{self.name} could not start: {problem}")

    def _how(self) -> str:
        code = self.process.exit_code
        if code is not None and code < 0:
            return f"by signal {-code}"
        self.process.log.settle()
        last = self.process.log.last_lines(1)
        return f"with code {code} ({last[0][:200]})" if code and last else f"with code {code}"
