"""Settings of text_worker, from the environment: `TEXT_DATABASE_URL`, `TEXT_PLACES`, …"""

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from shared.blobs import BlobsUrl
from shared.process import shared_setting
from shared.service import ServiceSettings

FILES = {"tlscafile", "tlscertificatekeyfile"}
WITH_DATABASE = re.compile(r"mongodb(\+srv)?://([^@:/]+(:[^@:/]*)?@)?[^@/?]+/[^/?]+(\?.*)?")


class TextSettings(ServiceSettings):
    """What text_worker can be told."""

    model_config = SettingsConfigDict(env_prefix="TEXT_")

    database_url: str = "mongodb://127.0.0.1:27017/text_worker"
    http_port: int = shared_setting("HTTP_PORT", "8003", ge=1, le=65_535)
    retry_seconds: tuple[int, ...] = (1, 10)
    """What is wrong with a text is wrong with it later too."""

    blobs_url: BlobsUrl = shared_setting("BLOBS_URL", "")
    """The same as the gateway's."""
    blob_hours: float = Field(24, ge=0)
    """How long a blob is left alone: longer than any request takes, and clocks differ."""
    sweep_seconds: float = Field(3600, gt=0)
    """How often blobs that nobody refers to are looked for."""

    @field_validator("database_url")
    @classmethod
    def _names_a_database(cls, url: str) -> str:
        if not WITH_DATABASE.fullmatch(url):
            raise ValueError(
                "it has to be mongodb://user:password@host:port/database?replicaSet=name, with %40 for an @ "
                "in the password"
            )
        for name, file in parse_qsl(urlsplit(url).query):
            if name.lower() in FILES and not Path(file).is_file():
                raise ValueError(f"the file that {name} names is not there")
        return url
