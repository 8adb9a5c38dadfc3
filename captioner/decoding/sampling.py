"""Searches that write one path per slot: greedy, and sampling with temperature, ``top_k`` and ``top_p``."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from captioner.decoding.options import DecodingOptions, Task
from captioner.decoding.rows import Rows
from captioner.types import FloatArray, Hypothesis, IntArray

Choose = Callable[[FloatArray, int, IntArray], IntArray]


def greedy(task: Task) -> list[list[Hypothesis]]:
    """Take the most probable token at every step, of a wanted word with its bonus."""
    rows = Rows(task, 1)

    def choose(log_probs: FloatArray, length: int, images: IntArray) -> IntArray:  # noqa: ARG001
        if rows.wanted is not None:
            log_probs = log_probs.copy()
            rows.wanted.favour(log_probs, rows.written)
        best: IntArray = log_probs.argmax(axis=2)
        return best

    return _walk(task, rows, choose)


def sample(task: Task) -> list[list[Hypothesis]]:
    """Draw every token at random.

    The ``num_captions`` samples of an image are independent of each other, so that a caption may occur several times;
    those that ended come first, then by their score.
    """
    return _walk(task, Rows(task, task.options.num_captions), Sampler(task.options, task.batch_size))


def _walk(task: Task, rows: Rows, choose: Choose) -> list[list[Hypothesis]]:
    """Write until all slots ended or are full; images whose slots ended leave.

    Args:
        task: What to search.
        rows: Of K captions per image.
        choose: What picks tokens ``[B, K]``, given log-probabilities ``[B, K, V]``, how many tokens stand before, and
            which images they are ``[B]``.
    """
    rows.begin()
    slots = rows.written.shape[1]
    found: list[dict[int, Hypothesis]] = [{} for _ in range(task.batch_size)]  # of each image, by slot
    for length in range(len(task.beginning), task.options.max_length + 1):
        scored = rows.score()
        tokens = choose(scored, length, rows.images)
        log_probs = np.take_along_axis(scored, tokens[:, :, None], axis=2)[:, :, 0]  # [B, K]
        for place, slot in np.argwhere(tokens == task.special.eos_id).tolist():
            ends = found[rows.images[place]]
            if slot not in ends:
                ends[slot] = rows.trellis.read(place, slot, length, end=float(log_probs[place, slot]))
        going = np.array([len(found[image]) < slots for image in rows.images])
        if length == task.options.max_length or not going.any():
            break
        rows.write(tokens, log_probs)
        if not going.all():
            rows.keep(np.flatnonzero(going))
    for place, image in enumerate(rows.images):
        for slot in set(range(slots)) - set(found[image]):
            found[image][slot] = rows.trellis.read(place, slot, length)
    return [_rank(task, [ends[slot] for slot in range(slots)]) for ends in found]


def _rank(task: Task, found: list[Hypothesis]) -> list[Hypothesis]:
    return sorted(found, key=lambda h: (h.finished, task.options.score(h.log_prob, len(h.tokens))), reverse=True)


class Sampler:
    """Draws tokens, by random numbers that depend on the seed, the sample and the step alone.

    What an image gets is thus the same in any batch. Without a seed each image has numbers of its own.

    Args:
        options: How to sample.
        batch_size: B.
    """

    def __init__(self, options: DecodingOptions, batch_size: int) -> None:
        self._options = options
        self._chance = _numbers(options, batch_size).astype(np.float64)  # [B or 1, K, max_length + 1]

    def __call__(self, log_probs: FloatArray, length: int, images: IntArray | None = None) -> IntArray:
        """Draw one token per slot.

        Args:
            log_probs: ``[B, K, V]``, with what may not be drawn made impossible.
            length: How many tokens stand before.
            images: ``[B]``, which of the batch's images they are; all of them if left out.

        Returns:
            Token ids ``[B, K]``.
        """
        masses = probabilities(log_probs, self._options).cumsum(axis=2)  # [B, K, V], in the order of token ids
        together = images is None or len(self._chance) == 1
        chance = self._chance if together else self._chance[images]  # [B or 1, K, max_length + 1]
        draws = chance[:, :, length, None] * masses[:, :, -1:]  # [B, K, 1]
        tokens: IntArray = (masses <= draws).sum(axis=2)
        return tokens


def probabilities(log_probs: FloatArray, options: DecodingOptions) -> NDArray[np.float64]:
    """Return the distribution ``[..., V]`` that is drawn from, in double precision, not normalised.

    First the temperature, then the ``top_k`` most probable tokens, then of these the fewest that hold ``top_p``.
    """
    exact = log_probs.astype(np.float64)
    with np.errstate(over="ignore"):  # near 0 all but the maximum, which is 0 at any temperature, may fall without end
        scaled = (exact - exact.max(axis=-1, keepdims=True)) / options.temperature
    chances: NDArray[np.float64] = np.exp(scaled)
    chances /= chances.sum(axis=-1, keepdims=True)
    size = chances.shape[-1]
    if options.top_k in (0, size) and options.top_p == 1:
        return chances
    count = min(options.top_k or size, size)
    tokens = np.argsort(-chances, axis=-1, kind="stable")[..., :count]  # [..., k], the most probable first
    best = np.take_along_axis(chances, tokens, axis=-1)
    best /= best.sum(axis=-1, keepdims=True)
    before = best.cumsum(axis=-1) - best  # what the more probable tokens hold
    before[..., 0] = 0.0
    kept = np.where(before >= options.top_p, 0.0, best)
    drawn = np.zeros_like(chances)
    np.put_along_axis(drawn, tokens, kept, axis=-1)
    return drawn


def _numbers(options: DecodingOptions, batch_size: int) -> FloatArray:
    """Return numbers from 0 up to but not including 1 for every image (one set for all with a seed), sample and step.

    Single precision has none so close to 1 that its product with a double could round up to the double itself.
    """
    samples, steps = options.num_captions, options.max_length + 1
    if options.seed is None:
        return np.random.default_rng().random((batch_size, samples, steps), dtype=np.float32)
    generators = (np.random.default_rng([options.seed, index]) for index in range(samples))
    return np.stack([generator.random(steps, dtype=np.float32) for generator in generators])[None]
