"""What is wrong with a data set, and what to do about it."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Literal

from captioner.tokenizers.word import split_words
from training.data.check.words import Coverage, Lengths
from training.data.formats.annotations import PHOTO_ENDINGS, Entry
from training.data.photos import Look, PhotoFile
from training.data.similar import hints, photo_hints
from training.evaluation.metrics import cider_is_always_zero

Level = Literal["serious", "warning", "note"]
LEVELS: tuple[Level, ...] = ("serious", "warning", "note")
EXAMPLES = 5
MANY_CUT = 0.01  # share of captions that are cut, above which it is worth a warning
UNSPACED = re.compile(  # so many letters of Thai, Lao, Burmese, Khmer, kana or Han in a row are seldom one word
    "[\u0e01-\u0eff\u1000-\u109f]{16}|[\u1780-\u17ff]{16}|[\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]{7}"
)
WELL_COVERED = 0.95  # share of the words that a vocabulary should have


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        level: "serious" if training cannot start or scores would lie, "warning" if it may do harm, or "note".
        part: Where: a part of the data, or two.
        count: How many of them.
        what: What they are.
        advice: What to do about it.
        examples: The first few.
    """

    level: Level
    part: str
    count: int
    what: str
    advice: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A part of the data, such as what is learnt from.

    Attributes:
        name: Such as "train".
        annotations: Its file of captions.
        images: The folder of its photos.
        entries: What the file says of each photo.
        unlisted: The file's captions of photos that it does not list, each after its photo's id.
        shards: Where photos are that are in tar shards, by their entries' files.
    """

    name: str
    annotations: Path
    images: Path
    entries: Sequence[Entry]
    unlisted: Sequence[str] = ()
    shards: Mapping[str, PhotoFile] = field(default_factory=dict)

    def path(self, entry: Entry) -> PhotoFile:
        """Return a photo's file."""
        return self.shards.get(entry.file, self.images / entry.file)

    @property
    def captions(self) -> list[str]:
        """All captions that are not empty."""
        return [caption for entry in self.entries for caption in entry.captions if caption]


def findings_of_photos(part: Part, looks: Mapping[PhotoFile, Look]) -> Iterator[Finding]:
    """Return what is wrong with the photos of a part."""
    seen = [(entry.file, looks[part.path(entry)]) for entry in part.entries]
    hint = photo_hints(part.images) if any(not look.there for _, look in seen) else hints(())
    yield from _finding(
        "serious",
        part.name,
        [f"{file}{hint(file)}" for file, look in seen if not look.there],
        "missing photos",
        f"put them into {part.images}, correct the folder or the names, take their lines out of "
        f"{part.annotations.name}, or set data.unreadable = skip",
    )
    yield from _finding(
        "serious",
        part.name,
        [f"{file}: {look.problem}" for file, look in seen if look.problem],
        "photos that cannot be read",
        "download or convert them again, take their lines out, or set data.unreadable = skip",
    )
    copies: dict[str, list[str]] = {}
    for file, look in seen:
        if look.there:
            copies.setdefault(look.content, []).append(file)
    yield from _finding(
        "warning",
        part.name,
        [" = ".join(files) for files in copies.values() if len(files) > 1],
        "photos that are there more than once, byte for byte",
        "keep one of each and give it all their captions: copies count double in training and in scores",
    )


def findings_of_captions(part: Part) -> Iterator[Finding]:
    """Return what is wrong with the captions of a part, apart from their lengths."""
    if not part.captions:
        yield Finding(
            "serious",
            part.name,
            0,
            "captions that are not empty",
            f"nothing can be learnt; look into {part.annotations}",
        )
    yield from _finding(
        "warning",
        part.name,
        [entry.file for entry in part.entries if not any(entry.captions)],
        "photos without a caption",
        "write captions for them; training leaves them out",
    )
    yield from _finding(
        "warning",
        part.name,
        [entry.file for entry in part.entries if any(entry.captions) and "" in entry.captions],
        "photos with an empty caption besides others",
        "write or delete those; training leaves them out",
    )
    pairs = [(entry.file, caption) for entry in part.entries for caption in entry.captions if caption]
    yield from _finding(
        "warning",
        part.name,
        [f"{file}: {caption}" for file, caption in pairs if len(split_words(caption)) < 2],
        "captions of one word or none",
        "write them out, or delete them: the model learns to stop early",
    )
    yield from _finding(
        "note",
        part.name,
        [f"{file}: {caption}" for (file, caption), count in Counter(pairs).items() if count > 1],
        "captions that a photo has more than once",
        "delete one of each, unless two people wrote the same",
    )


