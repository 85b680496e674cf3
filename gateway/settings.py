"""Settings of the gateway, from the environment: `GATEWAY_RABBITMQ_URL`, `GATEWAY_HTTP_PORT`, …"""

from secrets import token_hex
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.process import ProcessSettings


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
