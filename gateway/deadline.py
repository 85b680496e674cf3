"""How long a request may take, its body included; and that nobody's answer is waited for.

A client that leaves ends its request, and what waits for an answer in it. The command that it sent is done.
"""

import asyncio

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import ProblemResponse, defect, headers_of

WATCH_AFTER_SECONDS = 0.1
"""Nearly all answers are there by then, and cost nobody a watch over their client."""
CLIENT_LEFT = 499
"""No status of HTTP's: nginx's word in logs and metrics for an answer that nobody heard."""


class Deadline:
    """Ends a request after `seconds`, and with a problem whatever breaks in it. A route whose answer goes on,
    such as a stream of events, lifts that: `request.state.deadline.lift()`."""

    def __init__(self, app: ASGIApp, seconds: float):
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Timed(self, scope, receive, send).run()
        else:
            await self.app(scope, receive, send)


class _Timed:
    """One request: is its body still coming, is its answer begun, is its client there."""

    def __init__(self, deadline: Deadline, scope: Scope, receive: Receive, send: Send):
        self.app = deadline.app
        self.seconds = deadline.seconds
        self.scope = scope
        self.receive = receive
        self.send = send
        self.reading = False
        self.answering = False
        self.answered = False
        self.left = False
        self.lifted = False
        self.watch: asyncio.Task[None] | None = None

    def lift(self) -> None:
        """Let the answer take as long as it will."""
        self.lifted = True
        self.deadline.reschedule(None)

    async def run(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.timer = self.loop.call_later(WATCH_AFTER_SECONDS, self._look_after)
        self.scope["state"]["deadline"] = self
        try:
            async with asyncio.timeout(None) as self.deadline:
                await self.app(self.scope, self._take, self._answer)
        except Exception as error:
            self._watch_no_more()
            if self.answered:
                return  # FastAPI has told and answered it, and raises it again
            if self.answering and not self.left:
                raise  # the server breaks the connection off, which is all that can still be said
            problem = await self._problem_of(error)
            await problem(self.scope, self.receive, self.send)
        finally:
            self._watch_no_more()

    def _watch_no_more(self) -> None:
        self.timer.cancel()
        if self.watch:
            self.watch.cancel()

    async def _take(self) -> Message:
        self.reading = True
        message = await self.receive()
        self.reading = message.get("more_body", False)  # a pause between two parts is no end
        return message

    async def _answer(self, message: Message) -> None:
        self.answering = True
        await self.send(message)
        self.answered = message["type"] == "http.response.body" and not message.get("more_body", False)

    def _look_after(self) -> None:
        """Only here does its time begin to count: most are over by now."""
        if not self.lifted:
            self.deadline.reschedule(self.loop.time() + self.seconds - WATCH_AFTER_SECONDS)
        self._start_watching()

    def _start_watching(self) -> None:
        if self.reading:  # who reads hears of it as well
            self.timer = self.loop.call_later(WATCH_AFTER_SECONDS, self._start_watching)
        else:
            self.watch = self.loop.create_task(self._until_left(), name="watching a client")

    async def _until_left(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        if self.answered:
            return  # which the server says in the same words
        self.left = True
        if not self.deadline.expired():
            self.deadline.reschedule(self.loop.time())

    async def _problem_of(self, error: Exception) -> Response:
        if not self.deadline.expired():
            return await defect(Request(self.scope), error)
        if self.left:
            return Response(status_code=CLIENT_LEFT)
        if self.reading:
            detail = f"The request was not there whole after {self.seconds:g} s."
            return ProblemResponse(408, "request_too_slow", detail, headers={"connection": "close"})
        detail = f"No answer after {self.seconds:g} s. A command may be done: repeat it with its key."
        return ProblemResponse(504, "no_answer", detail, headers=headers_of(self.scope))
