"""Settings of desk_service, from the environment: `DESK_DATABASE_URL`, `DESK_HTTP_PORT`, …"""

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.journal_postgresql_url import PostgresqlUrl
from shared.process import shared_setting
from shared.service import ServiceSettings


class DeskSettings(ServiceSettings):
    """What desk_service can be told."""

    model_config = SettingsConfigDict(env_prefix="DESK_")

    database_url: PostgresqlUrl = "postgresql://desk_service@127.0.0.1:5432/desk_service"
    http_host: Literal["127.0.0.1"] = "127.0.0.1"  # until tokens exist: whoever reaches it may do anything
    http_port: int = shared_setting("HTTP_PORT", "8004", ge=1, le=65_535)
    keep_days: float = Field(90, gt=0)
    """For letters that are at their end, and the record of who did what about them; what is open is kept."""
    sweep_seconds: float = Field(3600, gt=0)
    """How often what was kept long enough is looked for."""
