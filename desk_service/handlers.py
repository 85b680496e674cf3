"""What the desk does with a dead letter: keep it, and say so."""

from desk_service.domain.deaths import PROCESSES, death_of
from desk_service.store.letters import LetterStore
from shared.contracts.desk import DeadLetter, Fault
from shared.handling import Work, handles
from shared.redaction import redacted_text


@handles(DeadLetter, contended=True)
async def keep_dead_letter(dead: DeadLetter, work: Work) -> None:
    """Keep what was given up until somebody decides about it."""
    death = death_of(dead, work.id, work.now)

    letter = await LetterStore.of(work).keep(death, work.now)

    work.say(
        Fault(
            letter=letter,
            queue=death.queue,
            message_id=death.message_id,
            actor=death.actor,
            reason=redacted_text(death.reason),
            cause=redacted_text(death.cause),
            attempts=death.attempts,
            died_at=death.died_at,
            body=death.body.decode(errors="replace") if death.actor in PROCESSES.values() else None,
        )
    )
