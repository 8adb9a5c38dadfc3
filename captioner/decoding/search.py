"""From options to the search that they ask for."""

from collections.abc import Sequence
from typing import Any

from captioner.decoding.beam import BeamSearch
from captioner.decoding.options import DecodingOptions, SpecialTokens, Task
from captioner.decoding.sampling import greedy, sample
from captioner.decoding.wanted import Wanted
from captioner.types import AnySteps, Hypothesis


def search(
    decoder: AnySteps,
    memory: Any,
    batch_size: int,
    special: SpecialTokens,
    options: DecodingOptions,
    beginning: Sequence[int] = (),
    wanted: Wanted | None = None,
) -> list[list[Hypothesis]]:
    """Find captions of every image of a batch.

    Every log-probability returned is the model's own, over the whole vocabulary, whatever the options forbid or steer,
    and without any bonus.

    Args:
        decoder: What scores the next token.
        memory: What ``decoder.prepare`` returned for the images.
        batch_size: B, how many images the memory holds.
        special: The ids of the special tokens.
        options: How to search.
        beginning: The token ids of ``options.beginning``, with which every hypothesis starts; they may be ids that are
            never generated, and may repeat themselves.
        wanted: A word for each image, or for some, that its captions shall rather have: beam search, greedy included,
            ranks hypotheses with a bonus for it. One that the beginning has gives none. Sampling knows no bonus.

    Returns:
        For each image its ``num_captions`` hypotheses, best first; fewer only if a beam search does not meet as many
        sequences. Hypotheses that ended come before those cut at the maximum length.

    Raises:
        OptionError: If the beginning is longer than the maximum length, holds ``<END>``, or is text without a token,
            or if the wanted words are of another number of images.
    """
    task = Task(decoder, memory, batch_size, special, options, beginning, wanted)
    if options.search == "sample":
        return sample(task)
    return greedy(task) if options.beam_size == 1 else BeamSearch(task).run()
