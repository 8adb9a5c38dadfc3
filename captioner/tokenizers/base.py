"""What every tokenizer offers: a fixed vocabulary of pieces, and the ways between text, pieces and token ids."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

from captioner.decoding import SpecialTokens
from captioner.errors import ConfigError, OptionError

PAD, START, END, UNK = SPECIALS = ("<PAD>", "<START>", "<END>", "<UNK>")


class Tokenizer(ABC):
    """Cuts text into pieces and numbers those that its vocabulary has.

    Token ids 0 to 3 are ``<PAD>``, ``<START>``, ``<END>`` and ``<UNK>``; the pieces follow in the order given. A new
    kind of tokenizer says its ``name``, how it cuts (:meth:`split`) and how it writes (:meth:`join`).

    Args:
        vocabulary: The pieces, without the special tokens.

    Raises:
        ConfigError: If the vocabulary is no list of texts, has a piece twice or a special token, or has a piece that
            :meth:`split` never makes and that no text could hence contain.
    """

    name: ClassVar[str]
    pad_id, bos_id, eos_id, unk_id = range(4)

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._check(vocabulary)
        self.vocabulary = tuple(vocabulary)
        self._texts = (*SPECIALS, *self.vocabulary)
        self._ids = {piece: token for token, piece in enumerate(self.vocabulary, start=len(SPECIALS))}

    @classmethod
    def _check(cls, vocabulary: Sequence[str]) -> None:
        if not isinstance(vocabulary, list | tuple) or not all(isinstance(piece, str) for piece in vocabulary):
            raise ConfigError(f"the {cls.name} vocabulary must be a list of texts; it is {vocabulary!r:.80}")
        seen: set[str] = set()
        for piece in vocabulary:
            if piece in seen:
                raise ConfigError(f"the {cls.name} vocabulary names {piece!r} twice")
            if piece in SPECIALS:
                raise ConfigError(f"the {cls.name} vocabulary names {piece}, a special token that it always has")
            if cls.split(piece) != [piece]:
                raise ConfigError(f"the {cls.name} vocabulary names {piece!r:.80}, which is not one {cls.name}")
            seen.add(piece)

    @classmethod
    def learn(cls, texts: Iterable[str], min_count: int = 1, max_size: int = 0) -> Self:
        """Make a vocabulary of the pieces of texts, the most frequent first and equally frequent ones by code point.

        Args:
            texts: What to learn from.
            min_count: How often a piece must occur, at least 1.
            max_size: Most pieces to keep, the special tokens not counted; 0 keeps all.

        Raises:
            OptionError: If an option lies outside what is allowed.
        """
        if min_count < 1:
            raise OptionError(f"min_count is {min_count}; it must be at least 1")
        if max_size < 0:
            raise OptionError(f"max_size is {max_size}; it must be at least 0, which keeps all pieces")
        counts = Counter(piece for text in texts for piece in cls.split(text))
        frequent = [piece for piece, count in counts.items() if count >= min_count]
        ranked = sorted(frequent, key=lambda piece: (-counts[piece], piece))
        return cls(ranked[: max_size or None])

    @staticmethod
    @abstractmethod
    def split(text: str) -> list[str]:
        """Cut a text into pieces, those that no vocabulary has included; ``split(piece)`` is ``[piece]``."""

    @staticmethod
    @abstractmethod
    def join(pieces: Iterable[str]) -> str:
        """Write pieces as a text; :meth:`split` cuts it into the same pieces again if it has cut them before."""

    def __len__(self) -> int:
        """V, the special tokens included."""
        return len(self._texts)

    @property
    def special(self) -> SpecialTokens:
        """What search must know; padding, ``<START>`` and ``<UNK>`` are never generated."""
        return SpecialTokens(self.bos_id, self.eos_id, banned=(self.pad_id, self.bos_id, self.unk_id))

    def knows(self, piece: str) -> bool:
        """Whether a piece has a token id of its own."""
        return piece in self._ids

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's pieces, without ``<START>`` and ``<END>``; unknown pieces give ``unk_id``."""
        return [self._ids.get(piece, self.unk_id) for piece in self.split(text)]

    def words(self, tokens: Iterable[int]) -> list[str]:
        """Return the pieces of token ids, those of padding, ``<START>`` and ``<END>`` left out."""
        silent = (self.pad_id, self.bos_id, self.eos_id)
        return [self._texts[token] for token in tokens if token not in silent]

    def decode(self, tokens: Iterable[int]) -> str:
        """Write token ids as a text."""
        return self.join(self.words(tokens))

    def to_dict(self) -> dict[str, Any]:
        """Describe the tokenizer, for a checkpoint's header."""
        return {"name": self.name, "vocabulary": list(self.vocabulary)}
