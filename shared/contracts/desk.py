"""The desk: what it drains, and what it says of each message that was given up."""

from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.messages import Event, Raw


class DeadLetter(Raw, queue="dead_letters"):
    """A message that was given up, by the service that broke on it or by the broker."""


class Fault(Event, routing_key="desk.fault", heard_by=("*",)):
    """A message was given up and lies on the desk. Its owner lets the operation read as failed."""

    letter: UUID = Field(description="Under which the desk shows it.")
    queue: str = Field(examples=["tasks.create_task"])
    message_id: str = Field(examples=["walk-1"])
    actor: str = Field(examples=["direct"])
    reason: str = Field(examples=["delivery_limit: whoever took it died or gave it back, time and again"])
    cause: str = Field(
        description="The reason without what differs from message to message.",
        examples=["delivery_limit: whoever took it died or gave it back, time and again"],
    )
    attempts: int
    died_at: AwareDatetime
    body: str | None = Field(
        None,
        description="What it said, where its owner had sent it itself: by that it undoes what waits for it.",
        examples=['{"text": "0199d6c1-11d3-7c0e-8a4f-2b9e5d7c6b01", "run": 1}'],
    )
