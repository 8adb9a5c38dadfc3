"""A decoder small enough to enumerate, and plain Python that says what search should find with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from captioner.decoding import DecodingOptions, SpecialTokens, search
from captioner.types import DecoderStep, Features, Hypothesis

PAD, BOS, EOS, UNK, *_ = range(5)
SPECIAL = SpecialTokens(BOS, EOS, banned=(PAD, BOS, UNK))
FIRST_WORD = 4
STATES = 1009  # so many that two captions hardly ever share their scores
Tokens = tuple[int, ...]


@dataclass(frozen=True)
class ToyState:
    """A row's history as one number."""

    history: Tensor

    def select(self, rows: Tensor) -> "ToyState":
        return ToyState(self.history[rows])

    def detach(self) -> "ToyState":
        return self


class ToyDecoder:
    """A decoder whose logits are looked up in a table ``[B, STATES, V]``, by image and by what was read so far.

    Its attention tells which history was looked at.
    """

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.steps = 0

    def prepare(self, features: Features) -> Tensor:
        return features.vector

    def begin(self, memory: Tensor, rows_per_image: int = 1) -> ToyState:
        return ToyState(torch.zeros(len(memory) * rows_per_image, dtype=torch.long))

    def step(self, tokens: Tensor, memory: Tensor, state: ToyState) -> DecoderStep[ToyState]:
        self.steps += 1
        history = next_history(state.history, tokens, memory.shape[2])
        image = torch.arange(len(tokens)) // (len(tokens) // len(memory))
        attention = torch.nn.functional.one_hot(history, STATES).float()
        return DecoderStep(memory[image, history], attention, ToyState(history))


def next_history(history: Tensor, token: Tensor | int, vocabulary: int) -> Tensor:
    return (history * vocabulary + token + 1) % STATES


def table(images: int, vocabulary: int, seed: int, spread: float = 2) -> Tensor:
    """Return a toy's memory of so many images."""
    return spread * torch.randn(images, STATES, vocabulary, generator=torch.Generator().manual_seed(seed))


def run(memory: Tensor, options: DecodingOptions, beginning: Sequence[int] = ()) -> list[list[Hypothesis]]:
    """Search with a toy, on one thread: such tiny steps only lose by a second one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return search(ToyDecoder(), memory, len(memory), SPECIAL, options, beginning)
    finally:
        torch.set_num_threads(threads)


class Reader:
    """One image, read by hand."""

    def __init__(self, memory: Tensor) -> None:
        logits = memory.double().numpy()  # of one image, by history and token
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
