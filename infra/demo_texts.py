"""A book through REST, a text for each chapter: hand them in, watch the counting, print what came of it.

Each run hands the book in anew. Ends with 1 when a chapter was not counted.
"""

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from infra.demo_frame import Gateway, Problem, run, table
from shared.contracts.texts import Report, TextJob

BOOK = Path(__file__).parent / "cases" / "alice.txt"
CHAPTER = re.compile(r"^CHAPTER (?P<number>[IVX]+)\. (?P<title>.+)$", re.MULTILINE)
LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 120


def chapters(book: str) -> dict[str, str]:
    """Each chapter's text by its number and title; what stands before the first is no chapter."""
    heads = list(CHAPTER.finditer(book))
    ends = [head.start() for head in heads[1:]] + [len(book)]
    return {
        f"{head['number']}. {head['title']}": book[head.end() : end].strip()
        for head, end in zip(heads, ends, strict=True)
    }


def hand_in(gateway: Gateway, title: str, text: str) -> str:
    """The address of the text."""
    answer = gateway.post("/texts", {"title": title, "text": text, "top": 5})
    address = answer.headers["location"]
    if not address.startswith("/texts/"):
        raise Problem(f"The texts are slow to be taken; look at {address}, and at 'make status'.")
    return str(address)


def watch(gateway: Gateway, addresses: Sequence[str]) -> list[TextJob]:
    """The jobs, once all of them have ended."""
    ended: dict[str, TextJob] = {}
    patience = time.monotonic() + PATIENCE_SECONDS
    while len(ended) < len(addresses):
        for address in addresses:
            if address not in ended and (job := gateway.get(address, TextJob)).ended_at:
                ended[address] = job
                say_how_far(len(ended), len(addresses))
        if time.monotonic() > patience:
            raise Problem(
                f"{len(ended)} of {len(addresses)} were counted in {PATIENCE_SECONDS} s; see 'make logs'."
            )
        time.sleep(LOOK_SECONDS)
    return [ended[address] for address in addresses]


def say_how_far(ended: int, of: int) -> None:
    """One line that grows on a terminal, a line a chapter elsewhere."""
    bar = "█" * ended + "░" * (of - ended)
    terminal = sys.stdout.isatty()
    print(f"{bar} {ended} of {of} chapters", end="\r" if terminal and ended < of else "\n", flush=True)


def line(gateway: Gateway, job: TextJob) -> Sequence[object]:
    if job.status != "done":
        return (job.title, job.status, "", "", "", job.reason or "")
    report = gateway.get(f"/texts/{job.id}/report", Report)
    reading = f"{report.reading_seconds // 60}:{report.reading_seconds % 60:02}"
    most = ", ".join(f"{one.word} {one.times}" for one in report.frequencies)
    return (job.title, report.words, report.unique_words, report.sentences, reading, most)


def demo(gateway: Gateway) -> int:
    texts = chapters(BOOK.read_text(encoding="utf-8"))
    addresses = [hand_in(gateway, title, text) for title, text in texts.items()]
    jobs = watch(gateway, addresses)
    head = ("chapter", "words", "unique", "sentences", "reading", "most frequent")
    print(table("\nAlice's Adventures in Wonderland", head, [line(gateway, job) for job in jobs]))
    return 0 if all(job.status == "done" for job in jobs) else 1


if __name__ == "__main__":
    run(demo)
