"""Counting against people, against a second implementation, and by properties."""

import pickle
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unicode_segmentation_rs import graphemes

from shared.contracts.texts import Frequency, Report
from text_worker.domain.counting import count
from text_worker.tests.second_count import counted_again

odd = st.sampled_from(
    "aZ19йЁß\u0130\u01c5'’\".,:;!?…-_()«» \t\n\r\v\f\x00\x1c\x85\xad\u2028\u2029\u200b\u200c\u200d"
    "\u0301\u0315\u0323\u0345éẗᾂΣςא״אاक्षि①½²€😀👩🏽🇷🇺❤\ufe0f\ufeff"
)
written = st.text(odd | st.characters(max_codepoint=0x0DFF))
"""Texts of scripts from Latin to Sinhala, with what is hard to cut."""

plain = st.text(st.sampled_from("абвёйАБВЁЙabcXYZ don't 3.14,!\n"))


def words_of(text: str) -> list[str]:
    return sorted(found.word for found in count(text, 1_000).frequencies for _ in range(found.times))


def test_a_russian_text_is_counted_as_by_hand() -> None:
    # Leo Tolstoy, «Анна Каренина» (1878, public domain), its beginning.
    # 12 words between spaces, one of them two by its hyphen: 13 with 77 letters; 11 spaces, `,` `-` `.`: 91.
    # 5 words with 3 + 9 + 1 + 4 + 9 = 26 letters, 4 spaces and `.`: 31. Two line ends between them.
    text = (
        "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.\n\n"
        "Всё смешалось в доме Облонских."
    )

    assert count(text, top=3) == Report(
        words=18,
        unique_words=18,
        sentences=2,
        paragraphs=2,
        lines=3,
        characters=124,
        characters_without_spaces=107,
        average_word_length=5.72,  # 103 / 18
        average_sentence_length=9.0,
        reading_seconds=5,  # 18 / 238 minutes are 4.5 seconds
        frequencies=(
            Frequency(word="в", times=1),
            Frequency(word="все", times=1),
            Frequency(word="всё", times=1),
        ),
    )


def test_an_english_text_in_short_lines_is_counted_as_by_hand() -> None:
    # By line: words 6, 7, 3, 0, 3; characters 25, 31, 13, 0, 11 and five line ends; spaces 5, 5, 2, 0, 2;
    # characters in words, the dots and the apostrophe within them too, 18, 24, 9, 0, 8. `the` comes four
    # times and `it` twice: 19 words, 15 different ones. Sentences end at `3.`, `same!`, `Oh.` and `end`.
    text = "It wasn't 3.14, it was 3.\nThe e-mail from the U.S.A. said\nso: the same!\n\nOh. The end\n"

    assert count(text, top=3) == Report(
        words=19,
        unique_words=15,
        sentences=4,
        paragraphs=2,
        lines=5,
        characters=85,
        characters_without_spaces=66,
        average_word_length=3.11,  # 59 / 19
        average_sentence_length=4.75,
        reading_seconds=5,
        frequencies=(
            Frequency(word="the", times=4),
            Frequency(word="it", times=2),
            Frequency(word="3", times=1),
        ),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't", ["don't"]),
        ("e-mail", ["e", "mail"]),
        ("3.14 1,000.5", ["1,000.5", "3.14"]),
        ("кто-то из-за", ["за", "из", "кто", "то"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("Ёлка е\u0308лка", ["ёлка", "ёлка"]),
        ("\u1fb4 α\u0345\u0301", ["άι", "άι"]),
        ("https://example.org/a", ["a", "example.org", "https"]),
        ("snake_case ___ -- 👍 …", ["snake_case"]),
        ("ภาษาไทยเป็นภาษา", ["ภาษา", "ภาษา", "เป็น", "ไทย"]),
        ("我喜欢学习中文", ["中文", "喜欢", "学习", "我"]),
        ("日本語を勉強する", ["する", "を", "勉強", "日本語"]),
        ("2024년 노래", ["2024", "노래", "년"]),
        ("", []),
    ],
)
def test_words_are_those_of_unicode_and_of_icus_dictionaries(text: str, words: list[str]) -> None:
    assert words_of(text) == sorted(words)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Wait... what? No!", 2),
        ("Это т. е. так. Да", 2),
        ("three short\nlines, one\r\nsentence", 1),
        ("a title\n\nand more", 2),
        ("a title\u2029and more", 2),
        ("one\n \t \n* * *\n\n...", 1),
        ("Mr. Smith slept.", 2),  # a person says one: ICU's root locale knows no abbreviations
        ('"Why?" he asked.', 2),  # likewise: what ends in `?` is a sentence
        ("他来了。我走了。", 2),
    ],
)
def test_sentences_are_those_of_unicode_within_paragraphs(text: str, sentences: int) -> None:
    assert count(text, 1).sentences == sentences


