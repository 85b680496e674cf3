"""What a text consists of. Pure; time and memory grow no faster than the text, whatever it holds.

Boundaries are those of UAX #29 as ICU has them for no language in particular: `don't`, `3.14` and `U.S.A`
are one word, `e-mail` and `кто-то` are two. Thai, Lao, Khmer, Burmese, Chinese and Japanese, written without
spaces, are cut by ICU's dictionaries, which miss words they do not know. Korean goes by its spaces, but is
cut from digits and other letters beside it. No abbreviation is known: after `Mr.` or `г.` and before a
capital letter, a sentence ends.
"""

import re
from collections import Counter
from collections.abc import Iterable
from heapq import nsmallest
from itertools import groupby
from math import ceil
from operator import mul
from unicodedata import normalize

from icu4py.breakers import CharacterBreaker, SentenceBreaker, WordBreaker

from shared.contracts.texts import Frequency, Report

WORDS_A_MINUTE = 238
"""Adults reading English non-fiction silently (Brysbaert 2019, doi:10.1016/j.jml.2019.104047).

Taken for every language. One that says the same in fewer, longer words, as Russian does, is read at fewer
words a minute, so there the time is too short.
"""

WORD_LIMIT = 100
"""Code points by which words are told apart and listed, so that no text makes its report large."""

_LOCALE = "und"
_letter_or_digit = re.compile(r"[^\W_]").search
_surrogate = re.compile(r"[\ud800-\udfff]")

_each_a_character = re.compile(
    r"[\0-\u02ff\u0370-\u0482\u048a-\u0590\u1e00-\u200b\u200e-\u20cf\u2100-\u2cee"
    r"\u3000-\u3029\u3030-\u3098\u309b-\ua66e\uac00-\ud7a3\uff01-\uff9d]*"
).fullmatch
"""Code points that join no other, but for CR LF: counting these is ten times as fast as asking ICU."""


def count(text: str, top: int) -> Report:
    """Count `text` and list its `top` most frequent words. Takes any text, even an empty one.

    A word is a segment that holds a letter or a digit, as Python's Unicode knows them: numbers are words,
    punctuation and emoji are not. A sentence is one that holds a word.
    """
    text = _surrogate.sub("\ufffd", text)
    words, length = _words(text)
    total, paragraphs = words.total(), _paragraphs(text)
    sentences = sum(map(bool, map(_letter_or_digit, SentenceBreaker("\u2029".join(paragraphs), _LOCALE))))
    characters, characters_without_spaces = _characters(text)
    return Report(
        words=total,
        unique_words=len(words),
        sentences=sentences,
        paragraphs=len(paragraphs),
        lines=len(text.splitlines()),
        characters=characters,
        characters_without_spaces=characters_without_spaces,
        average_word_length=round(length / total, 2) if total else 0,
        average_sentence_length=round(total / sentences, 2) if sentences else 0,
        reading_seconds=ceil(total * 60 / WORDS_A_MINUTE),
        frequencies=_most_frequent(words, top),
    )


def _words(text: str) -> tuple[Counter[str], int]:
    """How often each word comes, in its one spelling, and how many characters all of them have."""
    segments = Counter(WordBreaker(text, _LOCALE))
    written = list(filter(_letter_or_digit, segments))
    times = [segments[word] for word in written]
    words: Counter[str] = Counter()
    for word, n in zip(_spellings(written), times, strict=True):
        words[word] += n
    return words, sum(map(mul, _lengths(written), times))


def _spellings(words: list[str]) -> list[str]:
    """`words` without what does not tell words apart: case, and how accents are encoded (UAX #15).

    All at once, as no segment with a letter holds a line end, and nothing joins one. Cut before too, since
    CPython sorts a letter's accents in quadratic time; five times the limit are enough for any word that
    people write, as a letter of NFC has at most four code points in NFD.
    """
    text = "\n".join([word[: 5 * WORD_LIMIT] for word in words])
    folded = normalize("NFC", normalize("NFC", text).casefold())
    return [word[:WORD_LIMIT] for word in folded.split("\n")] if words else []


def _lengths(words: list[str]) -> Iterable[int]:
    """How many characters each of `words` has; all at once, as above."""
    text = "\n".join(words)
    if _each_a_character(text):
        return map(len, words)
    clusters = groupby(CharacterBreaker(text, _LOCALE), key="\n".__ne__)
    return [len(list(word)) for is_word, word in clusters if is_word]


def _most_frequent(words: Counter[str], top: int) -> tuple[Frequency, ...]:
    best = nsmallest(top, words.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Frequency(word=word, times=times) for word, times in best)


def _paragraphs(text: str) -> list[str]:
    """Paragraphs, each on one line.

    UAX #29 ends a sentence at every line end, as it takes it for a paragraph's. In plain text only a blank
    line is one (and U+2029); any other may be there to keep lines short (The Unicode Standard, 5.8).
    """
    lines = map(str.strip, text.replace("\u2029", "\n\n").splitlines())
    return [" ".join(paragraph) for written, paragraph in groupby(lines, key=bool) if written]


def _characters(text: str) -> tuple[int, int]:
    """Grapheme clusters (UAX #29): all, and those that are no white space. CR LF is one."""
    if _each_a_character(text):
        return len(text) - text.count("\r\n"), sum(map(len, text.split()))
    clusters = Counter(CharacterBreaker(text, _LOCALE))
    return clusters.total(), sum(times for cluster, times in clusters.items() if not cluster.isspace())


def report_on(text: str, top: int) -> str:
    """The report as JSON, which travels between processes faster than its model."""
    return count(text, top).model_dump_json()
