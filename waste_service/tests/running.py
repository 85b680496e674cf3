"""The handlers on a real database, in transactions like the kernel's, without a broker."""

from datetime import UTC, datetime
from typing import Any

from shared.handling import Work, handlers_in
from shared.journal_sql import SqlJournal
from shared.messages import AnswerType, Event, Refusal, Request
from waste_service import handlers
from waste_service.store import present

FUNCTIONS = {handler.message: handler.function for handler in handlers_in(handlers)}


class Running:
    """A process of the service, as far as its store can tell."""

    def __init__(self, journal: SqlJournal):
        self.journal = journal
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
        async with self.journal.transaction(contended=True) as transaction:
            for message in messages:
                transaction.next_message()
                writes = transaction.writes
                work = Work("id", "direct", "conversation", datetime.now(UTC), transaction)
                try:
                    answers.append(await FUNCTIONS[type(message)](message, work))
                except Refusal as refusal:
                    assert transaction.writes == writes, "refused after a write"
                    answers.append(refusal)
                self.said += work.said
            await transaction.conclude([], [])
        return answers

    async def fetch(self, query: str) -> list[Any]:
        async with self.journal.reading() as transaction:
            return await transaction.driver.fetch(query)


def forget() -> None:
    """What another process does not know: everything is read again."""
    present.NETWORKS.clear()
    present.STOCKS.clear()
