"""The first rule for words, which knew no combining marks; checkpoints without a rule's number were made by it."""

import re
from typing import Any, ClassVar

from captioner.tokenizers.word import WordTokenizer

_CLITIC = r"n't|'(?:s|re|ve|ll|d|m)"
_END = r"(?![^\W_])"  # no letter or digit follows; an underscore may, for it parts words
_SPLIT_CLITIC = re.compile(rf"(?<=\w)({_CLITIC})(?=(?:{_CLITIC})*{_END})")
_WORD = re.compile(rf"(?:{_CLITIC}){_END}|[^\W_]+(?:[-'&][^\W_]+)*")


class WordTokenizerRule1(WordTokenizer):
    """Words cut at combining marks, which are dropped; of text in ASCII the same words as by the present rule."""

    rule: ClassVar[int] = 1

    @staticmethod
    def split(text: str) -> list[str]:
        """Cut a text into lower-case words."""
        plain = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        return _WORD.findall(_SPLIT_CLITIC.sub(r" \1", plain))

    def to_dict(self) -> dict[str, Any]:
        """Describe the tokenizer as checkpoints of its time did, which knew no other rule."""
        return {name: value for name, value in super().to_dict().items() if name != "rule"}
