"""Settings of the gateway, from the environment: `GATEWAY_RABBITMQ_URL`, `GATEWAY_HTTP_PORT`, …"""

from secrets import token_hex
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from shared.blobs import BlobsUrl
from shared.process import ProcessSettings, shared_setting

KIB = 1024


class GatewaySettings(ProcessSettings):
    """What the gateway can be told."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    secret: SecretStr = Field(default_factory=lambda: SecretStr(token_hex()))
    """Signs operations; the same for all replicas, and kept, or operations end with the process."""
    valkey_url: str = shared_setting("VALKEY_URL", "", "^((valkey|redis)s?://.+)?$")
    """Where replicas share what they keep, e.g. `valkey://:password@host:6379/0`; empty: each for itself."""
    cache_seconds: float = Field(30, gt=0, le=30)
    """How long a copy may be served, counted from when its owner was asked."""
    cache_bytes: int = 32 * 1024 * 1024
    """What the cache may take in memory; with 0 every read asks the owner."""
    operation_hours: float = Field(48, ge=0, le=8760)
    """No more than the services' inbox hours less 24: a repeat within its key's life makes a new link."""
    wait_seconds: float = Field(5.0, gt=0, le=3600)
    """For an answer, before it is 202."""
    longest_wait_seconds: int = Field(30, ge=1, le=3600)
    """What `Prefer: wait=n` can ask for."""
    request_seconds: float = Field(35.0, gt=0, le=7200)
    """From a request's head to its answer, its body included."""
    url_bytes: int = Field(8 * KIB, ge=KIB, le=64 * KIB)
    """Path and query. The server itself refuses 64 KiB of URL, 408 KiB of head and more than 100 headers."""
    header_bytes: int = Field(16 * KIB, ge=KIB, le=256 * KIB)
    """Names and values of all headers together."""
    body_bytes: int = Field(KIB * KIB, ge=KIB, le=64 * KIB * KIB)
    """A request's body, anywhere but where texts are handed in.

    In containers NGINX refuses what is over 2 MiB.
    """
    text_body_bytes: int = Field(16 * KIB * KIB, ge=KIB, le=64 * KIB * KIB)
    """Where texts are handed in: JSON that escapes all letters but ASCII is three times as long, no more.

    In containers NGINX refuses what is over 18 MiB.
    """
    large_bodies: int = Field(4, ge=1, le=1000)
    """Bodies over `body_bytes` in hand at a time; each takes up to 100 MiB until it is answered."""
    blobs_url: BlobsUrl = shared_setting("BLOBS_URL", "")
    """Where large texts are kept: `file:///folder`, `s3://bucket/prefix`, `gs://…` or `az://…`."""
    json_depth: int = Field(32, ge=4, le=200)
    """Nesting of JSON that is taken."""
    list_items: int = Field(100, ge=1, le=100_000)
    """In any array of a body, and values of one query parameter."""
    compressed_bytes: int = Field(KIB, ge=0)
    """Answers from this size on are compressed for clients that take gzip."""
    waiting_requests: int = Field(1000, ge=1, le=100_000)
    """Requests of a process that wait for answers."""

    @field_validator("valkey_url")
    @classmethod
    def _known_to_the_driver(cls, url: str) -> str:
        try:
            if url:
                Valkey.from_url(url).connection_pool.make_connection()
        except (TypeError, ValueError, ValkeyError):
            raise ValueError(
                "it has to be valkey://:password@host:6379/0, valkeys://… for TLS, with ?ssl_ca_certs=/path "
                "for an authority of your own"
            ) from None
        return url

    @field_validator("request_seconds")
    @classmethod
    def _longer_than_any_wait(cls, seconds: float, info: ValidationInfo) -> float:
        longest = max(info.data.get("wait_seconds", 0), info.data.get("longest_wait_seconds", 0))
        if seconds <= longest:
            raise ValueError(f"a request must be given longer than the {longest:g} s that it may wait")
        return seconds

    management_url: str = Field("", pattern="^(https?://.+)?$")
    """Where people reach RabbitMQ's management page; without it `/docs/queues` has no links to it."""

    @property
    def broker_host(self) -> str:
        """Host and port of the broker, for readers."""
        return urlsplit(self.rabbitmq_url).netloc.rpartition("@")[2]

    @property
    def virtual_host(self) -> str:
        """Where the queues are; a URL without one means the virtual host `/`."""
        return unquote(urlsplit(self.rabbitmq_url).path[1:]) or "/"
