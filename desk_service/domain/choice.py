"""Which letters are meant: the filters that lists, replays and discards have in common."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from desk_service.domain.deaths import text

State = Literal["open", "pending", "done", "refused", "discarded", "edited"]
"""open: waits for somebody. pending: a replay is on its way. edited: another letter took its place."""


Sought = Annotated[str, AfterValidator(text)]
"""In the form in which it would be kept."""


def _in_range(when: datetime) -> datetime:
    if not datetime.min.year < when.year < datetime.max.year:
        raise ValueError("it has to be later than the year 1, and earlier than 9999")
    return when


When = Annotated[AwareDatetime, AfterValidator(_in_range)]


class Choice(BaseModel):
    """Which letters. What is not said does not matter; several at once are all demanded."""

    model_config = ConfigDict(extra="forbid")

    group: Sought | None = Field(None, description="Of one queue and one cause, as /desk/groups names it.")
    service: Sought | None = Field(None, examples=["tasks"], description="What its queues begin with.")
    queue: Sought | None = Field(None, examples=["tasks.create_task"], description="In which it died.")
    message: Sought | None = Field(None, examples=["CreateTask"], description="What its contract is called.")
    actor: Sought | None = Field(None, description="The person who asked for it.")
    conversation: Sought | None = Field(
        None, description="The correlation id that what belongs together has."
    )
    message_id: Sought | None = Field(None, examples=["walk-1"], description="The one that it was sent with.")
    since: When | None = Field(None, description="Died then or later.")
    until: When | None = Field(None, description="Died before that.")


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
