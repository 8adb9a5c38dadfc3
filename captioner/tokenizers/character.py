"""Characters as tokens: single code points, case and white space kept, so that text comes back as it was."""

from collections.abc import Iterable
from typing import ClassVar

from captioner.tokenizers.base import UNK, Tokenizer

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class CharacterTokenizer(Tokenizer):
    """A fixed vocabulary of Unicode code points; see :class:`captioner.tokenizers.base.Tokenizer`.

    A letter and its combining accent are two pieces, as are the parts of a joined emoji. Lone surrogates are halves of
    characters that no file can hold; they are dropped.
    """

    name: ClassVar[str] = "character"

    @staticmethod
    def split(text: str) -> list[str]:
        """Return the code points of a text."""
        return [character for character in text if not "\ud800" <= character <= "\udfff"]

    @staticmethod
    def join(pieces: Iterable[str]) -> str:
        """Write characters one after the other, an unknown one as U+FFFD."""
        return "".join(REPLACEMENT if piece == UNK else piece for piece in pieces)