@pytest.mark.parametrize(
    ("text", "characters"),
    [("e\u0301", 1), ("👨‍👩‍👧", 1), ("🇷🇺🇰🇿", 2), ("\r\n", 1), ("क्षि", 1), ("가\u11a8", 1), ("—“й”…", 5)],
)
def test_characters_are_what_people_see_as_one(text: str, characters: int) -> None:
    assert count(text, 1).characters == characters


def test_every_code_point_joins_its_like_as_the_second_implementation_says() -> None:
    """So the code points that are counted without ICU are those that may be."""
    twice = [chr(point) * 2 for point in range(0x10000) if not 0xD800 <= point < 0xE000]

    wrong = [text for text in twice if count(text, 0).characters != len(graphemes(text, is_extended=True))]

    assert wrong == []


def test_words_are_told_apart_and_listed_by_their_first_hundred_code_points() -> None:
    report = count("a" * 100 + "b " + "A" * 100 + "c", 20)

    assert report.words == 2
    assert report.frequencies == (Frequency(word="a" * 100, times=2),)


@pytest.mark.parametrize(
    ("text", "words", "characters"),
    [
        ("a" * 5_000_000, 1, 5_000_000),
        ("a" + "\u0315\u0300" * 1_250_000, 1, 1),
        ("a\u0315\u0300" * 1_000_000, 1, 1_000_000),
        ("\n" * 5_000_000, 0, 5_000_000),
        ("👨\u200d" * 700_000, 0, 1),
        ("'" * 5_000_000, 0, 5_000_000),
        ("ก" * 1_700_000, 850_000, 1_700_000),
    ],
    ids=[
        "one letter",
        "marks out of order",
        "letters with marks",
        "line ends",
        "emoji",
        "apostrophes",
        "thai",
    ],
)
def test_five_megabytes_of_anything_take_no_longer_than_the_test_may(
    text: str, words: int, characters: int
) -> None:
    report = count(text, 20)

    assert (report.words, report.characters) == (words, characters)


@given(written)
def test_the_second_implementation_counts_the_same(text: str) -> None:
    assert count(text, 20) == counted_again(text)


@given(st.text(st.characters() | st.characters(categories=["Cs"])), st.integers(0, 50))
def test_any_text_is_counted_even_what_the_contract_refuses(text: str, top: int) -> None:
    report = count(text, top)

    assert len(report.frequencies) == min(top, report.unique_words)
    assert report.characters_without_spaces <= report.characters <= len(text)
    assert (report.words > 0) == (report.sentences > 0)
    assert pickle.loads(pickle.dumps(report)) == report


@given(written)
def test_frequencies_add_up_to_all_words_and_a_shorter_list_is_how_the_longer_begins(text: str) -> None:
    report = count(text, 1_000_000)

    assert len(report.frequencies) == report.unique_words <= report.words
    assert sum(found.times for found in report.frequencies) == report.words
    assert count(text, 3).frequencies == report.frequencies[:3]


@given(written, written)
def test_paragraphs_put_together_add_up(first: str, second: str) -> None:
    both, one, other = count(first + "\n\n" + second, 0), count(first, 0), count(second, 0)

    assert both.words == one.words + other.words
    assert both.sentences == one.sentences + other.sentences
    assert both.paragraphs == one.paragraphs + other.paragraphs


@given(written)
def test_how_accents_are_encoded_changes_nothing(text: str) -> None:
    assert count(normalize("NFD", text), 20) == count(normalize("NFC", text), 20)


@given(plain)
def test_case_changes_no_word(text: str) -> None:
    large, small = count(text.upper(), 20), count(text.lower(), 20)

    assert (large.words, large.frequencies) == (small.words, small.frequencies)
