"""How long a request may take, its body included; and that nobody's answer is waited for.

A client that leaves ends its request, and what waits for an answer in it. The command that it sent is done.
"""

import asyncio
from itertools import takewhile
from typing import cast

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import ProblemResponse, defect, headers_of

WATCH_AFTER_SECONDS = 0.1
"""Nearly all answers are there by then, and cost nobody a watch over their client."""
CLIENT_LEFT = 499
"""No status of HTTP's: nginx's word in logs and metrics for an answer that nobody heard."""


class Deadline:
    """Ends a request after `seconds`, and with a problem whatever breaks in it. A route whose answer goes on,
    such as a stream of events, lifts that: `request.state.deadline.lift()`.

    One timer for all: of a thousand requests nine hundred and ninety-nine are over before it rings.
    """

    def __init__(self, app: ASGIApp, seconds: float):
        self.app = app
        self.seconds = seconds
        self.young: dict[_Timed, None] = {}
        """Requests under way that nobody has looked after yet, in the order in which they came."""
        self.looks = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Timed(self, scope, receive, send).run()
        else:
            await self.app(scope, receive, send)

    def begin(self, request: "_Timed") -> None:
        self.young[request] = None
        if not self.looks:
            self.looks = True
            request.loop.call_later(WATCH_AFTER_SECONDS, self._look, request.loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        before = loop.time() - WATCH_AFTER_SECONDS / 2
        for request in list(takewhile(lambda one: one.came_at < before, self.young)):
            del self.young[request]
            request.look_after()
        self.looks = bool(self.young)
        if self.looks:
            loop.call_later(WATCH_AFTER_SECONDS, self._look, loop)


class _Timed:
    """One request: is its body still coming, is its answer begun, is its client there."""

    def __init__(self, deadline: Deadline, scope: Scope, receive: Receive, send: Send):
        self.deadline = deadline
        self.scope = scope
        self.receive = receive
        self.send = send
        self.reading = self.answering = self.answered = False
        self.left = self.lifted = self.ended = False
        self.timer: asyncio.TimerHandle | None = None
        self.watch: asyncio.Task[None] | None = None
        self.loop = asyncio.get_running_loop()
        self.task = cast("asyncio.Task[None]", asyncio.current_task(self.loop))
        self.came_at = self.loop.time()

    def lift(self) -> None:
        """Let the answer take as long as it will."""
        self.lifted = True
        if self.timer:
            self.timer.cancel()

    async def run(self) -> None:
        self.scope["state"]["deadline"] = self
        self.deadline.begin(self)
        try:
            await self.deadline.app(self.scope, self._take, self._answer)
        except asyncio.CancelledError:
            if not self._is_mine():
                raise
            await self._answer_instead(TimeoutError())
        except Exception as error:
            await self._answer_instead(error)
        finally:
            self._look_no_more()
            del self.scope["state"]["deadline"]  # else both stay in memory until cycles are collected

    def _is_mine(self) -> bool:
        """Whether the request was cancelled here, and by nobody else."""
        return self.ended and self.task.uncancel() == 0

    async def _answer_instead(self, error: Exception) -> None:
        self._look_no_more()
        if self.answered:
            return  # FastAPI has told and answered it, and raises it again
        if self.answering and not self.left:
            raise error  # the server breaks the connection off, which is all that can still be said
        problem = await self._problem_of(error)
        await problem(self.scope, self.receive, self.send)

    def _look_no_more(self) -> None:
        self.deadline.young.pop(self, None)
        if self.timer:
            self.timer.cancel()
        if self.watch:
            self.watch.cancel()
            self.watch = None

    async def _take(self) -> Message:
        self.reading = True
        message = await self.receive()
        self.reading = message.get("more_body", False)  # a pause between two parts is no end
        return message

    async def _answer(self, message: Message) -> None:
        self.answering = True
        await self.send(message)
        self.answered = message["type"] == "http.response.body" and not message.get("more_body", False)

    def look_after(self) -> None:
        """Only here is it timed: most are over by now."""
        if not self.lifted:
            self.timer = self.loop.call_at(self.came_at + self.deadline.seconds, self._end)
        self.watch = self.loop.create_task(self._until_left(), name="watching a client")

    def _end(self) -> None:
        if not self.ended:
            self.ended = True
            self.task.cancel()

    async def _until_left(self) -> None:
        while self.reading:  # who reads hears of it as well
            if self.lifted:
                return
            await asyncio.sleep(WATCH_AFTER_SECONDS)
        while (await self.receive())["type"] != "http.disconnect":
            pass
        if not self.answered:  # else the server says it in the same words
            self.left = True
            self._end()

    async def _problem_of(self, error: Exception) -> Response:
        if not self.ended:
            return await defect(Request(self.scope), error)
        if self.left:
            return Response(status_code=CLIENT_LEFT)
        seconds = self.deadline.seconds
        if self.reading:
            detail = f"The request was not there whole after {seconds:g} s."
            return ProblemResponse(408, "request_too_slow", detail, headers={"connection": "close"})
        detail = f"No answer after {seconds:g} s. A command may be done: repeat it with its key."
        return ProblemResponse(504, "no_answer", detail, headers=headers_of(self.scope))
