"""`make demo-texts` against a running system."""

from infra.demo_texts import BOOK, chapters
from tests.demos import demo
from tests.system import Replica
from text_worker.domain.counting import count

CHAPTERS = chapters(BOOK.read_text(encoding="utf-8"))


def test_the_book_has_twelve_chapters_from_their_first_word_to_the_last() -> None:
    texts = list(CHAPTERS.values())

    assert [title.split(".")[0] for title in CHAPTERS] == [
        "I",
        "II",
        "III",
        "IV",
        "V",
        "VI",
        "VII",
        "VIII",
        "IX",
        "X",
        "XI",
        "XII",
    ]
    assert texts[0].startswith("Alice was beginning to get very tired")
    assert texts[1].startswith("'Curiouser and curiouser!' cried Alice")
    assert texts[-1].endswith("THE END")


async def test_each_chapter_is_shown_as_one_process_would_count_it(
    gateway: Replica, text_worker: Replica
) -> None:
    code, output, errors = await demo("infra.demo_texts", gateway.url)

    assert (code, errors) == (0, "")
    assert "12 of 12 chapters" in output
    for title, text in CHAPTERS.items():
        report = count(text, 5)
        line = next(line for line in output.splitlines() if line.strip().startswith(f"{title} "))
        cells = line.removeprefix(f"  {title}").split(maxsplit=4)
        assert cells[:3] == [str(report.words), str(report.unique_words), str(report.sentences)], title
        assert cells[4] == ", ".join(f"{one.word} {one.times}" for one in report.frequencies)


async def test_without_a_system_one_sentence_says_what_to_do() -> None:
    code, output, errors = await demo("infra.demo_texts", "http://127.0.0.1:9")

    assert (code, output) == (1, "")
    assert errors.splitlines() == [
        "The gateway at http://127.0.0.1:9 cannot be reached; is 'make run' running?"
    ]
