"""The decoder's rows during a search: what they may write (constraints), what they wrote (trellis), and their steps."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from captioner.decoding.options import DecodingOptions, SpecialTokens, Task
from captioner.types import FloatArray, Hypothesis, IntArray

IMPOSSIBLE = -1e9  # below every real log-probability, yet safe to add to: -inf minus -inf is not a number
POSSIBLE = IMPOSSIBLE / 2  # sums of real log-probabilities stay above it
UNLIKELY = -1e4  # lets a caption end where nothing else is left, even with a model that gives <END> no probability


class Constraints:
    """Makes tokens impossible: banned ones, an end before the minimum length, and those that repeat an n-gram."""

    def __init__(self, special: SpecialTokens, options: DecodingOptions) -> None:
        self._eos_id = special.eos_id
        self._banned = list(special.banned)
        self._min_length = options.min_length
        self._ngram_size = options.no_repeat_ngram_size

    def apply(self, log_probs: FloatArray, written: IntArray) -> FloatArray:
        """Make log-probabilities ``[B, K, V]`` of forbidden tokens impossible, in place, and return them.

        ``<END>`` is allowed wherever no other token is.

        Args:
            log_probs: Of the next token.
            written: ``[B, K, T]``, the tokens so far.
        """
        log_probs[:, :, self._banned] = IMPOSSIBLE
        length = written.shape[2]
        if length >= self._min_length and not self._ngram_size:
            return log_probs
        end = log_probs[:, :, self._eos_id].copy()  # [B, K]
        log_probs[:, :, self._eos_id] = IMPOSSIBLE
        if 0 < self._ngram_size <= length:
            _block_repeats(log_probs, written, self._ngram_size)
        stuck = log_probs.max(axis=2) < POSSIBLE  # [B, K]
        early = end if length >= self._min_length else np.full_like(end, IMPOSSIBLE)
        log_probs[:, :, self._eos_id] = np.where(stuck, end.clip(min=UNLIKELY), early)
        return log_probs


def _block_repeats(log_probs: FloatArray, written: IntArray, size: int) -> None:
    """Make tokens impossible that would end an n-gram already in ``written [B, K, T]``, with T at least its size."""
    ngrams = sliding_window_view(written, size, axis=2)  # [B, K, T - size + 1, size]
    recent = written[:, :, None, written.shape[2] - size + 1 :]  # [B, K, 1, size - 1]
    begun = (ngrams[..., :-1] == recent).all(axis=3)  # [B, K, T - size + 1]; all of them when the size is 1
    images, slots, places = begun.nonzero()
    log_probs[images, slots, ngrams[images, slots, places, -1]] = IMPOSSIBLE


class Trellis:
    """What was written at each step into the slots of B images, with the slot of the step before that each extends."""

    def __init__(self, eos_id: int) -> None:
        self._eos_id = eos_id
        self._attention: list[FloatArray | None] = []  # per step [B, K, L], indexed by the slot that was extended
        self._steps: list[tuple[list[list[int]], list[list[int]], list[list[float]]]] = []

    def look(self, attention: FloatArray | None, batch_size: int) -> None:
        """Note where the slots looked (``[B * K, L]``) when the tokens of this step were scored."""
        self._attention.append(None if attention is None else attention.reshape(batch_size, -1, attention.shape[1]))

    def keep(self, images: IntArray) -> None:
        """Forget all images but the given ones ``[B']``, which are numbered anew."""
        self._attention = [None if one is None else one[images] for one in self._attention]
        kept = images.tolist()
        self._steps = [([a[i] for i in kept], [b[i] for i in kept], [c[i] for i in kept]) for a, b, c in self._steps]

    def extend(self, parents: IntArray, tokens: IntArray, log_probs: FloatArray) -> None:
        """Add a step's tokens; all arguments are ``[B, K]``, whatever K was at the step before."""
        self._steps.append((parents.tolist(), tokens.tolist(), log_probs.tolist()))

    def read(self, image: int, slot: int, length: int, end: float | None = None) -> Hypothesis:
        """Read the hypothesis that a slot of an image held after ``length`` tokens.

        Args:
            image: Index of the image.
            slot: Index of the slot.
            length: How many tokens had been written.
            end: The log-probability of ``<END>`` after them, if it ended there.
        """
        written = [] if end is None else [(self._eos_id, end, self._weights(length, image, slot))]
        for step in reversed(range(length)):
            parents, tokens, log_probs = self._steps[step]
            token, log_prob, slot = tokens[image][slot], log_probs[image][slot], parents[image][slot]
            written.append((token, log_prob, self._weights(step, image, slot)))
        written.reverse()
        maps = [weights for _, _, weights in written if weights is not None]
        return Hypothesis(
            tokens=tuple(token for token, _, _ in written),
            token_logprobs=tuple(log_prob for _, log_prob, _ in written),
            attention=np.stack(maps) if maps else None,
            finished=end is not None,
        )

    def _weights(self, step: int, image: int, slot: int) -> FloatArray | None:
        attention = self._attention[step]
        return None if attention is None else attention[image, slot]


class Rows:
    """B images times K slots that write one token each per step; what every search has in common.

    K may change from step to step, and images may leave.

    Args:
        task: What to search.
        slots: K at the first step.

    Attributes:
        images: ``[B]``, which of the task's images they are.
        written: ``[B, K, T]``, the tokens so far.
        trellis: The steps so far.
        wanted: The words that the images want; ``None`` if none of them wants any.
    """

    def __init__(self, task: Task, slots: int) -> None:
        self.task = task
        self.images = np.arange(task.batch_size)
        self.trellis = Trellis(task.special.eos_id)
        self.wanted = None if task.wanted is None else task.wanted.of(self.images)
        self.written = np.empty((task.batch_size, slots, 0), dtype=np.int64)
        self._constraints = Constraints(task.special, task.options)
        self._memory = task.memory
        self._state = task.decoder.begin(task.memory, slots)
        self._tokens = np.full((task.batch_size, slots), task.special.bos_id)

    def begin(self) -> FloatArray:
        """Write the beginning into all slots; return its log-probability, ``[B, K]``."""
        log_prob = np.zeros(self._tokens.shape, dtype=np.float32)
        for token in self.task.beginning:
            token_log_prob = self._read()[:, :, token]
            log_prob = log_prob + token_log_prob
            self.write(np.full_like(self._tokens, token), token_log_prob)
        return log_prob

    def score(self) -> FloatArray:
        """Read the last tokens; return the next one's natural-log probabilities ``[B, K, V]``.

        They are normalised over the whole vocabulary, so that a log-probability means the same as in training; only
        then are forbidden tokens made impossible.
        """
        return self._constraints.apply(self._read(), self.written)

    def write(self, tokens: IntArray, log_probs: FloatArray, parents: IntArray | None = None) -> None:
        """Write one token per slot, after what the parent slots hold; all arguments are ``[B, K']``.

        Without parents each slot goes on by itself.
        """
        images, slots = self._tokens.shape
        self.trellis.extend(np.tile(np.arange(slots), (images, 1)) if parents is None else parents, tokens, log_probs)
        if parents is not None:
            rows = np.arange(images)[:, None]
            self._state = self._state.select((rows * slots + parents).ravel())
            self.written = self.written[rows, parents]
        self.written = np.concatenate([self.written, tokens[:, :, None]], axis=2)
        self._tokens = tokens

    def keep(self, places: IntArray) -> None:
        """Go on with some of the images alone, given by their places among those that are left, ``[B']``."""
        slots = np.arange(self._tokens.shape[1])
        self._state = self._state.select((places[:, None] * len(slots) + slots).ravel())
        self._memory = self.task.decoder.select(self._memory, places)
        self.trellis.keep(places)
        self.wanted = None if self.wanted is None else self.wanted.of(places)
        self.images, self.written, self._tokens = self.images[places], self.written[places], self._tokens[places]

    def _read(self) -> FloatArray:
        step = self.task.decoder.step(self._tokens.ravel(), self._memory, self._state)
        self._state = step.state
        self.trellis.look(step.attention, len(self.images))
        return step.log_probs.reshape(*self._tokens.shape, -1)  # [B, K, V]
