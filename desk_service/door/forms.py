"""What people send to the desk and get from it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field

from desk_service.domain.choice import Choice, State
from shared.messages import Name


class Group(BaseModel):
    """Letters of one queue that failed of one cause."""

    group: str = Field(validation_alias=AliasChoices("cause_group", "group"))
    service: str
    message: str
    queue: str
    cause: str
    letters: int
    first_died_at: datetime
    last_died_at: datetime


class LetterLine(BaseModel):
    """A letter in a list. `died_at`: the last time."""

    id: UUID
    state: State
    service: str
    message: str
    queue: str
    message_id: str
    actor: str
    conversation: str | None
    group: str = Field(validation_alias=AliasChoices("cause_group", "group"))
    reason: str
    attempts: int
    deaths: int
    first_died_at: datetime
    died_at: datetime
    changed_at: datetime
    changed_by: str
    edited_from: UUID | None
    too_old: bool = Field(description="Longer ago than the inbox remembers: nobody knows if it was done.")


class Letter(LetterLine):
    """A letter whole: what it says, how it died each time, and what was done about it."""

    cause: str
    type: str | None
    app_id: str | None
    content_type: str | None
    sent_at: datetime | None
    size_bytes: int
    body: dict[str, Any]
    headers: dict[str, Any]
    died: list[dict[str, Any]]
    replays: list[dict[str, Any]]
    actions: list[dict[str, Any]]
    edited_to: list[UUID]
    same_conversation: list[UUID]


class Action(BaseModel):
    """What somebody did."""

    id: UUID
    at: datetime
    who: str
    what: str
    letter: UUID | None
    ordered: UUID | None
    details: dict[str, Any]


class Groups(BaseModel):
    items: list[Group]
    next_cursor: str | None


class Letters(BaseModel):
    items: list[LetterLine]
    next_cursor: str | None


class Actions(BaseModel):
    items: list[Action]
    next_cursor: str | None


class Order(BaseModel):
    """Replays that were ordered together, and how far they have come."""

    id: UUID
    who: str
    ordered_at: datetime
    what: dict[str, Any]
    rate: float
    total: int
    queued: int = 0
    sending: int = Field(0, description="Being sent; the broker has not confirmed it yet.")
    sent: int = Field(0, description="Sent, and its owner has not brought it to an end yet.")
    done: int = 0
    refused: int = 0
    failed: int = 0
    stopped: int = 0
    left_too_old: int = Field(
        0,
        validation_alias=AliasPath("what", "left_too_old"),
        description="So many fitted, too, and are too old: they are open as before.",
    )
    waiting_since: datetime | None = Field(None, description="When the first of those `sent` was sent.")


class Discarded(BaseModel):
    discarded: int


class Chosen(Choice):
    """One letter, or all open ones that fit; `all` has to be said where nothing else is."""

    letter: UUID | None = None
    all: bool = False


class ReplayForm(Chosen):
    """Have letters sent again. Those that are `too_old` only where that is said, or one by its id."""

    too_old: bool = Field(False, description="Those too; what was done already is done a second time.")
    rate: float = Field(50, gt=0, le=1000, description="Messages a second, at most.")


class DiscardForm(Chosen):
    """Take letters off the desk for good."""

    reason: Name = Field(examples=["The order was placed again by hand"])


class EditForm(BaseModel):
    """What is to be different in the message that takes the letter's place."""

    model_config = ConfigDict(extra="forbid")

    changes: dict[str, Any] | None = Field(None, description="JSON Merge Patch (RFC 7396) to the body.")
    body: str | None = Field(None, description="The whole body instead.")
    headers: dict[Name, str | None] = Field({}, description="Set these; null removes one.")
    queue: Name | None = None


class StopForm(BaseModel):
    """`waiting`: give up waiting for those too that were sent."""

    model_config = ConfigDict(extra="forbid")

    waiting: bool = False
