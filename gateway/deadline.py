"""How long a request may take, its body included; and that nobody's answer is waited for.

A client that leaves ends its request, and what waits for an answer in it. The command that it sent is done.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import ProblemResponse, headers_of

WATCH_AFTER_SECONDS = 0.1
"""Nearly all answers are there by then, and cost nobody a watch over their client."""
CLIENT_LEFT = 499
"""No status of HTTP's: nginx's word in logs and metrics for an answer that nobody heard."""


class Deadline:
    """Ends a request after `seconds`. A route whose answer goes on, such as a stream of events, lifts that:
    `request.state.deadline.reschedule(None)`."""

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
        self.left = False
        self.watch: asyncio.Task[None] | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self.timer = loop.call_later(WATCH_AFTER_SECONDS, self._start_watching)
        try:
            async with asyncio.timeout(self.seconds) as self.deadline:
                self.scope["state"]["deadline"] = self.deadline
                await self.app(self.scope, self._take, self._answer)
        except TimeoutError:
            if self.answering and not self.left:
                raise  # the server breaks the connection off, which is all that can still be said
            await self._say()
        finally:
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

    def _start_watching(self) -> None:
        loop = asyncio.get_running_loop()
        if self.reading:  # who reads hears of it as well
            self.timer = loop.call_later(WATCH_AFTER_SECONDS, self._start_watching)
        else:
            self.watch = loop.create_task(self._until_left(), name="watching a client")

    async def _until_left(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.left = True
        if not self.deadline.expired():
            self.deadline.reschedule(asyncio.get_running_loop().time())

    async def _say(self) -> None:
        if self.left:
            await self.send({"type": "http.response.start", "status": CLIENT_LEFT, "headers": []})
            await self.send({"type": "http.response.body", "body": b""})
            return
        if self.reading:
            detail = f"The request was not there whole after {self.seconds:g} s."
            problem = ProblemResponse(408, "request_too_slow", detail, headers={"connection": "close"})
        else:
            detail = f"No answer after {self.seconds:g} s. A command may be done: repeat it with its key."
            problem = ProblemResponse(504, "no_answer", detail, headers=headers_of(self.scope))
        await problem(self.scope, self.receive, self.send)
