"""Text of any length from a language model."""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from captioner.config import STRICT
from captioner.decoding import MAX_BEAM_SIZE, MAX_LENGTH, DecodingOptions, SpecialTokens
from captioner.decoding.rows import Constraints
from captioner.decoding.sampling import Sampler
from captioner.errors import OptionError
from captioner.ranges import Range, check_ranges, ranges_of
from captioner.tokenizers import Tokenizer
from training.language.model import LanguageModel

MAX_TEXT = 100_000
DECODING = ranges_of(DecodingOptions)


@dataclass(frozen=True)
class SampleOptions:
    """How to sample; see :class:`captioner.decoding.DecodingOptions` for temperature, ``top_k`` and ``top_p``.

    Attributes:
        length: Tokens of a sample, the beginning not counted, 1 to 100,000.
        count: How many samples, 1 to 50.
        temperature: Log-probabilities are divided by it.
        top_k: Draw from this many most probable tokens; 0 draws from all.
        top_p: Draw from the fewest most probable tokens that hold this much probability.
        seed: Equal seeds give equal samples; ``None`` draws anew each time.
        beginning: Text that every sample starts with; empty starts as any part of the text may.
    """

    __pydantic_config__ = STRICT
    length: Annotated[int, Range(1, MAX_TEXT)] = 400
    count: Annotated[int, Range(1, MAX_BEAM_SIZE)] = 1
    temperature: Annotated[float, DECODING["temperature"]] = 0.8
    top_k: Annotated[int, DECODING["top_k"]] = 0
    top_p: Annotated[float, DECODING["top_p"]] = 1.0
    seed: Annotated[int | None, DECODING["seed"]] = 1
    beginning: str = ""

    def __post_init__(self) -> None:
        check_ranges(self, error=OptionError)

    def decoding(self) -> DecodingOptions:
        """Return the same as a search that never ends early."""
        return DecodingOptions(
            search="sample",
            num_captions=self.count,
            max_length=MAX_LENGTH,
            min_length=MAX_LENGTH,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            seed=self.seed,
        )


@torch.inference_mode()
def write_samples(model: LanguageModel, options: SampleOptions) -> list[str]:
    """Let a language model write.

    The state is carried from token to token, so that the time grows as the length. The first 200 tokens are those that
    :func:`captioner.decoding.search` draws for the same options.

    Raises:
        OptionError: If the vocabulary lacks a piece of the beginning, or the beginning has no token.
    """
    decoder, tokenizer = model.decoder, model.tokenizer
    beginning = _beginning(tokenizer, options.beginning)
    memory = decoder.prepare_nothing(options.count)
    read = torch.tensor([tokenizer.bos_id, *beginning], device=decoder.device).expand(options.count, -1)
    run = decoder.teacher_force(read, memory, decoder.begin(memory))
    logits, state = run.logits[:, -1], run.state
    draw, written = _Draw(options.decoding(), tokenizer.special), []
    for position in range(options.length):
        tokens = draw(logits, position)
        written.append(tokens)
        step = decoder.step(tokens, memory, state)
        logits, state = step.logits, step.state
    return [tokenizer.decode([*beginning, *sample]) for sample in torch.stack(written, dim=1).tolist()]


def _beginning(tokenizer: Tokenizer, text: str) -> list[int]:
    unknown = [piece for piece in tokenizer.split(text) if not tokenizer.knows(piece)]
    if unknown:
        raise OptionError(f"beginning: the model does not know {', '.join(map(repr, dict.fromkeys(unknown)))}")
    tokens = tokenizer.encode(text)
    if text and not tokens:
        raise OptionError(f"beginning is {text!r}; it must have at least one token")
    return tokens


class _Draw:
    """Draws tokens with the filters and random numbers of a search, which has them for a limited length.

    Every ``MAX_LENGTH`` tokens it thus starts a sampler whose seed follows from the first one's.
    """

    def __init__(self, options: DecodingOptions, special: SpecialTokens) -> None:
        self._options = options
        self._special = special

    def __call__(self, logits: Tensor, position: int) -> Tensor:
        """Draw one token per row ``[K]`` from logits ``[K, V]``, given how many were drawn before."""
        block, place = divmod(position, MAX_LENGTH)
        if place == 0:
            self._sampler = Sampler(replace(self._options, seed=self._seed(block)), batch_size=1)
        log_probs = logits.float().log_softmax(dim=1).unsqueeze(0).cpu().numpy()  # [1, K, V]
        nothing = np.empty((1, len(logits), 0), dtype=np.int64)
        allowed = Constraints(self._special, self._options).apply(log_probs, nothing)
        return torch.from_numpy(self._sampler(allowed, place)[0]).to(logits.device)

    def _seed(self, block: int) -> int | None:
        seed = self._options.seed
        if seed is None or block == 0:
            return seed
        return int(np.random.SeedSequence([seed, block]).generate_state(1, np.uint64)[0] >> np.uint64(1))
