"""Which letters are meant: the filters that lists, replays and discards have in common."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

State = Literal["open", "pending", "done", "refused", "discarded", "edited"]
"""open: waits for somebody. pending: a replay is on its way. edited: another letter took its place."""


class Choice(BaseModel):
    """Which letters. What is not said does not matter; several at once are all demanded."""

    model_config = ConfigDict(extra="forbid")

    group: str | None = Field(None, description="Of one queue and one cause, as /desk/groups names it.")
    service: str | None = Field(None, examples=["tasks"], description="What its queues begin with.")
    queue: str | None = Field(None, examples=["tasks.create_task"])
    message: str | None = Field(None, examples=["CreateTask"])
    actor: str | None = Field(None, description="The person who asked for it.")
    conversation: str | None = None
    message_id: str | None = None
    since: AwareDatetime | None = Field(None, description="Died then or later.")
    until: AwareDatetime | None = Field(None, description="Died before that.")


class Paged(BaseModel):
    """A page of a list; `cursor` is the `next_cursor` of the page before."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=1000)
    cursor: str | None = None


class ListLetters(Choice, Paged):
    """A page of letters, the one that came first to the desk last."""

    state: State | None = None


class ListGroups(ListLetters):
    """A page of groups, the largest first."""

    state: State | None = "open"
