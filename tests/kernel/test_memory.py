"""What a burst took is given back, and what people wrote is not kept by those who only read it."""

import platform
from pathlib import Path

import pytest

from shared.contracts.tasks import CreateTask
from shared.process import tidy

BLOCK, BLOCKS = 40_000, 1_000


def heap_in_memory() -> int:
    """Bytes."""
    for mapping in Path("/proc/self/smaps").read_text().split("VmFlags")[:-1]:
        if "[heap]" in mapping:
            return int(mapping.split("Rss:")[1].split()[0]) * 1024
    raise AssertionError("there is no heap")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heap is another library's")
def test_what_is_free_in_the_midst_of_the_heap_goes_back_when_a_process_tidies() -> None:
    tidy()
    blocks = [bytes([1]) * BLOCK for _ in range(BLOCKS)]
    del blocks[:-1]  # the last one keeps the end of the heap where it is
    before = heap_in_memory()

    tidy()

    assert before - heap_in_memory() > BLOCK * BLOCKS / 2


def test_no_title_is_kept_by_what_reads_it() -> None:
    first, second = (CreateTask.model_validate_json(b'{"title": "read twice"}') for _ in range(2))

    assert first.title is not second.title
