"""Texts: what text_worker hears, answers and says.

A text that is handed in becomes a job; its counting is a message too, in a queue where people see it wait. Of
one person's jobs at most 50 wait in `texts.process_text`, the others in
`texts.process_text_bulk`. Until people have identities, all who come through REST are one person.
"""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from shared.contracts.blobs import Blob
from shared.messages import (
    Answer,
    BadCursor,
    Command,
    Event,
    Name,
    NotFound,
    Page,
    Query,
    Refusal,
    Resource,
)

Status = Literal["queued", "running", "done", "failed", "cancelled"]

TextId = Annotated[UUID, Field(examples=["0199d6c1-11d3-7c0e-8a4f-2b9e5d7c6b01"])]

TEXT_BYTES = 5_000_000
INLINE_BYTES = 256 * 1024
"""Larger ones are kept in the blob store, and the broker carries where."""


def _at_most(most: int) -> AfterValidator:
    def check(text: str) -> str:
        if len(text) * 4 > most and (size := len(text.encode())) > most:
            raise PydanticCustomError(
                "too_many_bytes",
                "It has {size} bytes of UTF-8, and at most {most} are taken",
                {"size": size, "most": most},
            )
        return text

    return AfterValidator(check)


def _with_something_in_it(text: str) -> str:
    if "\x00" in text:
        raise PydanticCustomError("holds_nul", "It holds a NUL character; leave it out")
    if not text.strip():
        raise PydanticCustomError("blank", "It is empty, or holds nothing but white space")
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can escape what no text holds
        raise PydanticCustomError("lone_surrogate", "It holds half of a surrogate pair") from None
    return text


Content = Annotated[
    str,
    AfterValidator(_with_something_in_it),
    Field(json_schema_extra={"pattern": r"^[^\x00]*[^\s\x00][^\x00]*$"}, examples=["To be, or not to be."]),
    _at_most(TEXT_BYTES),
]
"""A text with something in it, of at most 5,000,000 bytes of UTF-8, without NUL."""

InlineContent = Annotated[Content, _at_most(INLINE_BYTES)]


def _one_of_ours(blob: Blob) -> Blob:
    if not blob.key.startswith("texts/"):
        raise PydanticCustomError("not_a_text", "The blob is another owner's")
    if blob.size > TEXT_BYTES:
        raise PydanticCustomError("too_many_bytes", "At most {most} bytes are taken", {"most": TEXT_BYTES})
    return blob


TextBlob = Annotated[Blob, AfterValidator(_one_of_ours)]
"""Owners share the blob store: nobody has another's read or removed here."""

Title = Annotated[Name | None, Field(examples=["Hamlet, 3.1"])]

Top = Annotated[
    int, Field(ge=1, le=1000, description="How many of the most frequent words to list.", examples=[20])
]


class TextNotFound(NotFound):
    """There is no text with that id."""


class NotDone(Refusal):
    """The text has no report, as it was not counted yet, failed or was cancelled."""

    code = "not_done"


class AlreadyEnded(Refusal):
    """What is done, failed or cancelled cannot be cancelled any more."""

    code = "already_ended"


class StillUnderWay(Refusal):
    """What waits or runs cannot be run again before it has ended."""

    code = "still_under_way"


class NotTrusted(Refusal):
    """Only the system's own processes name blobs: whoever names one could read or remove another's text."""

    code = "not_trusted"


class TextJob(Resource, path="/texts/{id}"):
    """A text that was handed in, and how far its counting has come.

    Running: once it has taken more than a second. `attempts`: of the last run, as known at its end.
    """

    title: str = Field("", examples=["Hamlet, 3.1"])
    top: int = 20
    status: Status = "queued"
    reason: str | None = Field(None, description="Why it failed.")
    run: int = Field(1, description="How often it was handed in: once, and each time it was run again.")
    attempts: int = 0
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None


class TextJobs(Page):
    """Texts of a list, the latest first."""

    items: list[TextJob]


class SubmitText(Command[TextJob], queue="texts.submit_text", refusals=(NotTrusted,)):
    """Hand a text in, to have its words, sentences and characters counted.

    It holds up to 262,144 bytes of UTF-8; `POST /texts` takes up to 5,000,000 and sends a `blob` instead.
    """

    text: InlineContent | None = Field(None, examples=["To be, or not to be."])
    blob: TextBlob | None = Field(None, description="Where a larger text waits; only the gateway names it.")
    title: Title = None
    top: Top = 20

    @model_validator(mode="after")
    def _has_one_content(self) -> Self:
        if (self.text is None) == (self.blob is None):
            raise PydanticCustomError("one_content", "Give the text, or else a blob")
        return self


