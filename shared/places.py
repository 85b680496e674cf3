"""Processes beside this one, each of which computes for one group of messages at a time.

One that dies is the fault of exactly one message: whatever was handed over with others and did not come back
is computed once more, alone. Only where all has been quick are messages handed over together.
"""

import asyncio
import multiprocessing
import os
import pickle
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any, Self

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


class _Died(Exception):
    """The process has ended, or was ended."""


class _Process:
    """A process that computes what it is handed over, one thing after the other.

    What goes there and back goes by a socket that the event loop has: the threads of a `ProcessPoolExecutor`
    take three times the CPU for that, 200 us instead of 62 for eight small texts.
    """

    def __init__(self, child: Any, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]):
        self.child = child
        self.reader, self.writer = streams

    @classmethod
    async def started(cls) -> Self:
        context = multiprocessing.get_context("spawn")  # a fork would share connections and threads' locks
        ours, theirs = socket.socketpair()
        child = context.Process(target=_serve, args=(theirs,), daemon=True)
        child.start()
        theirs.close()
        return cls(child, await asyncio.open_connection(sock=ours))

    async def compute(self, function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
        """What comes of it, and how many seconds of CPU it took. Raises what it raises, and `_Died`."""
        try:
            self.writer.write(_framed((function, arguments)))
            answer = await self.reader.readexactly(int.from_bytes(await self.reader.readexactly(8)))
        except (OSError, asyncio.IncompleteReadError):
            raise _Died from None
        result, raised, used = pickle.loads(answer)
        if raised:
            raise pickle.loads(raised)  # no name has it, whose frame it would know
        return result, used

    def end(self) -> None:
        self.child.kill()
        self.writer.close()


class Place:
    """A process that computes one thing after the other, made anew when it dies.

    `width` is how many beats may share it now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.process: _Process | None = None
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
        except (_Died, TimeoutError):
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
            except _Died:
                self.renew()
                if call.future.done():
                    return None
            except TimeoutError:
                if not limit.expired():
                    raise  # the function's own
                self.renew()
                raise TimeoutError(f"it computed for more than {self.seconds:g} s") from None
        raise Killed("the process that worked on it died each time")

    async def _started(self) -> _Process:
        """A loaded machine's slow start is nobody's computing."""
        process = self.process
        if process is None:
            process = self.process = await _Process.started()
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


def _framed(what: Any) -> bytes:
    pickled = pickle.dumps(what)
    return len(pickled).to_bytes(8) + pickled


def _serve(theirs: socket.socket) -> None:
    """The whole life of a process that computes: until nobody is there to hand anything over."""
    _live_as_long_as_the_parent()
    with theirs, theirs.makefile("rwb") as stream:
        while asked := stream.read(int.from_bytes(stream.read(8))):
            stream.write(_answer_to(asked))
            stream.flush()


def _answer_to(asked: bytes) -> bytes:
    """What comes of it, what it raised, pickled, and how many seconds of CPU it took."""
    before = process_time()
    try:
        function, arguments = pickle.loads(asked)
        return _framed((function(*arguments), None, process_time() - before))
    except BaseException as error:
        error.add_note(traceback.format_exc())
        return _framed((None, _pickled(error), process_time() - before))


def _pickled(error: BaseException) -> bytes:
    try:
        return pickle.dumps(error)
    except Exception:  # it holds what has no form
        return pickle.dumps(RuntimeError(traceback.format_exc()))


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
