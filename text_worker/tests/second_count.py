"""The second implementation: on Rust's unicode-segmentation, slow, with nothing in common but the rules.

It knows no dictionary, so Thai, Chinese, Korean and their like are checked by examples alone.
"""

import re
from collections import Counter
from unicodedata import normalize

from unicode_segmentation_rs import graphemes, split_word_bounds, unicode_sentences

from shared.contracts.texts import Frequency, Report
from text_worker.domain.counting import WORD_LIMIT


def counted_again(text: str) -> Report:
    segments = [segment for segment in split_word_bounds(text) if any(map(str.isalnum, segment))]
    folded = [normalize("NFC", normalize("NFC", word).casefold())[:WORD_LIMIT] for word in segments]
    ends = r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]"
    lines = re.split(ends, text)
    blocks = re.sub(rf"({ends})", lambda end: "\n\n" if end[1] == "\u2029" else "\n", text).split("\n")
    paragraphs = [""]
    for line in blocks:
        paragraphs[-1:] = [paragraphs[-1] + " " + line.strip()] if line.strip() else [paragraphs[-1], ""]
    paragraphs = [paragraph.strip() for paragraph in paragraphs if paragraph.strip()]
    sentences = [part for paragraph in paragraphs for part in unicode_sentences(paragraph)]
    sentences = [sentence for sentence in sentences if any(map(str.isalnum, sentence))]
    characters = graphemes(text, is_extended=True)
    length = sum(len(graphemes(word, is_extended=True)) for word in segments)
    ranked = sorted(Counter(folded).items(), key=lambda item: (-item[1], item[0]))
    return Report(
        words=len(segments),
        unique_words=len(set(folded)),
        sentences=len(sentences),
        paragraphs=len(paragraphs),
        lines=len(lines) - (lines[-1] == ""),
        characters=len(characters),
        characters_without_spaces=sum(not character.isspace() for character in characters),
        average_word_length=round(length / len(segments), 2) if segments else 0,
        average_sentence_length=round(len(segments) / len(sentences), 2) if sentences else 0,
        reading_seconds=-(-len(segments) * 60 // 238),
        frequencies=tuple(Frequency(word=word, times=times) for word, times in ranked[:20]),
    )
