"""What has become of a command, from its owner's inbox: every service with commands answers this."""

import orjson

from shared.contracts.operations import GetOperation, Operation
from shared.handling import Work, handles
from shared.journal import Noted


@handles(GetOperation)
async def get_operation(query: GetOperation, work: Work) -> Operation:
    """Say how far a command has come."""
    noted: Noted | None = await work.transaction.look_up((query.command_queue, query.message_id))
    if noted is None:
        return Operation(state="waiting")
    if noted.ending is None:
        return Operation(
            state="retrying",
            attempt=noted.attempt,
            next_attempt_at=noted.due_at,
            last_error=noted.error or "",
        )
    return Operation.model_validate(
        {
            "state": noted.ending,
            "attempt": noted.attempt,
            "answer": orjson.loads(noted.answer or b"null"),
            "versions": orjson.loads(noted.versions),
        }
    )
