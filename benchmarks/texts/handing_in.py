"""What the client of every side does in the same way: its arguments, its clock and its last words.

The clock runs from the first text that is handed in until all results are in the store. That they are all
there and right is looked at afterwards, without the clock.
"""

import hashlib
import json
import resource
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter

from benchmarks.texts.prose import texts

IN_FLIGHT = 64
"""Texts that wait for the broker's confirmation at a time; in as many threads, where one waits for one."""
POLL_SECONDS = 0.005
TOP = 20


@dataclass
class HandingIn:
    """The texts of one round, and when what happened."""

    texts: list[str]
    started: float = 0.0
    handed_in: float = 0.0
    ended: float = 0.0
    cpu_before: float = field(default=0.0)

    def start(self) -> None:
        self.cpu_before = _cpu_seconds()
        self.started = perf_counter()

    def all_handed_in(self) -> None:
        self.handed_in = perf_counter()

    def all_there(self) -> None:
        self.ended = perf_counter()

    def say(self, reports: Iterable[str]) -> None:
        """Print what was found; `reports` as they were read from the store."""
        cpu = _cpu_seconds() - self.cpu_before
        rows = sorted(reports)
        found = {
            "texts": len(rows),
            "digest": hashlib.sha256("\n".join(rows).encode()).hexdigest(),
            "seconds": self.ended - self.started,
            "handing_in_seconds": self.handed_in - self.started,
            "cpu_seconds": cpu,
        }
        print(json.dumps(found))


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def from_arguments() -> HandingIn:
    """`python -m … COUNT SEED`."""
    count, seed = map(int, sys.argv[1:])
    return HandingIn(texts(count, seed))
