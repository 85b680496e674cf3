"""Composition root of waste_service: settings → store → handlers → process."""

from pathlib import Path

from shared.journal_postgresql import PostgresqlJournal
from shared.process import settings_or_exit
from shared.service import Service
from waste_service import handlers
from waste_service.settings import WasteSettings


def main() -> None:
    settings = settings_or_exit(WasteSettings)
    journal = PostgresqlJournal(settings.database_url, Path(__file__).parent / "migrations")
    Service("waste_service", "waste", settings, journal, [handlers]).main()


if __name__ == "__main__":
    main()
