"""Composition root of desk_service: settings → store → handlers, door and replays → process."""

from datetime import timedelta
from pathlib import Path

from desk_service import handlers
from desk_service.door.routes import desk_door
from desk_service.replaying import Replaying
from desk_service.settings import DeskSettings
from shared.journal_postgresql import PostgresqlJournal
from shared.process import settings_or_exit
from shared.service import Service
from shared.topology import load_contracts


def main() -> None:
    settings = settings_or_exit(DeskSettings)
    load_contracts()
    journal = PostgresqlJournal(settings.database_url, Path(__file__).parent / "migrations")
    Service(
        "desk_service",
        "desk",
        settings,
        journal,
        [handlers],
        door=desk_door(journal, timedelta(hours=settings.inbox_hours)),
        beside=Replaying(journal, settings).run,
    ).main()


if __name__ == "__main__":
    main()
