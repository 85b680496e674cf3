"""Operations: what has become of a command, asked of its owner by message id.

Every service with commands answers this from its inbox, in the queue `owner.get_operation`.
"""

from typing import Any, Literal

from pydantic import AwareDatetime

from shared.messages import Answer, Query


class Operation(Answer):
    """How far a command has come.

    waiting: not yet begun, or never received. retrying: it broke and is tried again. failed: given up, it
    lies with the dead letters. done and refused: as it was answered.
    """

    state: Literal["waiting", "retrying", "done", "refused", "failed"]
    attempt: int = 1
    next_attempt_at: AwareDatetime | None = None
    last_error: str = ""
    answer: Any = None


class GetOperation(Query[Operation], queue="*.get_operation"):
    """Ask what has become of a command. `*` is the owner of the command."""

    command_queue: str
    message_id: str
