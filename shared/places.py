"""Processes beside this one, each of which computes for one group of messages at a time.

One that dies is the fault of exactly one message: whatever was handed over with others and did not come back
is computed once more, alone. Only where all has been quick are messages handed over together.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from shared.computing import Computing, Died

MOST_TOGETHER = 16
QUICK_CPU_SECONDS, QUICK_SECONDS = 0.05, 1.0
"""What took less of both is handed over with as many others again; after what took more, one goes alone."""
TOGETHER_SECONDS = 30.0
"""How long others wait, at most and once, for one that hangs among them."""


class Killed(Exception):
    """The process that computed for a message died of it."""


@dataclass(slots=True, eq=False)
class _Call:
    """A function of a module, its arguments, and who waits for what comes of it."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: "asyncio.Future[Any]"


class _Failed:
    """In place of a result: alone, it tells by itself why."""


class Place:
    """A process that computes one thing after the other, made anew when it dies.

    `width` is how many beats may share it now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.process: Computing | None = None
        self.runs = False
        self.width = 1
        self.began = self.used = 0.0
        self.waiting: list[_Call] = []
        self.handing: asyncio.Task[None] | None = None
        self.turn = asyncio.Lock()

    async def compute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What is asked for in one turn of the loop, or while the process works, is handed over together."""
        call = _Call(function, arguments, asyncio.get_running_loop().create_future())
        self.waiting.append(call)
        if self.handing is None:
            self.handing = asyncio.create_task(self._hand_over(), name="computing")
        return await call.future

    async def _hand_over(self) -> None:
        try:
            await asyncio.sleep(0)
            while self.waiting:
                calls, self.waiting = self.waiting[:MOST_TOGETHER], self.waiting[MOST_TOGETHER:]
                self.began, self.used = perf_counter(), 0.0
                if len(calls) > 1:
                    await self._together(calls)
                for call in calls:
                    if not call.future.done():
                        await self._alone(call)
                quick = self.used < QUICK_CPU_SECONDS and perf_counter() - self.began < QUICK_SECONDS
                self.width = min(2 * len(calls), MOST_TOGETHER) if quick else 1
        finally:
            self.handing = None

    async def _together(self, calls: Sequence[_Call]) -> None:
        """Whatever has no result afterwards is to be computed alone."""
        asked = [(call.function, call.arguments) for call in calls]
        try:
            process = await self._started()
            async with asyncio.timeout(min(self.seconds, TOGETHER_SECONDS)):
                results, used = await process.compute(_each, asked)
        except (Died, TimeoutError):
            self.renew()
            return
        except Exception:  # a result cannot be pickled, and it is not known whose
            return
        self.used += used
        for call, result in zip(calls, results, strict=True):
            if not (isinstance(result, _Failed) or call.future.done()):
                call.future.set_result(result)

    async def _alone(self, call: _Call) -> None:
        try:
            result = await self._computed(call)
        except asyncio.CancelledError:
            call.future.cancel()
            raise
        except BaseException as error:
            if not call.future.done():
                call.future.set_exception(error)
        else:
            if not call.future.done():
                call.future.set_result(result)

    async def _computed(self, call: _Call) -> Any:
        """Twice where need be: the first process may have died before, and of something else."""
        for _ in range(2):
            try:
                process = await self._started()
                if call.future.done():
                    return None  # whom it was for has been interrupted
                async with asyncio.timeout(self.seconds) as limit:
                    result, used = await process.compute(call.function, *call.arguments)
                self.used += used
                return result
            except Died:
                self.renew()
                if call.future.done():
                    return None
            except TimeoutError:
                if not limit.expired():
                    raise  # the function's own
                self.renew()
                raise TimeoutError(f"it computed for more than {self.seconds:g} s") from None
        raise Killed("the process that worked on it died each time")

    async def _started(self) -> Computing:
        """A loaded machine's slow start is nobody's computing."""
        process = self.process
        if process is None:
            process = self.process = await Computing.started()
            await process.compute(int)
            self.runs, self.began = True, perf_counter()
        return process

    def interrupt(self) -> None:
        """Whoever it computes for has gone. What only starts yet is not ended: else, where connections are
        lost more often than a process starts, none ever would."""
        if self.runs:
            self.renew()

    def renew(self) -> None:
        """End its process, whatever that computes. The next one starts when there is something to compute."""
        process, self.process = self.process, None
        self.runs = False
        self.width = 1
        if process:
            process.end()


def _each(calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    return [_result(function, arguments) for function, arguments in calls]


def _result(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except BaseException:
        return _Failed()
