"""What has become of a command that was not waited for."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import AwareDatetime, BaseModel

from gateway.asking import Ask
from gateway.errors import RETRY_SECONDS, problem_of
from gateway.openapi import problems
from gateway.reading import address_in
from shared.contracts.operations import Operation
from shared.messages import REQUESTS, Command, Refusal

router = APIRouter(prefix="/operations", tags=["operations"])

OperationId = Annotated[
    str, Path(description="From the `Link` or `Location` of a command's answer.", examples=["WyJ0YXNrcy5j…"])
]


class OperationView(BaseModel):
    """An operation: `answer` and `location` once it is done, `problem` once it was refused or given up."""

    state: Literal["waiting", "retrying", "done", "refused", "failed"]
    attempt: int
    next_attempt_at: AwareDatetime | None = None
    last_error: str | None = None
    answer: Any = None
    location: str | None = None
    problem: dict[str, Any] | None = None


@router.get(
    "/{operation}",
    summary="Ask what has become of a command",
    response_model_exclude_none=True,
    responses=problems("not_found", "expired"),
)
async def get_operation(operation: OperationId, ask: Ask, response: Response) -> OperationView:
    key, found = await ask.operation(operation)
    if found.state in {"waiting", "retrying"}:
        response.headers["retry-after"] = str(RETRY_SECONDS)
    return view(key.queue, found)


def view(queue: str, found: Operation) -> OperationView:
    command = REQUESTS.get(queue)
    gone = command is not None and issubclass(command, Command) and command.removes
    done = found.state == "done"
    given_up = found.state in {"refused", "failed"}
    return OperationView(
        state=found.state,
        attempt=found.attempt,
        next_attempt_at=found.next_attempt_at,
        last_error=found.last_error or None,
        answer=found.answer if done else None,
        location=(address_in(queue, found.answer) or None) if done and not gone else None,
        problem=problem_of(Refusal.from_fields(found.answer)) if given_up else None,
    )
