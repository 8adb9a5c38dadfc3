"""What a search is asked for: the options with their allowed values, the special tokens, and both as a checked task."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from captioner.decoding.wanted import Wanted
from captioner.errors import OptionError
from captioner.ranges import Range, check_ranges
from captioner.types import AnySteps

MAX_BEAM_SIZE = 50
MAX_LENGTH = 200
MAX_NGRAM_SIZE = 10
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class DecodingOptions:
    """How to search. An option that the chosen search does not use must keep its default.

    Attributes:
        beam_size: K, hypotheses kept per image, 1 to 50; 1 is greedy search. Only with search "beam".
        num_captions: How many captions to return: of a beam search the best, 1 to ``beam_size``; of sampling all that
            are drawn, 1 to 50.
        max_length: Most tokens of a caption, 1 to 200; ``<END>`` is not counted.
        length_penalty: Exponent a of the score ``log_prob / length ** a`` by which hypotheses and samples are ranked, 0
            to 2 (Wu et al. 2016 in its simplest form), where the length counts ``<END>``; 0 ranks by probability, more
            prefers longer captions.
        search: "beam" looks for the best captions, "sample" draws captions at random.
        min_length: Fewest tokens before ``<END>``, 0 to ``max_length``. A caption ends earlier only where no other
            token is possible.
        no_repeat_ngram_size: No n-gram of this many tokens occurs twice in a caption, 1 to 10; 0 allows repeats.
        groups: G, into how many groups the beams are divided, each of which is kept from the words of those before it
            (diverse beam search, Vijayakumar et al. 2018); a divisor of ``beam_size``. Only with search "beam".
        diversity: By how much a token's log-probability is lowered in a group for each beam of earlier groups that
            takes it at the same step, 0 to 10. Only with several groups.
        temperature: Log-probabilities are divided by it before a token is drawn, above 0 to 10; near 0 is greedy. Only
            with search "sample", as the next three.
        top_k: Draw from this many most probable tokens; 0 draws from all.
        top_p: Draw from the fewest most probable tokens whose probabilities (after temperature and ``top_k``) sum to
            at least this, above 0 to 1 (nucleus sampling, Holtzman et al. 2020).
        seed: 0 to 2**63 - 1. An image gets the same samples for a seed in any batch, so equal images in a batch get
            equal samples; ``None`` draws anew each time, and for each image.
        beginning: Text that every caption starts with; it counts as part of the caption in all the other options.
        consensus: Above 0, the first caption of a beam search is not the one of the highest score but that which the
            others found are most like, each weighted by ``exp(score / consensus)``
            (:func:`captioner.decoding.consensus.consensus`), 0 to 10; 0 ranks by score alone. Only with search "beam".

    Raises:
        OptionError: If a value is out of range, or is given to a search that does not use it.
    """

    beam_size: Annotated[int, Range(1, MAX_BEAM_SIZE)] = 5
    num_captions: Annotated[int, Range(1, MAX_BEAM_SIZE)] = 1
    max_length: Annotated[int, Range(1, MAX_LENGTH)] = 20
    length_penalty: Annotated[float, Range(0, 2)] = 0.5
    search: Literal["beam", "sample"] = "beam"
    min_length: Annotated[int, Range(0, MAX_LENGTH)] = 0
    no_repeat_ngram_size: Annotated[int, Range(0, MAX_NGRAM_SIZE)] = 0
    groups: Annotated[int, Range(1, MAX_BEAM_SIZE)] = 1
    diversity: Annotated[float, Range(0, 10)] = 0.5
    temperature: Annotated[float, Range(0, 10, above=True)] = 1.0
    top_k: Annotated[int, Range(0, note=" (0 is off)")] = 0
    top_p: Annotated[float, Range(0, 1, above=True)] = 1.0
    seed: Annotated[int | None, Range(0, MAX_SEED)] = None
    beginning: str = ""
    consensus: Annotated[float, Range(0, 10, note=" (0 is off)")] = 0.25

    def __post_init__(self) -> None:
        narrower = {"min_length": Range(0, self.max_length, " (the maximum length)")}
        if self.search == "beam":
            self._check_unused("search is 'beam'", "temperature", "top_k", "top_p", "seed")
            within_beam = Range(1, self.beam_size, " (the beam size)")
            narrower |= {"num_captions": within_beam, "groups": within_beam}
        elif self.search == "sample":
            self._check_unused("search is 'sample'", "beam_size", "groups", "diversity", "consensus")
        else:
            raise OptionError(f"search is {self.search!r}; it must be 'beam' or 'sample'")
        check_ranges(self, narrower=narrower, error=OptionError)
        if self.search == "beam":
            self._check_groups()

    def score(self, log_prob: float, length: int) -> float:
        """Return what a hypothesis of ``length`` tokens, ``<END>`` included, is ranked by."""
        return float(log_prob / length**self.length_penalty)

    @property
    def lookahead(self) -> int:
        """How many tokens ahead a beam search judges what lives: more, the more a length is worth."""
        return max(1, math.ceil(2 * self.length_penalty))

    def _check_groups(self) -> None:
        if self.beam_size % self.groups:
            raise OptionError(f"groups is {self.groups}; it must divide the beam size, which is {self.beam_size}")
        if self.groups == 1:
            self._check_unused("groups is 1", "diversity")

    def _check_unused(self, where: str, *names: str) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in names and value != field.default:
                raise OptionError(
                    f"{field.name} is {value}; it must be left at {field.default}, since it is not used when {where}"
                )


@dataclass(frozen=True)
class SpecialTokens:
    """The ids that search must know.

    Attributes:
        bos_id: Fed at the first step.
        eos_id: Ends a caption.
        banned: Ids that are never generated (padding, ``<START>``, ``<UNK>``).
    """

    bos_id: int
    eos_id: int
    banned: tuple[int, ...] = ()


@dataclass(frozen=True)
class Task:
    """The arguments of :func:`captioner.decoding.search`, checked."""

    decoder: AnySteps
    memory: Any
    batch_size: int
    special: SpecialTokens
    options: DecodingOptions
    beginning: Sequence[int]
    wanted: Wanted | None = None

    def __post_init__(self) -> None:
        if self.wanted is not None and len(self.wanted.tokens) != self.batch_size:
            raise OptionError(f"wanted words are of {len(self.wanted.tokens)} images; there are {self.batch_size}")
        text, most = self.options.beginning, self.options.max_length
        if text and not self.beginning:
            raise OptionError(f"beginning is {text!r}; it must have at least one token")
        if len(self.beginning) > most:
            raise OptionError(
                f"beginning is {len(self.beginning)} tokens long; it must be at most {most} (the maximum length)"
            )
        if self.special.eos_id in self.beginning:
            raise OptionError(f"beginning is {list(self.beginning)}; it must be without <END> ({self.special.eos_id})")
