"""Composition root of text_worker: settings → stores → handlers → process."""

from functools import partial

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
    sweeping = partial(keep_sweeping, journal, blobs, settings)
    Service("text_worker", "texts", settings, journal, [handlers], blobs, [sweeping]).main()


if __name__ == "__main__":
    main()
