"""``captioner alt PATH...``: alternative texts for the images of HTML and Markdown files."""

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from captioner.alt.images import NOWHERE, ImageTag
from captioner.alt.site import Page, find_pages
from captioner.commands.arguments import add_decoding, add_model, decoding_options, load_model
from captioner.commands.output import DONE, FAILED, complain, escaped, say, shown
from captioner.commands.photos import Source, read_photos
from captioner.decoding import DecodingOptions
from captioner.types import Caption

EPILOG = """\
Markdown is read as CommonMark with tables, and the HTML in it as HTML; code is left alone. An image lacks an
alternative text if its HTML tag has no alt and no aria-label, or if nothing stands between the brackets of
![](photo.jpg). Decoration (alt="", role="presentation", aria-hidden) and images of other sites are left alone.
Files are otherwise left byte for byte as they are. Look at every proposal: a caption describes a photo, and
only you know what it is there for.

output: a unified diff, which patch -p1 applies; with --lint a line for each image that lacks a text: file, line
and image. Counts go to standard error.

exit status: 0 if every image has a text or gets one, 1 if not, 2 for a wrong option.

examples:
  captioner alt site/
  captioner alt site/ --write
  captioner alt README.md docs/ --lint
"""
WANTING, GIVEN = "without", "given"
SUMMARY = {
    "described": "with a text",
    GIVEN: "given one",
    WANTING: "without one",
    "decorative": "decorative",
    "remote": "of other sites",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="an HTML or Markdown file, or a folder with such, and its subfolders"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--write", action="store_true", help="write the texts into the files")
    form.add_argument("--lint", action="store_true", help="only say which images lack a text, without a model")
    parser.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="of addresses that begin with a slash; default: the folder that is named",
    )
    parser.add_argument("--all", action="store_true", help="also use captions that a person should look at")
    add_model(parser)
    add_decoding(parser, without={"num_captions"})


def run(arguments: Namespace) -> int:
    """Propose, write or miss alternative texts; return the exit status."""
    options = decoding_options(arguments)
    pages = [Page.read(path, root) for path, root in dict(find_pages(arguments.paths, arguments.root)).items()]
    counts = Counter(_kind(image) for page in pages for image in page.images)
    wanting = [(page, image) for page in pages for image in page.images if _kind(image) == WANTING]
    if arguments.lint:
        for page, image in wanting:
            say(f"{_where(page, image)}: no alternative text: {escaped(image.source)}")
        _tell(counts, len(pages))
        return FAILED if wanting else DONE
    texts = _texts(arguments, wanting, options) if wanting else {}
    for page in pages:
        _put(page, page.with_alternatives(texts), write=arguments.write)
    missed = [(page, image) for page, image in wanting if page.file(image) not in texts or image.place == NOWHERE]
    counts[GIVEN] = len(wanting) - len(missed)
    counts[WANTING] = len(missed)
    _tell(counts, len(pages))
    return FAILED if missed else DONE


def _kind(image: ImageTag) -> str:
    if not image.is_wanting:
        return "decorative" if image.decorative else "described"
    return "remote" if image.is_remote else WANTING


def _where(page: Page, image: ImageTag) -> str:
    return f"{shown(page.path)}:{image.line}"


def _tell(counts: Counter[str], pages: int) -> None:
    told = ", ".join(f"{counts[kind]:,} {text}" for kind, text in SUMMARY.items() if counts[kind])
    complain(f"{pages:,} {'page' if pages == 1 else 'pages'}; images: {told or 'none'}")


def _texts(arguments: Namespace, wanting: Sequence[tuple[Page, ImageTag]], options: DecodingOptions) -> dict[Path, str]:
    """Return captions of the images that want one, by their files; say for which there is none."""
    texts = dict[Path, str]()
    for file, caption in _captions(arguments, wanting, options):
        if caption.text.strip() and (arguments.all or not caption.needs_review):
            texts[file] = caption.text
        else:
            complain(f"{shown(file)}: left out, a person should look at it: {escaped(caption.text)} (--all takes it)")
    for page, image in wanting:
        if image.place == NOWHERE:
            complain(f"{_where(page, image)}: {escaped(image.source)} stands where it cannot be edited")
    return texts


def _captions(
    arguments: Namespace, wanting: Sequence[tuple[Page, ImageTag]], options: DecodingOptions
) -> Iterator[tuple[Path, Caption]]:
    """Caption the files of images, each once."""
    files = dict.fromkeys(page.file(image) for page, image in wanting)
    predictor = load_model(arguments)
    for photos in read_photos([Source.named(str(file)) for file in files], predictor.read):
        found = predictor.captions([photo.image for photo in photos], options)
        yield from ((photo.source.file, best) for photo, (best, *_) in zip(photos, found, strict=True))


def _put(page: Page, new: str, *, write: bool) -> None:
    if new == page.text:
        return
    if write:
        page.write(new)
        say(shown(page.path))
    for line in page.diff(new) if not write else ():
        say(line.encode("utf-8", "backslashreplace").decode())