def findings_of_spaces(part: Part) -> Iterator[Finding]:
    """Return the captions that words cannot be told apart in, as their script writes no spaces."""
    yield from _finding(
        "warning",
        part.name,
        [
            f"{entry.file}: {caption}"
            for entry in part.entries
            for caption in entry.captions
            if UNSPACED.search(unicodedata.normalize("NFC", caption))
        ],
        "captions in a script without spaces, of which whole sentences are one word",
        "put spaces between the words, or set tokenizer.name = character and a larger data.max_tokens",
    )


def findings_of_lengths(part: Part, lengths: Lengths, tokens: str) -> Iterator[Finding]:
    """Return whether many captions are cut."""
    if lengths.cut > MANY_CUT * lengths.total:
        enough = lengths.covering(1 - MANY_CUT / 10)
        yield Finding(
            "warning",
            part.name,
            lengths.cut,
            f"captions longer than data.max_tokens = {lengths.limit} {tokens}, and hence cut",
            f"set data.max_tokens = {enough}, which leaves 99.9% of them whole",
        )


def findings_of_words(part: Part, used: Coverage, others: Sequence[Coverage]) -> Iterator[Finding]:
    """Return whether a vocabulary is too small for a part.

    Args:
        part: Whose captions were read.
        used: What the recipe's vocabulary covers.
        others: What vocabularies of other sizes cover.
    """
    if not used.unknown or used.tokens >= WELL_COVERED:
        return
    better = [other for other in others if other.tokens >= WELL_COVERED]
    level: Level = "warning" if used.size else "serious"  # nothing can be said without words
    if better:
        choice = max(better, key=lambda other: other.min_count)
        advice = f"set tokenizer.min_count = {choice.min_count}, which covers {choice.tokens:.1%}"
    else:
        advice = "learn from captions that use these words, or take tokenizer.name = character"
    what = f"words that the vocabulary lacks ({1 - used.tokens:.1%} of all, with min_count {used.min_count})"
    yield Finding(level, part.name, used.unknown, what, advice)


def findings_between(parts: Sequence[Part], looks: Mapping[PhotoFile, Look]) -> Iterator[Finding]:
    """Return what is in two parts at once."""
    contents = {part.name: _contents(part, looks) for part in parts}
    for one, other in combinations(parts, 2):
        shared = contents[one.name].keys() & contents[other.name].keys()
        yield from _finding(
            "serious",
            f"{one.name} and {other.name}",
            sorted(f"{contents[one.name][key]} = {contents[other.name][key]}" for key in shared),
            "photos that are in both",
            f"take them out of {one.name}: scores on photos that were learnt from say nothing",
        )


def findings_of_files(parts: Sequence[Part]) -> Iterator[Finding]:
    """Return the captions that belong to no photo, of every file once."""
    for part in {part.annotations: part for part in parts}.values():
        yield from _finding(
            "warning",
            str(part.annotations),
            part.unlisted,
            "captions of photos that the file does not list",
            "training leaves them out; if they belong to the set, add their photos to images, with the same ids",
        )


def findings_of_scores(part: Part) -> Iterator[Finding]:
    """Return whether the captions of a part can be compared by CIDEr."""
    captioned = [entry for entry in part.entries if any(entry.captions)]
    if captioned and cider_is_always_zero([text for text in entry.captions if text] for entry in captioned):
        yield Finding(
            "warning",
            part.name,
            len(captioned),
            "photos over which CIDEr can only be 0, since their captions do not differ in a word",
            "add photos with other captions: epochs are compared by CIDEr, and it rewards self-critical training",
        )


def findings_of_folders(parts: Sequence[Part]) -> Iterator[Finding]:
    """Return the photos that no file of captions names."""
    folders = [part for part in parts if not part.shards]
    named = {(part.images / entry.file).resolve() for part in folders for entry in part.entries}
    for folder in dict.fromkeys(part.images for part in folders):
        files = sorted(folder.rglob("*")) if folder.is_dir() else []
        yield from _finding(
            "note",
            str(folder),
            [
                str(f.relative_to(folder))
                for f in files
                if f.suffix.lower() in PHOTO_ENDINGS and f.resolve() not in named
            ],
            "photos that no file of captions names",
            "nothing, if they belong to another part; otherwise write captions for them",
        )


def _contents(part: Part, looks: Mapping[PhotoFile, Look]) -> dict[str, str]:
    """Return the photos of a part that are there, by their contents."""
    seen = {entry.file: looks[part.path(entry)] for entry in part.entries}
    return {look.content: file for file, look in seen.items() if look.there}


def _finding(level: Level, part: str, items: Iterable[str], what: str, advice: str) -> Iterator[Finding]:
    """Return a finding about items, unless there are none."""
    found = list(items)
    if found:
        yield Finding(level, part, len(found), what, advice, tuple(found[:EXAMPLES]))
