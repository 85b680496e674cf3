"""Composition root of task_service: settings → store → handlers → process."""

from pathlib import Path

from shared.journal_sql import SqlJournal
from shared.process import settings_or_exit
from shared.service import Service
from task_service import handlers
from task_service.settings import TaskSettings


def main() -> None:
    settings = settings_or_exit(TaskSettings)
    journal = SqlJournal(settings.database_url, Path(__file__).parent / "migrations")
    Service("task_service", "tasks", settings, journal, [handlers]).main()


if __name__ == "__main__":
    main()
