"""Settings of task_service, from the environment: `TASK_DATABASE_URL`, `TASK_HTTP_PORT`, …"""

import re

from pydantic import field_validator
from pydantic_settings import SettingsConfigDict

from shared.journal_postgresql_url import address_and_tls
from shared.process import shared_setting
from shared.service import ServiceSettings

STORES = re.compile(r"postgres(ql)?(\+asyncpg)?://.*|sqlite(\+aiosqlite)?://(/(?!file:)[^?]+)?")


class TaskSettings(ServiceSettings):
    """What task_service can be told."""

    model_config = SettingsConfigDict(env_prefix="TASK_")

    database_url: str = "postgresql://task_service@127.0.0.1:5432/task_service"
    http_port: int = shared_setting("HTTP_PORT", "8001", ge=1, le=65_535)

    @field_validator("database_url")
    @classmethod
    def _known(cls, url: str) -> str:
        if not STORES.fullmatch(url):
            raise ValueError(
                "write postgresql://user:password@host:port/database, sqlite+aiosqlite:///path/to/file, "
                "or sqlite+aiosqlite:// for memory"
            )
        if not url.startswith("sqlite"):
            address_and_tls(url)
        return url
