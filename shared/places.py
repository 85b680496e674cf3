"""Processes beside this one, each of which computes for one group of messages at a time.

One that dies is the fault of exactly one message: whatever was handed over with others and did not come back
is computed once more, alone. Only where all has been quick are messages handed over together.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

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
        self.pool = self._process()
        self.runs = False
        self.width = 1
        self.began = self.used = 0.0
        self.waiting: list[_Call] = []
        self.handing: asyncio.Task[None] | None = None
        self.turn = asyncio.Lock()

    def _process(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a fork would share connections and threads' locks
        return ProcessPoolExecutor(1, context, initializer=_live_as_long_as_the_parent)

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
            pool = await self._started()
            async with asyncio.timeout(min(self.seconds, TOGETHER_SECONDS)):
                results = await self._in(pool, _each, asked)
        except (BrokenProcessPool, TimeoutError):
            self.renew()
            return
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
                pool = await self._started()
                if call.future.done():
                    return None  # whom it was for has been interrupted
                async with asyncio.timeout(self.seconds) as limit:
                    return await self._in(pool, call.function, *call.arguments)
            except BrokenProcessPool:
                if call.future.done():
                    return None  # whom it was for has been interrupted
                self.renew()
            except TimeoutError:
                if not limit.expired():
                    raise  # the function's own
                self.renew()
                raise TimeoutError(f"it computed for more than {self.seconds:g} s") from None
        raise Killed("the process that worked on it died each time")

    async def _started(self) -> ProcessPoolExecutor:
        """A loaded machine's slow start is nobody's computing."""
        pool = self.pool
        if not self.runs:
            await self._in(pool, int)
            self.runs, self.began = True, perf_counter()
        return pool

    async def _in(self, pool: ProcessPoolExecutor, function: Callable[..., Any], *arguments: Any) -> Any:
        """A pool that was renewed meanwhile has died, whatever it says."""
        task = asyncio.current_task()
        try:
            loop = asyncio.get_running_loop()
            result, used = await loop.run_in_executor(pool, _timed, function, arguments)
            self.used += used
            return result
        except (RuntimeError, asyncio.CancelledError):
            if pool is self.pool or (task and task.cancelling()):
                raise
            raise BrokenProcessPool("it was ended") from None

    def interrupt(self) -> None:
        """Whoever it computes for has gone. What only starts yet is not ended: else, where connections are
        lost more often than a process starts, none ever would."""
        if self.runs:
            self.renew()

    def renew(self) -> None:
        """End its process, whatever that computes. The next one starts when there is something to compute."""
        for process in (getattr(self.pool, "_processes", None) or {}).values():
            process.kill()
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.pool = self._process()
        self.runs = False
        self.width = 1


def _timed(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, float]:
    """What comes of it, and how many seconds of CPU it took."""
    before = process_time()
    return function(*arguments), process_time() - before


def _each(calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    return [_result(function, arguments) for function, arguments in calls]


def _result(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except BaseException:
        return _Failed()


def _live_as_long_as_the_parent() -> None:
    """A pool's process would wait for work for ever after a SIGKILL of the one that gives it.

    A Ctrl-C in the terminal reaches it too, and is the parent's to answer: it finishes what is under way.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
