"""Settings of task_service, from the environment: `TASK_DATABASE_URL`, `TASK_HTTP_PORT`, …"""

from pydantic_settings import SettingsConfigDict

from shared.service import ServiceSettings


class TaskSettings(ServiceSettings):
    """What task_service can be told."""

    model_config = SettingsConfigDict(env_prefix="TASK_")

    database_url: str = "postgresql://task_service@127.0.0.1:5432/task_service"
    http_port: int = 8001
