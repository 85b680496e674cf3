"""Composition root of task_service: settings → store → handlers → process."""

from pathlib import Path

from shared.journal_postgresql import PostgresqlJournal
from shared.journal_sqlite import SqliteJournal
from shared.process import settings_or_exit
from shared.service import Service
from task_service import handlers
from task_service.settings import TaskSettings


def main() -> None:
    settings = settings_or_exit(TaskSettings)
    form = SqliteJournal if settings.database_url.startswith("sqlite") else PostgresqlJournal
    journal = form(settings.database_url, Path(__file__).parent / "migrations")
    Service("task_service", "tasks", settings, journal, [handlers]).main()


if __name__ == "__main__":
    main()
