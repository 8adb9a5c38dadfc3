"""A text as streams of token ids."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from captioner.tokenizers import TOKENIZERS, Tokenizer
from training.errors import DataError
from training.initial.vocabulary import learn_tokenizer
from training.language.recipe import TextRecipe
from training.recipe import TokenizerRecipe


@dataclass(frozen=True)
class Text:
    """A text as token ids.

    Attributes:
        learnt: ``[T]``, its first part.
        held_out: ``[T']``, the rest, to validate on.
        tokenizer: Made from the first part.
        sha256: Hash of all of it as UTF-8.
    """

    learnt: Tensor
    held_out: Tensor
    tokenizer: Tokenizer
    sha256: str


def read_text(paths: Sequence[Path]) -> str:
    """Read text files one after the other, with a line's end between them.

    Raises:
        DataError: If one cannot be read as UTF-8.
    """
    try:
        return "\n".join(path.read_text(encoding="utf-8") for path in paths)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"not a readable text: {error}") from None


def load_text(source: TextRecipe, pieces: TokenizerRecipe) -> Text:
    """Read a text and make its vocabulary of the part that is learnt from.

    Raises:
        DataError: If a file cannot be read, or there is too little text to learn and to validate.
    """
    text = read_text(source.paths)
    kind = TOKENIZERS[pieces.name]
    all_pieces = kind.split(text)
    cut = round(len(all_pieces) * (1 - source.validation_share))
    if not 0 < cut < len(all_pieces):
        raise DataError(f"the text has {len(all_pieces)} tokens; that is too few to learn from some and keep others")
    learnt, held_out = kind.join(all_pieces[:cut]), kind.join(all_pieces[cut:])
    tokenizer = learn_tokenizer(pieces, [learnt])
    return Text(
        learnt=torch.tensor(tokenizer.encode(learnt)),
        held_out=torch.tensor(tokenizer.encode(held_out)),
        tokenizer=tokenizer,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


@dataclass(frozen=True)
class TextChunk:
    """What is read and predicted at one step.

    Attributes:
        inputs: ``[S, C]`` token ids, what stands before each target.
        targets: ``[S, C]`` token ids.
        start: Where in its stream the chunk starts; 0 is the stream's beginning, where the state is fresh.
    """

    inputs: Tensor
    targets: Tensor
    start: int

    def to(self, device: torch.device) -> "TextChunk":
        """Return the chunk on a device."""
        return replace(self, inputs=self.inputs.to(device), targets=self.targets.to(device))


class TextStreams:
    """A text cut into S equal streams, read side by side in chunks of C tokens; the last chunk may be shorter.

    Each stream starts with ``<START>``, so that the model learns how to begin without a past. Up to ``S - 1`` tokens at
    the end of the text are left out.

    Args:
        tokens: ``[T]``, the text.
        bos_id: Of ``<START>``.
        streams: S.
        chunk: C.

    Raises:
        DataError: If there is not a token for every stream.
    """

    def __init__(self, tokens: Tensor, bos_id: int, streams: int, chunk: int) -> None:
        length = len(tokens) // streams
        if not length:
            raise DataError(f"the text has {len(tokens)} tokens; {streams} streams need at least one each")
        self._targets = tokens[: streams * length].view(streams, length)
        self._inputs = torch.cat([torch.full((streams, 1), bos_id), self._targets[:, :-1]], dim=1)
        self._chunk = chunk
        self.streams = streams

    def __len__(self) -> int:
        """How many chunks a stream has."""
        return math.ceil(self._targets.shape[1] / self._chunk)

    def chunk(self, position: int) -> TextChunk:
        """Return the chunk at a position, from 0."""
        start = position * self._chunk
        span = slice(start, start + self._chunk)
        return TextChunk(self._inputs[:, span], self._targets[:, span], start)
