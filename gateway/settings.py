"""Settings of the gateway, from the environment: `GATEWAY_RABBITMQ_URL`, `GATEWAY_HTTP_PORT`, …"""

from pydantic_settings import SettingsConfigDict

from shared.process import ProcessSettings


class GatewaySettings(ProcessSettings):
    """What the gateway can be told."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    http_port: int = 8000
    wait_seconds: float = 5.0
    body_bytes: int = 1024 * 1024
    waiting_requests: int = 1000
