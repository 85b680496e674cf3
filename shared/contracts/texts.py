"""Texts: what text_worker answers."""

from pydantic import Field

from shared.messages import Answer


class Frequency(Answer):
    """A word, folded to one case, and how often the text has it."""

    word: str
    times: int


class Report(Answer):
    """What a text consists of. Words, sentences and characters are those of Unicode (UAX #29)."""

    words: int = Field(description="Numbers too; `don't` and `3.14` are one word, `e-mail` is two.")
    unique_words: int = Field(description="Words that differ in more than their case.")
    sentences: int
    paragraphs: int = Field(description="Separated by blank lines.")
    lines: int = Field(description="Blank ones too.")
    characters: int = Field(description="As people see them: an emoji or a letter with its accents is one.")
    characters_without_spaces: int = Field(description="Without white space of any kind.")
    average_word_length: float = Field(description="Characters a word, to two places; 0 without words.")
    average_sentence_length: float = Field(description="Words a sentence, to two places; 0 without words.")
    reading_seconds: int = Field(description="Silently, at 238 words a minute.")
    frequencies: tuple[Frequency, ...] = Field(
        description="The most frequent words first, those of one frequency by code points."
    )
