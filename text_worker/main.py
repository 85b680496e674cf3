"""Composition root of text_worker: settings → stores → handlers → process."""

from shared.blobs import Blobs
from shared.journal_mongo import MongoJournal
from shared.process import settings_or_exit
from shared.service import Service
from text_worker import handlers
from text_worker.migrations import STEPS
from text_worker.settings import TextSettings
from text_worker.store import keep_sweeping


def main() -> None:
    settings = settings_or_exit(TextSettings)
    journal = MongoJournal(settings.database_url, STEPS)
    blobs = Blobs(settings.blobs_url)
    Service(
        "text_worker",
        "texts",
        settings,
        journal,
        [handlers],
        blobs=blobs,
        beside=lambda _: keep_sweeping(journal, blobs, settings),
    ).main()


if __name__ == "__main__":
    main()
