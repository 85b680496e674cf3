"""Operations: what a person holds of a command that was not answered yet, and can ask about later.

Its id holds all that any replica needs: queue, message id, actor, and when. It is signed and dated
(itsdangerous), so nothing is stored for it, and a made-up one is not found.
"""

import hmac
from dataclasses import dataclass

import orjson
from itsdangerous import BadData, SignatureExpired, Signer, TimestampSigner
from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.signer import SigningAlgorithm

from shared.messages import NotFound, Refusal


class OperationNotFound(NotFound):
    """There is no such operation, or it is not this actor's."""


class OperationExpired(Refusal):
    """The operation is older than its outcome is kept."""

    code = "expired"


@dataclass(frozen=True, slots=True)
class OperationKey:
    """Which command of whom."""

    queue: str
    message_id: str
    actor: str

    @property
    def owner(self) -> str:
        return self.queue.partition(".")[0]


class _Hmac(SigningAlgorithm):
    """itsdangerous's own, by OpenSSL in one call: every command signs, and that took a fifteenth of it."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, "sha1")


class Operations:
    """Makes and reads operation ids."""

    def __init__(self, secret: str, keep_seconds: float):
        key = Signer(secret, salt="operation").derive_key()
        self.signer = TimestampSigner(key, key_derivation="none", algorithm=_Hmac())
        self.keep_seconds = keep_seconds

    def path(self, key: OperationKey) -> str:
        named = base64_encode(orjson.dumps([key.queue, key.message_id, key.actor]))
        return f"/operations/{self.signer.sign(named).decode()}"

    def read(self, operation: str, actor: str) -> OperationKey:
        """Refuses what is forged, broken or another's with `OperationNotFound`, the old with `…Expired`."""
        try:
            named = self.signer.unsign(operation, max_age=int(self.keep_seconds))
            key = OperationKey(*orjson.loads(base64_decode(named)))
        except SignatureExpired:
            raise OperationExpired("What became of this command is no longer kept.") from None
        except BadData:
            raise OperationNotFound("There is no such operation.") from None
        if key.actor != actor:
            raise OperationNotFound("There is no such operation.")
        return key
