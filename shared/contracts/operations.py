"""Operations: what has become of a command, asked of its owner by message id.

Every service with commands answers this from its inbox, in the queue `owner.get_operation`.
"""

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from shared.messages import Answer, Query


class Operation(Answer):
    """How far a command has come.

    waiting: not yet begun, or never received. retrying: it broke and is tried again. failed: given up, it
    lies with the dead letters. done and refused: as it was answered.
    """

    state: Literal["waiting", "retrying", "done", "refused", "failed"] = Field(examples=["done"])
    attempt: int = 1
    next_attempt_at: AwareDatetime | None = None
    last_error: str = ""
    versions: dict[str, int] | None = Field(
        default_factory=dict,
        description="What else it brought to a new version, by address; null: too much to tell.",
        examples=[{}],
    )
    answer: Any = Field(None, examples=[{"id": "0199d6c0-5c1e-7a53-9c1b-8f2f6f0e4b11", "title": "Buy milk"}])


class GetOperation(Query[Operation], queue="*.get_operation"):
    """Ask the owner of a command what has become of it."""

    command_queue: str = Field(examples=["tasks.create_task"])
    message_id: str = Field(examples=["walk-1"])
