"""Settings of waste_service, from the environment: `WASTE_DATABASE_URL`, `WASTE_HTTP_PORT`, …"""

from pydantic_settings import SettingsConfigDict

from shared.journal_postgresql_url import PostgresqlUrl
from shared.process import shared_setting
from shared.service import ServiceSettings


class WasteSettings(ServiceSettings):
    """What waste_service can be told."""

    model_config = SettingsConfigDict(env_prefix="WASTE_")

    database_url: PostgresqlUrl = "postgresql://waste_service@127.0.0.1:5432/waste_service"
    http_port: int = shared_setting("HTTP_PORT", "8002", ge=1, le=65_535)
