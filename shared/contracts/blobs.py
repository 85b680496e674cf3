"""Claim checks: what is too large for a message waits in the blob store, and the message says where."""

from pydantic import Field

from shared.messages import Answer


class Blob(Answer):
    """Where content waits in the blob store, and how it is known for what was put there.

    `key`: the owner of the command, the command's message id, and the SHA-256 of the content, so that a
    repeat of the command names the same, and from any blob its command can be found.
    """

    key: str = Field(
        pattern=r"^[a-z]{1,30}/[0-9a-f]{32}-[0-9a-f]{64}$", examples=[f"texts/{'0' * 32}-{'0' * 64}"]
    )
    size: int = Field(ge=1, description="In bytes.", examples=[300_000])
    sha256: str = Field(pattern="^[0-9a-f]{64}$", examples=["0" * 64])
