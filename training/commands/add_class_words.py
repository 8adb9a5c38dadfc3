"""``captioner train add-class-words``: let a model say what a classifier sees and captions seldom said."""

import textwrap
from argparse import ArgumentParser, Namespace
from pathlib import Path

from captioner.checkpoint import Checkpoint, copy_with_class_words, load_checkpoint
from captioner.class_words import ClassVocabulary, ClassWords
from captioner.commands.output import DONE, say
from captioner.errors import OptionError
from training.commands.files import checkpoint_to_write
from training.data import CaptionSource, ShardSource
from training.errors import TrainingError
from training.initial.class_words import class_names, find_words, read_classifier
from training.runs.provenance import sha256

EPILOG = """\
where the classifier finds the thing that a word names, beam search prefers captions with
that word. its encoder must still know the classes: one that learnt captions' words has
forgotten them, unless its recipe had a table [distillation].

a name's word is its last ("Indian elephant": elephant), without what is in parentheses.

example:
  captioner train add-class-words --checkpoint model.safetensors --out model.safetensors \\
    --classifier efficientnet_lite2.safetensors --annotations captions_train.json
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="the model; default: the shipped one")
    parser.add_argument(
        "--classifier",
        type=Path,
        required=True,
        metavar="FILE",
        help="pretrained weights of the model's encoder, with their classifier",
    )
    parser.add_argument(
        "--names", type=Path, metavar="FILE", help="names of the classes, one a line; default: ImageNet's 1,000"
    )
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="captions that the model learnt from")
    parser.add_argument("--split", nargs="+", default=(), metavar="NAME", help="only these splits of the file")
    parser.add_argument("--shards", nargs="+", default=(), metavar="TAR", help="in their place: WebDataset shards")
    parser.add_argument(
        "--rarer-than",
        type=int,
        default=20,
        metavar="N",
        help="only words that those captions say fewer than N times, singular and plural; default: %(default)s",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=ClassVocabulary.threshold,
        metavar="P",
        help="how probable a word's classes must be; default: %(default)s",
    )
    parser.add_argument(
        "--bonus",
        type=float,
        default=ClassVocabulary.bonus,
        metavar="B",
        help="added once to the log-probability of captions with the word; default: %(default)s",
    )
    parser.add_argument(
        "--out", type=checkpoint_to_write, required=True, metavar="OUT", help="the new file; it may be the model's own"
    )


def run(arguments: Namespace) -> int:
    """Add class words to a checkpoint and print them; return the exit status."""
    checkpoint = load_checkpoint(arguments.checkpoint)
    words = _class_words(arguments, checkpoint)
    copy_with_class_words(arguments.checkpoint, arguments.out, words)
    found = words.vocabulary.words
    classes = sum(len(word.classes) for word in found)
    say(f"wrote {arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB, {len(found)} words of {classes} classes:")
    say(textwrap.fill(", ".join(word.text for word in found), 100))
    return DONE


def _class_words(arguments: Namespace, checkpoint: Checkpoint) -> ClassWords:
    matrix, bias = read_classifier(checkpoint, arguments.classifier)
    names = class_names(arguments.names)
    if len(names) != len(matrix):
        where = f"--names {arguments.names}" if arguments.names else "ImageNet"
        raise TrainingError(
            f"{where} names {len(names):,} classes, and --classifier {arguments.classifier} tells {len(matrix):,} apart"
        )
    words = find_words(names, checkpoint.tokenizer, _captions(arguments), arguments.rarer_than)
    provenance = {"classifier_sha256": sha256(arguments.classifier), "rarer_than": arguments.rarer_than}
    vocabulary = ClassVocabulary(words, arguments.threshold, arguments.bonus, provenance)
    return ClassWords.of(vocabulary, matrix.numpy(), bias.numpy())


def _captions(arguments: Namespace) -> list[str]:
    """Return the captions that words are counted in; no photo is looked at.

    Raises:
        OptionError: If it is not said which, or said twice.
    """
    if bool(arguments.shards) == bool(arguments.annotations) or (arguments.shards and arguments.split):
        raise OptionError("which captions? name --annotations, perhaps with --split, or --shards")
    if arguments.shards:
        shards = ShardSource(tuple(arguments.shards), Path())
        return [text for image in shards.load() for text in image.captions]
    entries = CaptionSource(arguments.annotations, Path(), tuple(arguments.split)).entries()
    return [text for entry in entries.values() for text in entry.captions]


def caption_words(source: CaptionSource | ShardSource) -> list[str]:
    """Return the arguments that name the captions of a source."""
    if isinstance(source, ShardSource):
        return ["--shards", *(str(source.root / pattern) for pattern in source.patterns)]
    return ["--annotations", str(source.annotations), *(["--split", *source.split] if source.split else [])]
