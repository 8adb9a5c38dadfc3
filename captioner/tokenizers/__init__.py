"""Ways to cut text into tokens, by name."""

from collections.abc import Mapping
from typing import Any

from captioner.errors import ConfigError
from captioner.registry import Registry
from captioner.tokenizers.word import WordTokenizer

TOKENIZERS: Registry[type[WordTokenizer]] = Registry("tokenizer", {"word": WordTokenizer})


def tokenizer_from_dict(values: Mapping[str, Any]) -> WordTokenizer:
    """Build the tokenizer that ``to_dict`` described.

    Raises:
        ConfigError: If the name is unknown or the description does not fit it.
    """
    fields = dict(values)
    build = TOKENIZERS[str(fields.pop("name", "word"))]
    try:
        return build(**fields)
    except TypeError as error:
        raise ConfigError(f"tokenizer: {error}") from None


__all__ = ["TOKENIZERS", "WordTokenizer", "tokenizer_from_dict"]
