"""Words as tokens: lower case, clitics apart as in the Penn Treebank, rare words as ``<UNK>``."""

import re
from collections.abc import Iterable
from typing import ClassVar

from captioner.tokenizers.base import Tokenizer

_CLITIC = r"n't|'(?:s|re|ve|ll|d|m)"
_END = r"(?![^\W_])"  # no letter or digit follows; an underscore may, for it parts words
_SPLIT_CLITIC = re.compile(rf"(?<=\w)({_CLITIC})(?=(?:{_CLITIC})*{_END})")
_WORD = re.compile(rf"(?:{_CLITIC}){_END}|[^\W_]+(?:[-'&][^\W_]+)*")
_IS_CLITIC = re.compile(_CLITIC)


def split_words(text: str) -> list[str]:
    """Cut a text into lower-case words; punctuation is dropped and clitics stand alone (``dog's`` is ``dog 's``)."""
    plain = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return _WORD.findall(_SPLIT_CLITIC.sub(r" \1", plain))


def join_words(words: Iterable[str]) -> str:
    """Write words as a text, clitics joined to the word before them; undoes :func:`split_words` on its own output."""
    text = ""
    for word in words:
        text += word if not text or _IS_CLITIC.fullmatch(word) else f" {word}"
    return text


class WordTokenizer(Tokenizer):
    """A fixed vocabulary of words; see :class:`captioner.tokenizers.base.Tokenizer`."""

    name: ClassVar[str] = "word"

    @staticmethod
    def split(text: str) -> list[str]:
        """Cut a text by :func:`split_words`."""
        return split_words(text)

    @staticmethod
    def join(pieces: Iterable[str]) -> str:
        """Write words by :func:`join_words`."""
        return join_words(pieces)
