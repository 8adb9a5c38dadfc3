"""What a search is asked to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from captioner.decoding.options import DecodingOptions
from captioner.decoding.special import SpecialTokens
from captioner.errors import OptionError
from captioner.types import AnyDecoder


@dataclass(frozen=True)
class Task:
    """The arguments of :func:`captioner.decoding.search`, checked."""

    decoder: AnyDecoder
    memory: Any
    batch_size: int
    special: SpecialTokens
    options: DecodingOptions
    beginning: Sequence[int]

    def __post_init__(self) -> None:
        text, most = self.options.beginning, self.options.max_length
        if text and not self.beginning:
            raise OptionError(f"beginning is {text!r}; it must have at least one token")
        if len(self.beginning) > most:
            raise OptionError(
                f"beginning is {len(self.beginning)} tokens long; it must be at most {most} (the maximum length)"
            )
        if self.special.eos_id in self.beginning:
            raise OptionError(f"beginning is {list(self.beginning)}; it must be without <END> ({self.special.eos_id})")
