"""What can be said of captions without looking at the photos: repeats, loose ends, variety."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from training.data import CaptionSource
from training.evaluation.ptb import ptb_tokenize


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = _words("a an the this these those my your his its our their some every each no")
PREPOSITIONS = _words("""
    about across after against amid among amongst as at before behind beneath beside besides between beyond by despite
    during for from in into like near of on onto over past per through throughout to toward towards under underneath
    until upon via with within without
""")
CONJUNCTIONS = _words("and but because if nor or since so than that unless when where which while who whose yet")
AUXILIARIES = _words("""
    am are be been being can could did do does had has have having is may might must shall should was were will would
""")
DANGLING = DETERMINERS | PREPOSITIONS | CONJUNCTIONS | AUXILIARIES
# Words that say little, but may well end a caption: pronouns, and adverbs such as "up" in "a man looks up".
SMALL = DANGLING | _words("""
    above another around along away back below down he her hers him i inside it me not off one other others out outside
    she them there they two three up us we what you
""")


@dataclass(frozen=True)
class Wording:
    """What a set of captions looks like as text.

    Attributes:
        captions: How many there are.
        immediate_repeats: Share of captions in which a word follows itself ("a a dog").
        echoes: Share of captions in which "and" or "or" joins a word to itself ("a brown and brown dog").
        repeated_phrases: Share of captions in which two neighbouring words occur again, neither a function word ("a red
            shirt and a red shirt").
        dangling: Share of captions that end with a determiner, preposition, conjunction or auxiliary, or are empty.
        distinct: Share of different captions.
        new: Share of captions that nobody wrote for a training photo; ``None`` if those are not given.
        mean_length: Words per caption.
        vocabulary: Different words in all captions together.
    """

    captions: int
    immediate_repeats: float
    echoes: float
    repeated_phrases: float
    dangling: float
    distinct: float
    new: float | None
    mean_length: float
    vocabulary: int

    def to_dict(self) -> dict[str, float | int]:
        """Return the numbers that there are as plain values; shares between 0 and 1."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def wording(captions: Sequence[str], known: Collection[str] | None = None) -> Wording:
    """Look at captions as text.

    Args:
        captions: Tokenized captions, words with spaces between.
        known: The tokenized captions of the training photos, best as a set.
    """
    words = [caption.split() for caption in captions]
    return Wording(
        captions=len(words),
        immediate_repeats=_share(map(repeats_at_once, words)),
        echoes=_share(map(echoes, words)),
        repeated_phrases=_share(map(repeats_phrase, words)),
        dangling=_share(map(dangles, words)),
        distinct=len(set(captions)) / max(1, len(captions)),
        new=None if known is None else _share(caption not in known for caption in captions),
        mean_length=sum(map(len, words)) / max(1, len(words)),
        vocabulary=len({word for caption in words for word in caption}),
    )


def _share(values: Iterable[bool]) -> float:
    found = list(values)
    return sum(found) / max(1, len(found))


def repeats_at_once(words: Sequence[str]) -> bool:
    """Whether a word follows itself."""
    return any(one == other for one, other in pairwise(words))


def echoes(words: Sequence[str]) -> bool:
    """Whether "and" or "or" joins a word to itself."""
    triples = zip(words, words[1:], words[2:], strict=False)
    return any(one == other and joint in {"and", "or"} for one, joint, other in triples)


def repeats_phrase(words: Sequence[str]) -> bool:
    """Whether two neighbouring words that are no function words occur again."""
    pairs = Counter(pair for pair in pairwise(words) if not SMALL.intersection(pair))
    return any(count > 1 for count in pairs.values())


def dangles(words: Sequence[str]) -> bool:
    """Whether a caption breaks off: it ends with a word of ``DANGLING``, or has no words."""
    return not words or words[-1] in DANGLING


def training_captions(source: CaptionSource) -> frozenset[str]:
    """Return the tokenized captions of a source, whose photos need not be there.

    Raises:
        DataError: If the captions cannot be read.
    """
    captions = [caption for entry in source.entries().values() for caption in entry.captions]
    return frozenset(ptb_tokenize(captions)[0])
