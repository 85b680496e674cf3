"""Lists of waste_service: the person with a small network sees everything at once, nobody gets too much."""

from typing import Annotated, Generic, TypeVar

from pydantic import ConfigDict, Field, StringConstraints

from shared.messages import Message, Page, Query

PageType = TypeVar("PageType", bound=Page)


class WhichPage(Message):
    """Which page of a list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int = Field(100, ge=1, le=1000)
    cursor: Annotated[str, StringConstraints(max_length=500)] | None = Field(
        None, description="From the page before, of the same list."
    )


class PageQuery(WhichPage, Query[PageType], Generic[PageType]):
    """Asks for a page of a list."""
