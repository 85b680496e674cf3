"""What a command, a query, an event and a refusal are: the grammar of the system's language.

Contracts (`shared/contracts/<owner>.py`) are written in it. Whatever has a name on the wire (a queue, a
routing key, a code) gets it here, once, where its class is declared.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from uuid import UUID

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
)
from pydantic_core import CoreSchema
from uuid_utils.compat import uuid7

from shared.kinds import is_a


@dataclass(frozen=True)
class Format:
    """Names a form of text in JSON schemas instead of its pattern: few readers know classes of characters."""

    name: str

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        described = handler(schema)
        described.pop("pattern", None)
        return described | {"format": self.name}


Name = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$"
    ),
    Format("line"),
]
"""One line of visible text, 1-200 characters: no control or format characters (Unicode's Cc, Cf, Zl, Zp).

PostgreSQL's text cannot hold NUL, and what nobody sees must not tell two names apart.
"""

Number = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""An exact decimal inside; a JSON number outside. A double holds 15 significant digits exactly (IEEE 754)."""

MOST_BYTES = 16 * 1024 * 1024
"""Of a body: RabbitMQ 4 takes no more by itself, and ends the channel of whoever tries."""


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562): unique without asking anybody, and sorted by time."""
    return uuid7()


class Refusal(Exception):
    """A rule of the domain said no. Ends the message: nothing is changed, nothing is tried again.

    `code` is stable and for programs, the message is for people and says what to do.
    """

    code: ClassVar[str] = "refused"
    repeated = False

    def __init__(self, message: str, *, code: str | None = None, errors: list[dict[str, str]] | None = None):
        super().__init__(message)
        self.message = message
        self.errors = errors or []
        if code is not None:
            self.code = code  # type: ignore[misc]  # an answer from elsewhere brings its own

    def to_json(self) -> bytes:
        return orjson.dumps({"code": self.code, "message": self.message, "errors": self.errors})

    @classmethod
    def from_json(cls, body: bytes) -> "Refusal":
        return cls.from_fields(orjson.loads(body))

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "Refusal":
        return cls(fields["message"], code=fields["code"], errors=fields["errors"])


class NotFound(Refusal):
    """There is nothing under that id or name."""

    code = "not_found"


class Invalid(Refusal):
    """The message does not fit its contract; `errors` names each field and what is wrong with it."""

    code = "invalid"


class ChangedMeanwhile(Refusal):
    """It is not at the version that the command was meant for: look it up again, then decide."""

    code = "changed_meanwhile"


class BadCursor(Refusal):
    """The cursor is not one that this list gave for these filters and this order."""

    code = "bad_cursor"


class MessageIdReused(Refusal):
    """The message id was used before for a command with other content."""

    code = "message_id_reused"


class Unavailable(Refusal):
    """The owner cannot be asked at the moment; nothing is known to have happened."""

    code = "unavailable"


class Failed(Refusal):
    """The owner broke on the message and gave it up; a command lies with the dead letters."""

    code = "failed"


class Message(BaseModel):
    """The root of what travels. What a class is declared with goes to pydantic's hook alone."""

    model_config = ConfigDict(frozen=True, cache_strings="keys")  # else 16,384 values are kept when read

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__()

    def to_json(self) -> bytes:
        """As it travels. ValueError for what is larger than every broker takes, which would wait for good."""
        body = self.__pydantic_serializer__.to_json(self, by_alias=True)  # as bytes, which no method gives
        if len(body) > MOST_BYTES:
            raise ValueError(f"{type(self).__name__} is {len(body)} bytes and may be {MOST_BYTES}.")
        return body


class Answer(Message):
    """What a command or query is answered with. Readers ignore fields they do not know."""

    model_config = ConfigDict(extra="ignore")


class Resource(Answer):
    """An answer with an address of its own: the same `id` there for good, a higher `version` at each change.

    The owner says every new version in an event, so that whoever keeps copies knows the old ones for old.
    """

    path: ClassVar[str]
    id: UUID
    version: int

    @classmethod
    def __pydantic_init_subclass__(cls, *, path: str = "", **kwargs: Any) -> None:
        """`path`: the form of its address, e.g. `/tasks/{id}`."""
        super().__pydantic_init_subclass__(**kwargs)
        cls.path = path

    @classmethod
    @lru_cache(16)  # of who is at work just now: what stays from a burst keeps its heap from going back
    def address_of(cls, id: object) -> str:  # noqa: A002
        return cls.path.format(id=id)


