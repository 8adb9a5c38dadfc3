"""Questions about a photo that its captions answer: of objects, numbers, colours and places, after COCO-QA.

Ren, Kiros and Zemel 2015 ("Exploring Models and Data for Image Question Answering") turn one caption into one question
by its syntax tree. Here several captions of a photo have to agree: what only one of them says is no answer, and what
one of them contradicts is no question.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from training.questions.grammar import Doing, Phrase, doings, phrases, plural, words_of
from training.questions.words import (
    ALWAYS_PLURAL,
    ANIMALS,
    ASKED,
    CLOTHES,
    DOINGS,
    GENDERS,
    INSIDE,
    PARTS,
    PEOPLE,
    PLACES,
    SAME_PLACE,
    THINGS,
    TRANSITIVE,
)

MOST = 10  # that is counted
NO_SCENES = frozenset({"bed", "couch", "bench", "table", "counter", "ramp", "rock", "floor", "wall"})
PLURAL_PARTS = frozenset({"ear", "eye", "leg", "paw", "hand"})


@dataclass(frozen=True)
class Question:
    """A question about a photo, and what its captions answer.

    Attributes:
        kind: "object", "number", "color" or "place".
        text: As it is asked.
        group: What it asks, however it is put: questions of a group are balanced against each other.
        answers: One for each caption that answers it, in their order.
    """

    kind: str
    text: str
    group: str
    answers: tuple[str, ...]

    @property
    def answer(self) -> str:
        """What most captions answer."""
        return Counter(self.answers).most_common(1)[0][0]


@dataclass(frozen=True)
class Told:
    """What a caption says."""

    words: Sequence[str]
    phrases: Sequence[Phrase]
    doings: Sequence[Doing]

    @classmethod
    def of(cls, caption: str) -> "Told":
        """Read a caption."""
        words = words_of(caption)
        found = phrases(words)
        return cls(words, found, tuple(doings(words, found)))

    def of_noun(self, noun: str) -> list[Phrase]:
        """Return the phrases about a noun."""
        return [one for one in self.phrases if one.noun == noun]


def questions_about(captions: Sequence[str], agreement: int = 2) -> list[Question]:
    """Return the questions that the captions of a photo answer.

    Args:
        captions: Of one photo.
        agreement: How many captions must give an answer, at least; all of them if there are fewer.
    """
    told = [Told.of(caption) for caption in captions]
    least = min(agreement, len(told))
    seed = hashlib.sha256("\n".join(captions).encode()).digest()
    rules: tuple[Callable[[Sequence[Told], int, bytes], Iterator[Question]], ...] = (
        _numbers,
        _colors,
        _places,
        _objects,
    )
    return [question for rule in rules for question in rule(told, least, seed)]


def _pick(seed: bytes, group: str, choices: Sequence[str]) -> str:
    """Return one of several ways to put a question, the same for the same photo and question."""
    digest = hashlib.sha256(seed + group.encode()).digest()
    return choices[digest[0] % len(choices)]


def _agreed(answers: Sequence[str], least: int) -> bool:
    """Tell whether one answer comes from enough captions, and from more than any other."""
    (_, first), *others = [*Counter(answers).most_common(2)] or [("", 0)]
    return first >= least and (not others or first > others[0][1])


def _nouns(told: Sequence[Told], least: int, kinds: frozenset[str]) -> list[str]:
    """Return the nouns of some kinds that enough captions name, in alphabetical order."""
    counts = Counter(noun for one in told for noun in {phrase.noun for phrase in one.phrases} & kinds)
    return sorted(noun for noun, count in counts.items() if count >= least)


def _total(told: Told, nouns: frozenset[str]) -> int | None:
    """Return how many of some nouns a caption tells of; None if it does not say, 0 if it tells of none."""
    found = [phrase for phrase in told.phrases if phrase.noun in nouns]
    return None if any(phrase.number == 0 for phrase in found) else sum(phrase.number for phrase in found)


def _numbers(told: Sequence[Told], least: int, seed: bytes) -> Iterator[Question]:
    for noun in (*_nouns(told, least, (PEOPLE | ANIMALS | THINGS) - {"person"}), "person"):
        same = PEOPLE if noun == "person" else frozenset({noun})
        totals = [total for one in told if (total := _total(one, same)) != 0]
        counted = [total for total in totals if total is not None]
        if not counted or max(counted) > MOST:
            continue
        top, support = max(counted), counted.count(max(counted))
        # a caption may leave somebody out, so that the most that are told of count, and one only if all agree
        sure = support >= least if top > 1 else support == len(totals) > least
        if sure and not (noun in PEOPLE and noun != "person" and _crowded(told, top)):
            names = plural(noun)
            ways = (
                f"how many {names} are there?",
                f"how many {names} are in the photo?",
                f"how many {names} can you see?",
            )
            group = f"number {names}"
            yield Question("number", _pick(seed, group, ways), group, (str(top),) * support)


def _crowded(told: Sequence[Told], count: int) -> bool:
    """Tell whether a caption tells of more people than were counted of one kind, or of too many to count."""
    return any((total := _total(one, PEOPLE)) is None or total > count for one in told)


def _colors(told: Sequence[Told], least: int, seed: bytes) -> Iterator[Question]:
    for noun in _nouns(told, 1, ANIMALS | THINGS | CLOTHES | PARTS):
        found = [one.of_noun(noun) for one in told]
        if (
            any(len(of_one) > 1 or any(phrase.several for phrase in of_one) for of_one in found)
            and noun not in PLURAL_PARTS
        ):
            continue
        colors = [of_one[0].color for of_one in found if len(of_one) == 1 and of_one[0].color]
        owned = noun in CLOTHES and all(_total(one, PEOPLE) in (0, 1) for one in told)  # nobody else could wear it
        if not _agreed(colors, 1 if owned and len(set(colors)) == 1 else least):
            continue
        verb = "are" if noun in ALWAYS_PLURAL | PLURAL_PARTS else "is"
        named = plural(noun) if noun in PLURAL_PARTS else noun
        ways = [f"what {word} {verb} the {named}?" for word in ("color", "color", "colour")]
        owners = _owners(told)
        if noun in CLOTHES | PARTS and len(owners) == 1:
            ways += [f"what {word} {verb} the {owners[0]}'s {named}?" for word in ("color", "colour")]
        yield Question("color", _pick(seed, f"color {noun}", ways), f"color {named}", tuple(colors))


def _owners(told: Sequence[Told]) -> list[str]:
    """Return who the captions begin with, if they agree."""
    first = [one.phrases[0] for one in told if one.phrases]
    counts = Counter(phrase.noun for phrase in first if phrase.noun in PEOPLE | ANIMALS and not phrase.several)
    return [noun for noun, count in counts.most_common(1) if count >= 2]


def _place(one: Told) -> str:
    """Return where a caption is set: the first place that something is in or on."""
    for phrase in one.phrases:
        if phrase.noun in PLACES and phrase.start and one.words[phrase.start - 1] in INSIDE:
            return SAME_PLACE.get(phrase.noun, phrase.noun)
    return ""


def _places(told: Sequence[Told], least: int, seed: bytes) -> Iterator[Question]:
    places = tuple(filter(None, map(_place, told)))
    if not _agreed(places, least):
        return
    answer = Counter(places).most_common(1)[0][0]
    for noun in _nouns(told, least, PEOPLE | ANIMALS):
        found = [phrase for one in told for phrase in one.of_noun(noun)]
        alone = all(len(one.of_noun(noun)) < 2 for one in told)
        if not alone or len({phrase.several for phrase in found}) > 1:
            continue
        asked = f"are the {plural(noun)}" if found[0].several else f"is the {noun}"
        yield Question("place", f"where {asked}?", f"place {noun}", places)
    if answer not in NO_SCENES:
        ways = ("where is this?", "where was this photo taken?", "what place is this?")
        yield Question("place", _pick(seed, "place", ways), "place", places)


def _objects(told: Sequence[Told], least: int, seed: bytes) -> Iterator[Question]:
    yield from _things(told, least)
    yield from _who(told, least)
    mouths = tuple(filter(None, map(_in_mouth, told)))
    if _agreed(mouths, least):
        yield Question("object", "what is in the dog's mouth?", "object mouth", mouths)
    animals = [noun for noun in _nouns(told, 1, ANIMALS) if noun != "animal"]
    if len(animals) == 1 and len(_nouns(told, least, ANIMALS)) >= 1:
        ways = ("what animal is this?", "what animal is there?", "which animal do you see?")
        count = sum(bool(one.of_noun(animals[0])) for one in told)
        if count >= least:
            yield Question("object", _pick(seed, "animal", ways), "object animal", (animals[0],) * count)


def _in_mouth(one: Told) -> str:
    """Return what a caption says that something has in its mouth."""
    pairs = zip(one.phrases, one.phrases[1:], strict=False)
    return next(
        (
            a.noun
            for a, b in pairs
            if b.noun == "mouth"
            and a.end < b.start
            and a.noun in THINGS
            and list(one.words[a.end : b.start + 1]) in (["in", "its"], ["in", "his"], ["in", "the"], ["in", "her"])
        ),
        "",
    )


def _asks(doing: Doing) -> bool:
    """Tell whether what something is done to can be asked for."""
    if doing.thing.noun not in THINGS | ANIMALS | CLOTHES | PLACES:
        return False
    return (doing.verb, doing.preposition) in ASKED or (doing.verb in TRANSITIVE and not doing.preposition)


def _things(told: Sequence[Told], least: int) -> Iterator[Question]:
    """Yield what somebody does something to, for whatever enough captions name."""
    named = Counter(noun for one in told for noun in {phrase.noun for phrase in one.phrases})
    asked: dict[tuple[str, bool, str], list[str]] = {}
    for one in told:
        for doing in one.doings:
            if _asks(doing):
                what = " ".join(filter(None, (DOINGS[doing.verb], doing.preposition)))
                asked.setdefault((doing.subject.noun, doing.subject.several, what), []).append(doing.thing.noun)
    for (subject, several, what), answers in sorted(asked.items()):
        if named[subject] < least or len(set(answers)) > 1 or named[answers[0]] < least:
            continue
        who = f"are the {plural(subject)}" if several else f"is the {subject}"
        support = (answers[0],) * named[answers[0]]
        yield Question("object", f"what {who} {what}?", f"object {what}", support)


def _who(told: Sequence[Told], least: int) -> Iterator[Question]:
    """Yield who is there, man, woman, boy or girl, if nobody else is."""
    if any((total := _total(one, PEOPLE)) is None or total > 1 for one in told):
        return
    genders = tuple(GENDERS[phrase.noun] for one in told for phrase in one.phrases if phrase.noun in GENDERS)
    if len(genders) <= least - 1 or len(set(genders)) > 1:
        return
    acts = Counter(
        (doing.verb, doing.preposition, doing.thing.noun)
        for one in told
        for doing in one.doings
        if doing.subject.noun in PEOPLE
        and doing.thing.noun not in PEOPLE
        and (doing.preposition in INSIDE or _asks(doing))
    )
    for (verb, preposition, thing), _ in sorted(acts.items())[:1]:
        what = " ".join(filter(None, (DOINGS[verb], preposition, "the", thing)))
        yield Question("object", f"who is {what}?", "object who", genders)
