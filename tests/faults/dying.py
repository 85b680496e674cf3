"""Starts a service that dies at a chosen place: `python -m tests.faults.dying task_service FOLDER`.

A file in the folder, named `<service>.<place>`, arms it; it is removed first, so that the process dies of it
once. A title that begins with `raises` breaks its handler each time, one with `kills` its process.
"""

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.batch import Batches
from shared.delivery import Delivery
from shared.journal import Outbox
from shared.leaving import Batch, Leaving
from shared.unsettled import Unsettled

PLACES = ("after-commit", "after-publish", "after-answer", "in-batch", "in-next-batch")


def arm(service: str, folder: Path) -> None:
    def die_at(place: str) -> None:
        armed = folder / f"{service}.{place}"
        if armed.exists():
            armed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    leave, clear, acknowledge, execute = (
        Leaving.leave,
        Outbox.clear,
        Unsettled._acknowledge,
        Batches._execute,
    )

    async def _leave(self: Leaving, batch: Batch, seconds: float, **how: Any) -> None:
        if batch.said:
            die_at("after-commit")
        await leave(self, batch, seconds, **how)

    async def _clear(self: Outbox) -> None:
        if self.arrived:
            die_at("after-publish")
        await clear(self)

    def _acknowledge(self: Unsettled, deliveries: Sequence[Delivery]) -> None:
        if (folder / f"{service}.after-answer").exists():
            # the answers may leave with this turn of the loop
            asyncio.get_running_loop().call_later(0.1, die_at, "after-answer")
        else:
            acknowledge(self, deliveries)

    async def _execute(self: Batches, delivery: Delivery, transaction: Any, batch: Any) -> None:
        if batch.settled:
            die_at("in-batch")
        if self.in_hand > 1:
            die_at("in-next-batch")
        if b'"title": "kills' in delivery.raw.body:
            os.kill(os.getpid(), signal.SIGKILL)
        if b'"title": "raises' in delivery.raw.body:
            delivery.handler = replace(delivery.handler, function=_break)
        await execute(self, delivery, transaction, batch)

    Leaving.leave = _leave  # type: ignore[method-assign]
    Outbox.clear = _clear  # type: ignore[method-assign]
    Unsettled._acknowledge = _acknowledge  # type: ignore[method-assign]
    Batches._execute = _execute  # type: ignore[method-assign]


async def _break(*_: Any) -> None:
    raise RuntimeError("Told to break.")


if __name__ == "__main__":
    name = sys.argv.pop(1)
    arm(name, Path(sys.argv.pop(1)))
    importlib.import_module(f"{name}.main").main()
