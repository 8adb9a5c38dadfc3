"""The vocabulary of what is learnt from."""

from collections import Counter
from collections.abc import Sequence

from captioner.tokenizers import TOKENIZERS, Tokenizer
from training.errors import DataError
from training.recipe import TokenizerRecipe


def learn_tokenizer(recipe: TokenizerRecipe, texts: Sequence[str]) -> Tokenizer:
    """Make a tokenizer of the pieces of texts.

    Raises:
        DataError: If no piece occurs often enough: a model without words can say nothing.
    """
    kind = TOKENIZERS[recipe.name]
    tokenizer = kind.learn(texts, recipe.min_count, recipe.max_size)
    if not tokenizer.vocabulary:
        counts = Counter(piece for text in texts for piece in kind.split(text))
        raise DataError(f"the vocabulary would be empty: {_why(recipe, counts)}")
    return tokenizer


def _why(recipe: TokenizerRecipe, counts: Counter[str]) -> str:
    if not counts:
        return f"what is learnt from has no {recipe.name}s at all"
    [(most, count)] = counts.most_common(1)
    return (
        f"no {recipe.name} occurs tokenizer.min_count = {recipe.min_count} times; the most frequent, {most!r}, has "
        f"{count}. Lower it, for example by --set tokenizer.min_count={max(1, count // 2)}"
    )