class Page(Answer):
    """Part of a list. The same query with `next_cursor` as its cursor brings what follows; null: nothing."""

    next_cursor: str | None = None


AnswerType = TypeVar("AnswerType", bound=Answer)


class Request(Message, Generic[AnswerType]):
    """A command or a query: it has one owner, one queue named `owner.verb_noun`, and an answer type."""

    model_config = ConfigDict(extra="forbid")

    queue: ClassVar[str]
    answer: ClassVar[type[Answer]]
    refusals: ClassVar[tuple[type[Refusal], ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(
        cls,
        *,
        queue: str = "",
        refusals: tuple[type[Refusal], ...] = (),
        **kwargs: Any,
    ) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if not queue:
            return
        cls.queue = queue
        cls.refusals = refusals
        cls.answer = next(
            base.__pydantic_generic_metadata__["args"][0]
            for base in cls.__mro__[1:]
            if issubclass(base, BaseModel) and base.__pydantic_generic_metadata__["args"]
        )
        REQUESTS[queue] = cls

    @classmethod
    def owner(cls) -> str:
        return cls.queue.partition(".")[0]


class Command(Request[AnswerType], Generic[AnswerType]):
    """Asks its owner to change something. Accepted means: exactly one effect, whatever dies on the way."""

    removes: ClassVar[bool] = False

    @classmethod
    def __pydantic_init_subclass__(cls, *, removes: bool = False, **kwargs: Any) -> None:
        """`removes`: the resource that it is answered with is gone by then."""
        super().__pydantic_init_subclass__(**kwargs)
        cls.removes = removes


def _several(value: object) -> object:
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else value


class Conditional(Message):
    """What a command also is that may be meant for some versions only; else `ChangedMeanwhile`.

    `demands_version`: over HTTP it is refused without If-Match (RFC 6585, 428), since it would undo what
    somebody else has changed meanwhile. A message typed by hand means what is there now, unless it says more.
    """

    demands_version: ClassVar[bool] = False

    expected_version: Annotated[
        tuple[int, ...],
        Field(max_length=100),
        BeforeValidator(_several, json_schema_input_type=int | tuple[int, ...] | None),
    ] = Field((), description="Refused if the version is none of these by now; a number alone will do.")


class Query(Request[AnswerType], Generic[AnswerType]):
    """Asks its owner what is. Lost when nobody answers in time; never repeated by the system."""


class Event(Message):
    """Says what happened. One publisher; `heard_by` lists who has a queue for it, `*` being every owner."""

    model_config = ConfigDict(extra="ignore")

    routing_key: ClassVar[str]
    heard_by: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(
        cls, routing_key: str = "", heard_by: tuple[str, ...] = (), **kwargs: Any
    ) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.routing_key = routing_key
        cls.heard_by = heard_by
        EVENTS[routing_key] = cls

    @classmethod
    def queue_of(cls, consumer: str) -> str:
        """The queue in which `consumer` hears this event, e.g. `chat.on.identity.user_removed`."""
        return f"{consumer}.on.{cls.routing_key}"

    def versions(self) -> dict[str, int]:
        """What it tells a new version of: resources by address, with that version."""
        resources = [value for value in vars(self).values() if is_a(value, Resource)]
        return {resource.address_of(resource.id): resource.version for resource in resources}


class Raw(Message):
    """A message as it lies in a queue that is no contract's: its body may be anything at all.

    It is never refused, answered or given up: one whose handler breaks stays in its queue.
    """

    queue: ClassVar[str]
    body: bytes
    headers: dict[str, Any]
    properties: dict[str, Any]

    @classmethod
    def __pydantic_init_subclass__(cls, *, queue: str = "", **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.queue = queue


REQUESTS: dict[str, type[Request[Any]]] = {}
"""Every command and query that has been declared, by queue."""
EVENTS: dict[str, type[Event]] = {}
"""Every event that has been declared, by routing key."""


class CommandRefused(Event, routing_key="*.command_refused"):
    """A command was refused and nobody waited for the answer. `*` is the owner of the command."""

    queue: str = Field(examples=["tasks.complete_task"])
    message_id: str = Field(examples=["walk-1"])
    code: str = Field(examples=["not_found"])
    message: str = Field(examples=["There is no task 0199d6c0-5c1e-7a53-9c1b-8f2f6f0e4b11."])
    errors: list[dict[str, str]] = []
