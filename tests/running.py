"""A service's handlers on a real database, in transactions like the kernel's, without a broker."""

from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from shared.handling import Work, handlers_in
from shared.journal import Journal
from shared.journal_postgresql import PostgresqlTransaction
from shared.messages import AnswerType, Event, Refusal, Request


class Running:
    """A process of the service, as far as its store can tell."""

    def __init__(self, journal: Journal, handlers: ModuleType, *, contended: bool = False):
        self.journal: Any = journal  # of the form that its tests know
        self.contended = contended
        self.functions = {handler.message: handler.function for handler in handlers_in(handlers)}
        self.said: list[Event] = []

    async def ask(self, message: Request[AnswerType]) -> AnswerType:
        """The answer to one message; what the handler raises is raised."""
        [answer] = await self.batch(message)
        if isinstance(answer, Refusal):
            raise answer
        return answer  # type: ignore[no-any-return]

    async def batch(self, *messages: Request[Any]) -> list[Any]:
        """Commands in one transaction: answers, and refusals where nothing was written."""
        answers: list[Any] = []
        async with self.journal.transaction(contended=self.contended) as transaction:
            for message in messages:
                transaction.next_message()
                writes = transaction.writes
                work = Work("id", "direct", "conversation", datetime.now(UTC), transaction)
                try:
                    answers.append(await self.functions[type(message)](message, work))
                except Refusal as refusal:
                    assert transaction.writes == writes, "refused after a write"
                    answers.append(refusal)
                self.said += work.said
            await transaction.conclude([], [])
        return answers

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Rows straight from PostgreSQL."""
        async with self.journal.reading() as transaction:
            assert isinstance(transaction, PostgresqlTransaction)
            return await transaction.driver.fetch(query, *arguments)
