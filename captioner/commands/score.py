"""``captioner score PHOTO TEXT...``: how probable the model finds captions that somebody wrote."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from captioner.commands.arguments import add_model, load_model
from captioner.commands.output import DONE, FAILED, complain, escaped, json_line, say
from captioner.commands.photos import BATCH_SIZE, Photo, Source, picture_files, read_photo
from captioner.heatmap import contact_sheet
from captioner.predictor import CaptionPredictor
from captioner.types import Caption

EPILOG = """\
output: one line per text, in the order given: its natural-log probability, a tab, the text as the model read
it. With --words each is followed by a line per word: an empty column, the word's log-probability given the
words before it, the word, and "unknown" behind a word that the vocabulary lacks, whose probability is that of
any rare word. The words leave out the caption's ending, which the total counts. With --json: one JSON object.

The most probable text first:  captioner score photo.jpg "a cat" "a dog" | sort -rn
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("photo", metavar="PHOTO", type=Source.named, help="an image file; - is standard input")
    parser.add_argument("texts", metavar="TEXT", nargs="+", help="a caption")
    add_model(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--words", action="store_true", help="print each word, too")
    form.add_argument("--json", action="store_true", help="print JSON, with words, probabilities and attention")
    parser.add_argument(
        "--heatmap",
        metavar="OUT",
        help="draw where the model would look for each word: for a single text in OUT.png; a name without an "
        "ending is a folder, which gets PHOTO-1.png for the first text, and so on",
    )


def run(arguments: Namespace) -> int:
    """Score texts; return the exit status."""
    files = _heatmap_files(arguments)
    predictor = load_model(arguments)
    photo = read_photo(arguments.photo, predictor.read)
    if photo is None:
        return FAILED
    captions = list(_scores(predictor, photo, arguments.texts))
    _warn_of_unknown_words(captions)
    if arguments.json:
        say(json_line(photo.source, photo.decoded, captions))
    for caption in captions if not arguments.json else ():
        say(_lines(caption, words=arguments.words))
    for file, caption in zip(files, captions, strict=False):
        contact_sheet(photo.in_full(), caption).save(file)
    return DONE


def _heatmap_files(arguments: Namespace) -> list[Path]:
    if arguments.heatmap is None:
        return []
    names = [f"{arguments.photo.name}-{number}" for number in range(1, len(arguments.texts) + 1)]
    return picture_files("--heatmap", arguments.heatmap, names, [arguments.photo])


def _scores(predictor: CaptionPredictor, photo: Photo, texts: list[str]) -> Iterator[Caption]:
    for start in range(0, len(texts), BATCH_SIZE):
        batch = texts[start : start + BATCH_SIZE]
        yield from predictor.scores([photo.image] * len(batch), batch)


def _warn_of_unknown_words(captions: list[Caption]) -> None:
    unknown = [word.text for caption in captions for word in caption.words if not word.known]
    if unknown:
        complain(f"not in the model's vocabulary: {escaped(', '.join(dict.fromkeys(unknown)))}")


def _lines(caption: Caption, *, words: bool) -> str:
    lines = [f"{caption.log_prob:.4f}\t{' '.join(caption.text.split())}"]
    if words:
        marks = {True: "", False: "\tunknown"}
        lines += [f"\t{word.log_prob:.4f}\t{escaped(word.text)}{marks[word.known]}" for word in caption.words]
    return "\n".join(lines)