class CancelText(Command[TextJob], queue="texts.cancel_text", refusals=(TextNotFound, AlreadyEnded)):
    """Cancel what has not ended."""

    text: TextId


class RunTextAgain(Command[TextJob], queue="texts.run_text_again", refusals=(TextNotFound, StillUnderWay)):
    """Count a text once more, whatever the last run came to."""

    text: TextId


class RemoveText(Command[TextJob], queue="texts.remove_text", refusals=(TextNotFound,), removes=True):
    """Remove a text with its report. What is under way is not stopped, and comes to nothing."""

    text: TextId


class RemoveBlob(Command[Blob], queue="texts.remove_blob", refusals=(NotTrusted,)):
    """Remove a blob unless a text refers to it. Sent by text_worker itself, for what was removed."""

    blob: TextBlob


class ProcessText(Command[TextJob], queue="texts.process_text"):
    """Count one text, unless it was removed. Sent by text_worker itself, from what it has stored."""

    text: TextId
    run: int = 1


class ProcessTextBulk(Command[TextJob], queue="texts.process_text_bulk"):
    """Count one of very many texts of one person."""

    text: TextId
    run: int = 1


class StartText(Command[TextJob], queue="texts.start_text", refusals=(TextNotFound,)):
    """Note that the counting of a text takes longer than a second. Sent by text_worker itself."""

    text: TextId
    run: int = 1


class GetText(Query[TextJob], queue="texts.get_text", refusals=(TextNotFound,)):
    """Ask how far a text has come."""

    text: TextId


class ListTexts(Query[TextJobs], queue="texts.list_texts", refusals=(BadCursor,)):
    """List the texts, the latest first."""

    status: Status | None = None
    limit: int = Field(20, ge=1, le=100)
    cursor: Annotated[str, StringConstraints(max_length=500)] | None = Field(
        None, description="From the page before, with the same filter."
    )


class Frequency(Answer):
    """A word, folded to one case, and how often the text has it."""

    word: str = Field(examples=["be"])
    times: int


class Report(Answer):
    """What a text consists of. Words, sentences and characters are those of Unicode (UAX #29)."""

    words: int = Field(description="Numbers too; `don't` and `3.14` are one word, `e-mail` is two.")
    unique_words: int = Field(description="Words that differ in more than their case.")
    sentences: int
    paragraphs: int = Field(description="Separated by blank lines.")
    lines: int = Field(description="Blank ones too.")
    characters: int = Field(description="As people see them: an emoji or a letter with its accents is one.")
    characters_without_spaces: int = Field(description="Without white space of any kind.")
    average_word_length: float = Field(
        description="Characters a word, to two places; 0 without words.", examples=[2.86]
    )
    average_sentence_length: float = Field(
        description="Words a sentence, to two places; 0 without words.", examples=[10.0]
    )
    reading_seconds: int = Field(description="Silently, at 238 words a minute.")
    frequencies: tuple[Frequency, ...] = Field(
        description="The most frequent words first, those of one frequency by code points."
    )


class GetReport(Query[Report], queue="texts.get_report", refusals=(TextNotFound, NotDone)):
    """Read what was counted."""

    text: TextId


class TextSubmitted(Event, routing_key="texts.text_submitted"):
    """A text was handed in, or is to be counted again."""

    job: TextJob


class TextStarted(Event, routing_key="texts.text_started"):
    """The counting of a text has taken more than a second."""

    job: TextJob


class TextProcessed(Event, routing_key="texts.text_processed"):
    """A text was counted; its report is there."""

    job: TextJob


class TextFailed(Event, routing_key="texts.text_failed"):
    """A text could not be counted, for the reason in it."""

    job: TextJob


class TextCancelled(Event, routing_key="texts.text_cancelled"):
    """A text is not to be counted any more."""

    job: TextJob


class TextRemoved(Event, routing_key="texts.text_removed"):
    """A text is gone, with its report. The version is newer than all it had before."""

    job: TextJob
