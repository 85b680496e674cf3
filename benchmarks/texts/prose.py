"""Texts that look like prose, the same ones for the same seed. Standard library only: all sides import it."""

from random import Random

CHARACTERS = 2_000
VOCABULARY = """
the of and a to in he was that it his her with as had for she not at but on is be him they have
you said which this all from so one would there been were their what no when out up who if about
into them could time then like only over some little after two upon very know see old man before
more than down made did great never came long might such through well where should must day
still again even here house other away every much first good back hand thing took without quite
room face eyes thought under nothing morning window letter don't river evening silence to-morrow
street winter children answer country garden between happened suddenly remember together
garments whispered mountain yesterday afterwards candlelight acquaintance circumstances
extraordinary nevertheless conversation understanding companionship
"""
WORDS = VOCABULARY.split()
WEIGHTS = [1 / (rank + 2) for rank in range(len(WORDS))]
"""Zipf's: the tenth word comes about a fifth as often as the first."""


def texts(count: int, seed: int) -> list[str]:
    """`count` different texts of about two kilobytes, in paragraphs of sentences."""
    random = Random(seed)
    return [_text(random) for _ in range(count)]


def _text(random: Random) -> str:
    paragraphs, length = [], 0
    while length < CHARACTERS:
        sentences = [_sentence(random) for _ in range(random.randint(3, 7))]
        paragraphs.append(" ".join(sentences))
        length += len(paragraphs[-1]) + 2
    return "\n\n".join(paragraphs)[:CHARACTERS]


def _sentence(random: Random) -> str:
    words = random.choices(WORDS, WEIGHTS, k=random.randint(4, 24))
    pauses = [word + "," if random.random() < 0.08 else word for word in words[:-1]]
    return " ".join([*pauses, words[-1]]).capitalize() + random.choice("....?!")
