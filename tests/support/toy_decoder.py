"""A decoder small enough to enumerate, and plain Python that says what search should find with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from captioner.decoding import DecodingOptions, SpecialTokens, Wanted, search
from captioner.types import FloatArray, Hypothesis, IntArray, ScoredStep

PAD, BOS, EOS, UNK, *_ = range(5)
SPECIAL = SpecialTokens(BOS, EOS, banned=(PAD, BOS, UNK))
FIRST_WORD = 4
STATES = 1009  # so many that two captions hardly ever share their scores
Tokens = tuple[int, ...]


@dataclass(frozen=True)
class ToyState:
    """A row's history as one number."""

    history: IntArray

    def select(self, rows: IntArray) -> "ToyState":
        return ToyState(self.history[rows])


class ToyDecoder:
    """A decoder whose logits are looked up in a table ``[B, STATES, V]``, by image and by what was read so far.

    Its attention tells which history was looked at.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.rows: list[int] = []  # of each step

    def begin(self, memory: FloatArray, rows_per_image: int = 1) -> ToyState:
        return ToyState(np.zeros(len(memory) * rows_per_image, dtype=np.int64))

    def select(self, memory: FloatArray, images: IntArray) -> FloatArray:
        return memory[images]

    def step(self, tokens: IntArray, memory: FloatArray, state: ToyState) -> ScoredStep[ToyState]:
        self.steps += 1
        self.rows.append(len(tokens))
        history = (state.history * memory.shape[2] + tokens + 1) % STATES
        image = np.arange(len(tokens)) // (len(tokens) // len(memory))
        attention = np.zeros((len(tokens), STATES), dtype=np.float32)
        attention[np.arange(len(tokens)), history] = 1
        return ScoredStep(log_softmax(memory[image, history]), attention, ToyState(history))


def log_softmax(logits: FloatArray) -> FloatArray:
    scaled = logits - logits.max(axis=-1, keepdims=True)
    log_probs: FloatArray = scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True))
    return log_probs


def table(images: int, vocabulary: int, seed: int, spread: float = 2) -> FloatArray:
    """Return a toy's memory of so many images."""
    numbers = np.random.default_rng(seed).standard_normal((images, STATES, vocabulary), dtype=np.float32)
    return np.float32(spread) * numbers


def run(
    memory: FloatArray, options: DecodingOptions, beginning: Sequence[int] = (), wanted: Wanted | None = None
) -> list[list[Hypothesis]]:
    """Search with a toy."""
    return search(ToyDecoder(), memory, len(memory), SPECIAL, options, beginning, wanted)


class Reader:
    """One image, read by hand."""

    def __init__(self, memory: FloatArray) -> None:
        logits = memory.astype(np.float64)  # of one image, by history and token
        self.log_probs = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).tolist()
        self.vocabulary = memory.shape[1]

    def histories(self, tokens: Tokens) -> list[int]:
        """Return the history that stands before each token."""
        histories, history = [], 0
        for token in (BOS, *tokens)[: len(tokens)]:
            history = (history * self.vocabulary + token + 1) % STATES
            histories.append(history)
        return histories

    def token_logprobs(self, tokens: Tokens) -> list[float]:
        return [self.log_probs[history][token] for history, token in zip(self.histories(tokens), tokens, strict=True)]

    def next_logprob(self, tokens: Tokens, token: int) -> float:
        return self.token_logprobs((*tokens, token))[-1]

    def allowed(self, tokens: Tokens, options: DecodingOptions) -> list[int]:
        """Return what may stand after some tokens."""
        words = [w for w in range(FIRST_WORD, self.vocabulary) if not repeats((*tokens, w), options)]
        may_end = len(tokens) >= options.min_length or not words
        return [EOS, *words] if may_end else words

    def endings(self, tokens: Tokens, options: DecodingOptions) -> Iterator[Tokens]:
        """Yield every allowed sequence that starts with some tokens and ends."""
        for token in self.allowed(tokens, options):
            if token == EOS:
                yield (*tokens, EOS)
            elif len(tokens) < options.max_length:
                yield from self.endings((*tokens, token), options)

    def score(self, tokens: Tokens, options: DecodingOptions) -> float:
        return float(sum(self.token_logprobs(tokens)) / len(tokens) ** options.length_penalty)


def repeats(tokens: Tokens, options: DecodingOptions) -> bool:
    """Tell whether the last n-gram of some tokens stands in them before."""
    size = options.no_repeat_ngram_size
    ngrams = [tokens[i : i + size] for i in range(len(tokens) - size + 1)] if size else []
    return bool(ngrams) and ngrams[-1] in ngrams[:-1]
