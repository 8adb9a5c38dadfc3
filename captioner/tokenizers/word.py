"""Words as tokens: lower case, marks with their letters, clitics apart as in the Penn Treebank, rare words ``<UNK>``.

The rule has a number, which stands in a checkpoint's header: a model reads a text by the rule that it learnt with.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any, ClassVar

from captioner.tokenizers.base import Tokenizer
from captioner.tokenizers.marks import INVISIBLE, JOINERS, MARKS

_CLITIC = r"n't|'(?:s|re|ve|ll|d|m)"
_PART = rf"(?:[^\W_]|[{MARKS}])"  # of a word: a letter, a digit or a mark
_LETTER = rf"[^\W_][{MARKS}{JOINERS}]*+"  # or a digit, with all that belongs to it
_END = rf"(?!{_PART})"  # of a word; an underscore may follow, for it parts words
_MIDDLE = "-'&\u00b7\u05be\u05f3\u05f4"  # inside words; Catalan's dot, Hebrew's hyphen, geresh and gershayim besides
_SPLIT_CLITIC = re.compile(rf"(?:(?<=[\w{MARKS}])|(?<=[{MARKS}][{JOINERS}]))({_CLITIC})(?=(?:{_CLITIC})*{_END})")
_WORD = re.compile(rf"(?:{_CLITIC}){_END}|(?:{_LETTER})+(?:[{_MIDDLE}](?:{_LETTER})+)*")
_IS_CLITIC = re.compile(_CLITIC)
_UNSEEN = re.compile(f"[{INVISIBLE}]")
# A joiner is part of the spelling between letters, and after a mark (a virama) at a word's end; elsewhere it is noise.
_STRAY_JOINER = re.compile(rf"(?<!{_PART})(?<![{JOINERS}])[{JOINERS}]++|(?<![{MARKS}])[{JOINERS}]++{_END}")
_SPELLINGS = str.maketrans({"\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{HYPHEN}": "-", "\N{NON-BREAKING HYPHEN}": "-"})


def split_words(text: str) -> list[str]:
    """Cut a text into lower-case words in Unicode's normal form C.

    Punctuation is dropped, and clitics stand alone (``dog's`` is ``dog 's``). Combining marks and zero-width joiners
    stay with their letters; soft hyphens and signs of direction are left out. A script that writes no spaces, such as
    Thai or Chinese, is not cut: a word is what stands between two spaces or punctuation marks.
    """
    plain = text.lower() if text.isascii() else _normalise(text)
    return _WORD.findall(_SPLIT_CLITIC.sub(r" \1", plain))


def _normalise(text: str) -> str:
    composed = unicodedata.normalize("NFC", _UNSEEN.sub("", text))
    lower = unicodedata.normalize("NFC", composed.lower())
    return _STRAY_JOINER.sub("", lower.translate(_SPELLINGS))


def join_words(words: Iterable[str]) -> str:
    """Write words as a text, clitics joined to the word before them; undoes :func:`split_words` on its own output."""
    text = ""
    for word in words:
        text += word if not text or _IS_CLITIC.fullmatch(word) else f" {word}"
    return text


class WordTokenizer(Tokenizer):
    """A fixed vocabulary of words; see :class:`captioner.tokenizers.base.Tokenizer`.

    Attributes:
        rule: The number of the rule by which text is cut, as it stands in a checkpoint.
    """

    name: ClassVar[str] = "word"
    rule: ClassVar[int] = 2

    @staticmethod
    def split(text: str) -> list[str]:
        """Cut a text by :func:`split_words`."""
        return split_words(text)

    @staticmethod
    def join(pieces: Iterable[str]) -> str:
        """Write words by :func:`join_words`."""
        return join_words(pieces)

    def to_dict(self) -> dict[str, Any]:
        """Describe the tokenizer, for a checkpoint's header."""
        return {"name": self.name, "rule": self.rule, "vocabulary": list(self.vocabulary)}
