"""A light grammar of captions: which noun phrases they have, how many and of what colour, and who does what to what."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from training.questions.words import (
    ALWAYS_PLURAL,
    ANIMALS,
    CLOTHES,
    COLORS,
    DOINGS,
    EATEN,
    FUNCTION,
    IRREGULAR,
    MASS,
    MORE,
    NUMBERS,
    ONE,
    OTHER_NAMES,
    PARTS,
    PEOPLE,
    PLACES,
    THINGS,
)

TOKEN = re.compile(r"[a-z0-9]+(?:-[a-z]+)*|'s|[,;:]")
OTHERS = frozenset({",", ";", ":", "while", "as", "who", "that", "which", "and", "but"})  # after which others may do it
MODIFIERS = 4  # words between a determiner and its noun, at most
NOUNS = PEOPLE | ANIMALS | THINGS | CLOTHES | PLACES | PARTS | MASS


def plural(noun: str) -> str:
    """Return the plural of a noun."""
    for several, single in IRREGULAR.items():
        if single == noun:
            return several
    if noun in ALWAYS_PLURAL:
        return noun
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


PLURALS = {plural(noun): noun for noun in sorted(NOUNS - MASS - {"glass"}) if noun not in ALWAYS_PLURAL} | IRREGULAR
FORMS = {
    form: base
    for base, doing in DOINGS.items()
    for form in (base, doing, base + ("es" if base.endswith(("s", "x", "ch", "sh")) else "s"))
} | {"carries": "carry", "flies": "fly"}


def name_of(noun: str) -> str:
    """Return the name by which a noun is asked for and answered, which joins words for the same."""
    return OTHER_NAMES.get(noun, noun)


@dataclass(frozen=True)
class Phrase:
    """A noun phrase.

    Attributes:
        start: Its first token.
        end: The token after its last.
        noun: Its head in the singular, under the name that is used for it.
        number: How many it says there are; 0 if it does not say.
        color: The colours that it names, in alphabetical order, joined by "and"; empty if it names none.
        several: Whether the head is a plural.
    """

    start: int
    end: int
    noun: str
    number: int
    color: str
    several: bool


@dataclass(frozen=True)
class Doing:
    """Who does what to what.

    Attributes:
        subject: The phrase that does it.
        verb: Its base form.
        preposition: Between the verb and the thing, or empty.
        thing: What it is done to.
    """

    subject: Phrase
    verb: str
    preposition: str
    thing: Phrase


def words_of(caption: str) -> list[str]:
    """Return the words of a caption and the commas between them, in small letters."""
    return TOKEN.findall(caption.lower())


def phrases(words: Sequence[str]) -> list[Phrase]:
    """Return the noun phrases of a caption whose heads are known nouns."""
    found, position = [], 0
    while position < len(words):
        end = position
        while end < len(words) and _noun(words, end):
            end += 1
        if end > position and _ends(words, end):
            found.append(_phrase(words, position, end))
        position = max(end, position + 1)
    return found


def _noun(words: Sequence[str], index: int) -> str:
    """Return the singular of a known noun; of what is a verb as well only after what says that it is none."""
    word = words[index]
    noun = PLURALS.get(word, word)
    before = words[index - 1] if index else ""
    if noun not in NOUNS or word in COLORS or (noun == "dog" and before in EATEN):
        return ""
    if word in FORMS and (
        before in PLURALS or before in NOUNS or before in ("is", "are", "to", "and", "who", "that", "")
    ):
        return ""
    return noun


def _ends(words: Sequence[str], end: int) -> bool:
    """Tell whether a noun before this place is the head: whether what follows goes with no further noun."""
    if end == len(words):
        return True
    word = words[end]
    return word in FUNCTION or word in FORMS or word in ",;:" or (word != "'s" and word.endswith(("ing", "s", "ly")))


def _phrase(words: Sequence[str], first: int, end: int) -> Phrase:
    start, colors, number, vague = first, [], 0, False
    head = words[end - 1]
    for index in range(first - 1, max(-1, first - 1 - MODIFIERS), -1):
        word = words[index]
        if word in COLORS:
            colors.append(COLORS[word])
        elif word in NUMBERS or word in ONE or word in MORE:
            start, vague = index, word in MORE
            number = NUMBERS.get(word, 1 if word in ONE else 0)
            break
        elif word == "and":
            if not colors or index == 0 or words[index - 1] not in COLORS:
                break
        elif (
            word in FUNCTION
            or word in FORMS
            or word in ",;:"
            or word.endswith("ing")
            or PLURALS.get(word, word) in NOUNS
        ):
            break
        start = index
    several = head in PLURALS and head not in ALWAYS_PLURAL and head != PLURALS[head]
    if several and (number == 1 or vague):
        number = 0
    if not several and number == 0 and not vague and (start == 0 or words[start - 1] in ("of", "with")):
        number = 1  # "Dog runs": a caption's beginning often lacks its article
    noun = name_of(PLURALS.get(head, head))
    return Phrase(start, end, noun, number, " and ".join(sorted(set(colors))), several)


def doings(words: Sequence[str], found: Sequence[Phrase]) -> Iterator[Doing]:
    """Yield who does what to what; whoever a caption begins with does whatever it says is done."""
    if not found:
        return
    ends = {phrase.start: phrase for phrase in found}
    for index, word in enumerate(words):
        verb = FORMS.get(word)
        if verb is None or index < found[0].end or any(one.start <= index < one.end for one in found):
            continue
        at, preposition = index + 1, ""
        if at < len(words) and at not in ends and words[at] not in OTHERS:
            preposition, at = words[at], at + 1
        thing = ends.get(at)
        if thing is not None and _same_clause(words[found[0].end : index]):
            yield Doing(found[0], verb, preposition, thing)


def _same_clause(between: Sequence[str]) -> bool:
    """Tell whether the words between a subject and a verb leave the subject as it is."""
    return not any(word in OTHERS or word in ("with", "of") for word in between)
