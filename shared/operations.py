"""What has become of a command, from its owner's inbox: every service with commands answers this.

What the owner did not give up itself, since the broker did or it could not read it, it hears as a `Fault`.
"""

from contextlib import suppress

import orjson
from pydantic import ValidationError

from shared.contracts.desk import Fault
from shared.contracts.operations import GetOperation, Operation
from shared.handling import GIVEN_UP, Work, handles
from shared.journal import Noted, Outcome, Settled
from shared.messages import REQUESTS, Command, Failed


@handles(GetOperation)
async def get_operation(query: GetOperation, work: Work) -> Operation:
    """Say how far a command has come."""
    noted: Noted | None = await work.transaction.look_up((query.command_queue, query.message_id))
    if noted is None:
        return Operation(state="waiting")
    if noted.ending is None:
        due, error = noted.due_at, noted.error or ""
        return Operation(state="retrying", attempt=noted.attempt, next_attempt_at=due, last_error=error)
    answer, versions = orjson.loads(noted.answer or b"null"), orjson.loads(noted.versions)
    ended = {"state": noted.ending, "attempt": noted.attempt, "answer": answer, "versions": versions}
    return Operation.model_validate(ended)


@handles(Fault)
async def on_fault(fault: Fault, work: Work) -> None:
    """Note that a command of ours lies with the dead letters; it can be replayed all the same.

    Where we gave it up ourselves that is noted already, or about to be: `given_up` bears being called twice.
    """
    request = REQUESTS.get(fault.queue)
    if (
        request is None
        or not issubclass(request, Command)
        or not work.queue.startswith(f"{request.owner()}.")
    ):
        return
    noted: Noted | None = await work.transaction.look_up((fault.queue, fault.message_id))
    if noted is None or noted.ending is None:
        failed = Failed(f"{request.__name__} lies with the dead letters: {fault.reason}")
        outcome = Outcome("failed", failed.to_json(), b"")
        await work.transaction.conclude([Settled(fault.queue, fault.message_id, fault.actor, outcome)], [])
        if request in GIVEN_UP and fault.body:
            work.attempt = fault.attempts
            with suppress(ValidationError):  # of what never fitted its contract nothing waits
                await GIVEN_UP[request](request.model_validate_json(fault.body), fault.reason, work)
