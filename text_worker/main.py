"""Composition root of text_worker: settings → store → handlers → process."""

from shared.journal_mongo import MongoJournal
from shared.process import settings_or_exit
from shared.service import Service
from text_worker import handlers
from text_worker.migrations import STEPS
from text_worker.settings import TextSettings


def main() -> None:
    settings = settings_or_exit(TextSettings)
    journal = MongoJournal(settings.database_url, STEPS)
    Service("text_worker", "texts", settings, journal, [handlers]).main()


if __name__ == "__main__":
    main()
