"""Words as tokens: lower case, clitics apart as in the Penn Treebank, rare words as ``<UNK>``."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from captioner.decoding import SpecialTokens
from captioner.errors import ConfigError

PAD, START, END, UNK = SPECIALS = ("<PAD>", "<START>", "<END>", "<UNK>")
_CLITIC = r"n't|'(?:s|re|ve|ll|d|m)"
_SPLIT_CLITIC = re.compile(rf"(?<=\w)({_CLITIC})(?!\w)")
_WORD = re.compile(rf"(?:{_CLITIC})(?!\w)|[^\W_]+(?:[-'&][^\W_]+)*")
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


class WordTokenizer:
    """A fixed vocabulary of words.

    Token ids 0 to 3 are ``<PAD>``, ``<START>``, ``<END>`` and ``<UNK>``; the words follow in the order given.

    Args:
        vocabulary: The words, without the special tokens.
    """

    name = "word"
    pad_id, bos_id, eos_id, unk_id = range(4)

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._words = (*SPECIALS, *self.vocabulary)
        self._ids = {word: token for token, word in enumerate(self._words)}
        if len(self._ids) != len(self._words):
            raise ConfigError("the vocabulary names a word twice, or names a special token")

    @classmethod
    def from_captions(cls, captions: Iterable[str], min_count: int) -> "WordTokenizer":
        """Take the words that occur at least ``min_count`` times, the most frequent first."""
        counts = Counter(word for caption in captions for word in split_words(caption))
        ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
        return cls([word for word, count in ranked if count >= min_count])

    def __len__(self) -> int:
        """V, the special tokens included."""
        return len(self._words)

    @property
    def special(self) -> SpecialTokens:
        """What search must know; padding, ``<START>`` and ``<UNK>`` are never generated."""
        return SpecialTokens(self.bos_id, self.eos_id, banned=(self.pad_id, self.bos_id, self.unk_id))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's words, without ``<START>`` and ``<END>``; unknown words give ``unk_id``."""
        return [self._ids.get(word, self.unk_id) for word in split_words(text)]

    def words(self, tokens: Iterable[int]) -> list[str]:
        """Return the words of token ids, those of padding, ``<START>`` and ``<END>`` left out."""
        silent = (self.pad_id, self.bos_id, self.eos_id)
        return [self._words[token] for token in tokens if token not in silent]

    def decode(self, tokens: Iterable[int]) -> str:
        """Write token ids as a text."""
        return join_words(self.words(tokens))

    def to_dict(self) -> dict[str, Any]:
        """Describe the tokenizer, for a checkpoint's header."""
        return {"name": self.name, "vocabulary": list(self.vocabulary)}
