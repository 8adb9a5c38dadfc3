"""Ways to cut text into tokens, by name."""

from collections.abc import Mapping
from typing import Any

from captioner.errors import ConfigError
from captioner.registry import Registry
from captioner.tokenizers.base import Tokenizer
from captioner.tokenizers.character import CharacterTokenizer
from captioner.tokenizers.word import WordTokenizer

TOKENIZERS: Registry[type[Tokenizer]] = Registry("tokenizer", {"word": WordTokenizer, "character": CharacterTokenizer})


def tokenizer_from_dict(values: Mapping[str, Any]) -> Tokenizer:
    """Build the tokenizer that ``to_dict`` described.

    Raises:
        ConfigError: If the name is unknown or the description does not fit it.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"tokenizer: the description must be a table; it is {values!r:.80}")
    fields = dict(values)
    build = TOKENIZERS[str(fields.pop("name", "word"))]
    try:
        return build(**fields)
    except TypeError as error:
        raise ConfigError(f"tokenizer: {error}") from None


__all__ = ["TOKENIZERS", "CharacterTokenizer", "Tokenizer", "WordTokenizer", "tokenizer_from_dict"]
