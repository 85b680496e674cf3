"""A text_worker's store, migrated, and its handlers on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.local.servers import Servers
from shared.journal_mongo import MongoJournal
from tests.kernel.test_journal import a_journal
from tests.running import Running
from text_worker import handlers
from text_worker.migrations import STEPS


@pytest.fixture
async def journal(servers: Servers, tmp_path: Path) -> AsyncIterator[MongoJournal]:
    async with a_journal("mongodb", servers, tmp_path) as journal:
        assert isinstance(journal, MongoJournal)
        for step in STEPS.values():
            await step(journal.database)
        yield journal


@pytest.fixture
def worker(journal: MongoJournal) -> Running:
    return Running(journal, handlers)
