"""Ways to cut text into tokens, by name."""

from collections.abc import Mapping
from typing import Any

from captioner.errors import ConfigError
from captioner.registry import Registry
from captioner.tokenizers.base import Tokenizer
from captioner.tokenizers.character import CharacterTokenizer
from captioner.tokenizers.word import WordTokenizer
from captioner.tokenizers.word_rule_1 import WordTokenizerRule1

TOKENIZERS: Registry[type[Tokenizer]] = Registry("tokenizer", {"word": WordTokenizer, "character": CharacterTokenizer})
WORD_RULES: Mapping[int, type[WordTokenizer]] = {kind.rule: kind for kind in (WordTokenizerRule1, WordTokenizer)}
FIRST_RULE = 1  # that of files which name none


def tokenizer_from_dict(values: Mapping[str, Any]) -> Tokenizer:
    """Build the tokenizer that ``to_dict`` described.

    Raises:
        ConfigError: If the name or the rule is unknown or the description does not fit it.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"tokenizer: the description must be a table; it is {values!r:.80}")
    fields = dict(values)
    build = TOKENIZERS[str(fields.pop("name", "word"))]
    if build is WordTokenizer:
        build = _word_tokenizer(fields.pop("rule", FIRST_RULE))
    try:
        return build(**fields)
    except TypeError as error:
        raise ConfigError(f"tokenizer: {error}") from None


def _word_tokenizer(rule: object) -> type[WordTokenizer]:
    if isinstance(rule, bool) or not isinstance(rule, int) or rule not in WORD_RULES:
        known = ", ".join(map(str, WORD_RULES))
        raise ConfigError(f"tokenizer: words are cut by rule {rule!r:.40}; this version of Captioner knows: {known}")
    return WORD_RULES[rule]


__all__ = [
    "TOKENIZERS",
    "WORD_RULES",
    "CharacterTokenizer",
    "Tokenizer",
    "WordTokenizer",
    "WordTokenizerRule1",
    "tokenizer_from_dict",
]
