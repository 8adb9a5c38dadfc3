"""Class words for a captioner: which classes have a word that captions said seldom, and the classifier that tells them.

A classifier that was pretrained with the encoder must still read its vector: the encoder has not learnt anything since,
or was held to its classes while it learnt (:mod:`training.distillation`).
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import Tensor
from torchvision.models import MobileNet_V2_Weights

from captioner.checkpoint import Checkpoint
from captioner.class_words import ClassWord
from captioner.tokenizers import Tokenizer
from training.distillation import classifier_of
from training.errors import TrainingError
from training.initial.pretrained import pretrained_weights

ASIDE = re.compile(r"\(.*?\)")  # what a name says in parentheses: "drake (bird)"


def class_names(file: Path | None) -> list[str]:
    """Return the names of classes: one a line of a file, or those of ImageNet's 1,000 as torchvision has them.

    Raises:
        TrainingError: If the file cannot be read, or is no text.
    """
    if file is None:
        return list(MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"])
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"--names {file}: not a readable text file: {error}") from None


def read_classifier(checkpoint: Checkpoint, file: Path) -> tuple[Tensor, Tensor]:
    """Return the matrix ``[C, P]`` and bias ``[C]`` by which a file of pretrained weights tells classes.

    Args:
        checkpoint: Of the captioner, whose encoder's vector they must fit.
        file: Weights of the same kind of encoder, with their classifier, as ``encoder_weights`` takes them.

    Raises:
        ConfigError: If the file cannot be read, or has not one classifier of such vectors.
        TrainingError: If the captioner has several encoders.
    """
    config, encoder = checkpoint.model.config.encoder, checkpoint.model.encoder
    if config.branches > 1:
        raise TrainingError(
            f"the model's encoder has {config.branches} branches; class words are for a model with one encoder"
        )
    return classifier_of(encoder, pretrained_weights(config.name, str(file)), f"--classifier {file}")


def find_words(
    names: Sequence[str], tokenizer: Tokenizer, captions: Iterable[str], rarer_than: int
) -> tuple[ClassWord, ...]:
    """Return the words of classes that captions say fewer than so many times, all forms together, by the alphabet.

    The word of a class is the last one of its name, what stands in parentheses left out, if the vocabulary has one of
    its forms. Classes with the same word share it.

    Raises:
        TrainingError: If no word is left, or the tokens are no words.
    """
    if tokenizer.name != "word":
        raise TrainingError(f"the model's tokens are {tokenizer.name}s; only words can name a class")
    counts = Counter(word for text in captions for word in tokenizer.split(text))
    classes: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        word = next(reversed(tokenizer.split(ASIDE.sub("", name))), "")
        known = any(map(tokenizer.knows, forms(word)))
        if word and known and sum(counts[form] for form in forms(word)) < rarer_than:
            classes.setdefault(word, []).append(index)
    if not classes:
        raise TrainingError(
            f"none of the {len(names)} classes has a word that the model knows "
            f"and captions say fewer than {rarer_than} times"
        )
    return tuple(ClassWord(word, _tokens(word, tokenizer), tuple(found)) for word, found in sorted(classes.items()))


def forms(word: str) -> set[str]:
    """Return an English word and what its plural may be."""
    found = {word, f"{word}s", f"{word}es"}
    if word.endswith("y"):
        found.add(f"{word[:-1]}ies")
    if word.endswith("f"):
        found.add(f"{word[:-1]}ves")
    return found


def _tokens(word: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Return the token ids of those forms of a word that the vocabulary has."""
    return tuple(sorted(token for form in forms(word) if tokenizer.knows(form) for token in tokenizer.encode(form)))
