"""Settings of the gateway, from the environment: `GATEWAY_RABBITMQ_URL`, `GATEWAY_HTTP_PORT`, …"""

from secrets import token_hex

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.process import ProcessSettings, shared_setting


class GatewaySettings(ProcessSettings):
    """What the gateway can be told."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    http_port: int = 8000
    secret: SecretStr = Field(default_factory=lambda: SecretStr(token_hex()))
    """Signs operations; the same for all replicas, and kept, or operations end with the process."""
    operation_hours: float = 72
    wait_seconds: float = 5.0
    body_bytes: int = 1024 * 1024
    waiting_requests: int = 1000
    valkey_url: str = shared_setting("VALKEY_URL", "", "^((valkey|redis)s?://.+)?$")
    """Where replicas share what they keep, e.g. `valkey://:password@host:6379/0`; empty: each for itself."""
    cache_seconds: float = Field(30, gt=0, le=30)
    cache_bytes: int = 32 * 1024 * 1024
    """What the cache may take in memory; with 0 every read asks the owner."""
