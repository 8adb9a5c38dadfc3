"""Everything that can be told of a data set before training on it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from captioner.tokenizers import TOKENIZERS
from training.data.check.findings import (
    LEVELS,
    Finding,
    Part,
    findings_between,
    findings_of_captions,
    findings_of_files,
    findings_of_folders,
    findings_of_lengths,
    findings_of_photos,
    findings_of_scores,
    findings_of_spaces,
    findings_of_words,
)
from training.data.check.words import Coverage, Lengths, count_words, coverage, unknown
from training.data.formats.annotations import Entry
from training.data.photos import look_at
from training.data.shards import ShardSource
from training.data.source import CaptionSource

OTHER_COUNTS = (1, 2, 3, 5, 10, 20)  # values of min_count that the table compares
WORDS_SHOWN = 12


@dataclass(frozen=True)
class CheckOptions:
    """How captions would be learnt.

    Attributes:
        max_tokens: Longer captions are cut.
        tokenizer: A name in ``captioner.tokenizers.TOKENIZERS``.
        min_count: How often a word must occur to be in the vocabulary.
        max_size: At most this many words; 0 takes all.
        photos: Whether to open every photo, rather than to see only whether it exists.
    """

    max_tokens: int = 20
    tokenizer: str = "word"
    min_count: int = 5
    max_size: int = 0
    photos: bool = True


@dataclass(frozen=True)
class PartFacts:
    """The numbers of a part.

    Attributes:
        part: The part.
        lengths: Of its captions.
        coverage: Of its words by vocabularies of the first part's words, the recipe's first.
        unknown: Its most frequent words that the recipe's vocabulary lacks, and how often each occurs.
    """

    part: Part
    lengths: Lengths
    coverage: tuple[Coverage, ...]
    unknown: tuple[tuple[str, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "photos": len(self.part.entries),
            "captions": self.lengths.total,
            "lengths": {str(length): count for length, count in sorted(self.lengths.counts.items())},
            "longest": self.lengths.longest,
            "mean_length": self.lengths.mean,
            "cut": self.lengths.cut,
            "coverage": [asdict(entry) for entry in self.coverage],
            "unknown_words": dict(self.unknown),
        }


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        options: How captions would be learnt.
        facts: Of each part; the vocabulary is that of the first one.
        findings: What is wrong, the worst first.
    """

    options: CheckOptions
    facts: tuple[PartFacts, ...]
    findings: tuple[Finding, ...]

    @property
    def serious(self) -> bool:
        """Whether something is wrong that must be mended before training."""
        return any(finding.level == "serious" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "serious": self.serious,
            "options": asdict(self.options),
            "parts": {facts.part.name: facts.to_dict() for facts in self.facts},
            "findings": [asdict(finding) for finding in self.findings],
        }


def parts_of(sources: Mapping[str, CaptionSource | ShardSource]) -> list[Part]:
    """Read what is to be checked.

    Raises:
        DataError: If a file of captions or a shard cannot be read.
    """
    return [
        _part_of_shards(name, source)
        if isinstance(source, ShardSource)
        else Part(name, source.annotations, source.images, list(source.entries().values()), source.unlisted())
        for name, source in sources.items()
    ]


def _part_of_shards(name: str, source: ShardSource) -> Part:
    images = replace(source, unreadable="error").load()  # none is left out: this is to tell of them
    names = [str(image.path).removeprefix(f"{source.root}/") for image in images]
    photos = {name: image.path for name, image in zip(names, images, strict=True)}
    entries = [
        Entry(name, image.captions, "", image.image_id, image.text_id)
        for name, image in zip(names, images, strict=True)
    ]
    return Part(name, Path(str(source)), source.root, entries, shards=photos)


def parts_of_file(source: CaptionSource) -> list[Part]:
    """Read a file; each split of it, or each that the source chooses, is a part, "train" the first if there is one.

    Raises:
        DataError: If the file cannot be read.
    """
    if source.split:
        return parts_of({name: replace(source, split=(name,)) for name in source.split})
    splits = sorted(source.by_split().items(), key=lambda item: (item[0] != "train", item[0]))
    unlisted = source.unlisted()
    return [
        Part(name or "data", source.annotations, source.images, list(entries.values()), unlisted)
        for name, entries in splits
    ]


def check(parts: Sequence[Part], options: CheckOptions) -> Report:
    """Look at photos and captions.

    Args:
        parts: What to look at; the vocabulary is made of the first one.
        options: How captions would be learnt.
    """
    split = TOKENIZERS[options.tokenizer].split
    learnt = count_words(parts[0].captions, split) if parts else Counter()
    facts = tuple(_facts(part, learnt, options) for part in parts)
    looks = look_at((part.path(entry) for part in parts for entry in part.entries), opened=options.photos)
    findings = [
        finding for part in parts for finding in (*findings_of_photos(part, looks), *findings_of_captions(part))
    ]
    findings += findings_between(parts, looks)
    if options.tokenizer == "word":
        findings += [finding for part in parts for finding in findings_of_spaces(part)]
    findings += [finding for part in parts for finding in findings_of_scores(part)]
    for item in facts[:1]:  # what is not learnt from is not cut either
        findings += findings_of_lengths(item.part, item.lengths, f"{options.tokenizer}s")
    for item in facts:
        findings += findings_of_words(item.part, item.coverage[0], item.coverage[1:])
    findings += [*findings_of_files(parts), *findings_of_folders(parts)]
    return Report(options, facts, tuple(sorted(findings, key=lambda finding: LEVELS.index(finding.level))))


def _facts(part: Part, learnt: Counter[str], options: CheckOptions) -> PartFacts:
    split = TOKENIZERS[options.tokenizer].split
    read = count_words(part.captions, split)
    counts = (options.min_count, *(count for count in OTHER_COUNTS if count != options.min_count))
    return PartFacts(
        part,
        Lengths.of(part.captions, split, options.max_tokens),
        tuple(coverage(learnt, read, count, options.max_size) for count in counts),
        tuple(unknown(learnt, read, options.min_count, options.max_size)[:WORDS_SHOWN]),
    )
