"""The command line: ``python -m captioner caption PHOTO...`` and ``python -m captioner inspect [FILE]``."""

import argparse
import contextlib
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors import safe_open
from tqdm import tqdm

from captioner import __version__
from captioner.checkpoint import SHIPPED, read_header
from captioner.decoding import DecodingOptions
from captioner.errors import CaptionerError, OptionError
from captioner.heatmap import contact_sheet
from captioner.images import DEFAULT_LIMITS, read_image
from captioner.predictor import CaptionPredictor
from captioner.types import Caption

SUFFIXES = (".jpg", ".jpeg", ".mpo", ".png", ".webp", ".gif", ".bmp")  # of the images of a folder
BATCH_SIZE = 8
FAILED, USAGE, BROKEN_PIPE, INTERRUPTED = (
    1,
    2,
    141,
    130,
)  # 128 + SIGPIPE and 128 + SIGINT, as shells report them
DEFAULTS = DecodingOptions()
OUTPUT = """\
output: one line per caption, the photo's path and the caption with a tab between; with --num-captions above 1
a third column holds the caption's natural-log probability. With --json: one JSON object per photo and line.

exit status: 0 if every photo was captioned, 1 if one could not be read (the others are captioned all the
same), 2 for a wrong option.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        argv: The arguments after the program's name; those of the process if ``None``.
    """
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()  # so that a closed pipe shows here, not when the interpreter ends
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except (CaptionerError, OSError) as error:
        _complain(str(error))
        return USAGE if isinstance(error, OptionError) else FAILED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="captioner", description="Describe photos in words.")
    parser.add_argument("--version", action="version", version=f"captioner {__version__}")
    commands = parser.add_subparsers(title="commands", required=True)
    caption = commands.add_parser(
        "caption",
        help="print a caption of each photo",
        epilog=OUTPUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    caption.set_defaults(run=_caption)
    _add_caption_arguments(caption)
    inspect = commands.add_parser("inspect", help="print what a checkpoint says of itself, as JSON")
    inspect.set_defaults(run=_inspect)
    inspect.add_argument("checkpoint", metavar="FILE", nargs="?", type=Path, help="default: the shipped model")
    return parser


def _add_caption_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "photos",
        metavar="PHOTO",
        nargs="+",
        type=Path,
        help="an image file, or a folder, which stands for the images in it, sorted by name, without those "
        "in its subfolders",
    )
    parser.add_argument("--checkpoint", metavar="FILE", type=Path, help="the model; default: the shipped one")
    parser.add_argument(
        "--beam-size",
        metavar="K",
        type=int,
        help=f"hypotheses kept while searching; 1 is greedy (default: {DEFAULTS.beam_size}, or N where that is more)",
    )
    parser.add_argument(
        "--num-captions", metavar="N", type=int, default=DEFAULTS.num_captions, help="captions per photo"
    )
    parser.add_argument(
        "--max-length", metavar="M", type=int, default=DEFAULTS.max_length, help="most words of a caption"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with words, probabilities and attention")
    parser.add_argument(
        "--heatmap",
        metavar="OUT",
        type=Path,
        help="draw where the model looked for each word of the best caption: for a single photo in OUT.png; "
        "without that suffix, OUT is a folder that gets a PNG named after each photo",
    )


@dataclass(frozen=True)
class _Photo:
    """A photo that was read."""

    path: Path
    image: Image.Image


def _caption(arguments: argparse.Namespace) -> int:
    beam_size = arguments.beam_size
    if beam_size is None:
        beam_size = max(DEFAULTS.beam_size, arguments.num_captions)
    options = DecodingOptions(beam_size, arguments.num_captions, arguments.max_length)
    paths, empty = _find_photos(arguments.photos)
    targets = _heatmap_targets(arguments.heatmap, paths)
    for folder in empty:
        _complain(f"{_shown(folder)}: no images in this folder")
    if not paths:
        return FAILED
    predictor = CaptionPredictor.from_checkpoint(arguments.checkpoint)
    done = 0
    for photos in _batches(paths):
        found = predictor.captions([photo.image for photo in photos], options)
        for photo, captions in zip(photos, found, strict=True):
            _say(_json_line(photo, captions) if arguments.json else _lines(photo, captions, options))
            if targets:
                contact_sheet(photo.image, captions[0]).save(targets[photo.path])
        done += len(photos)
    return FAILED if empty or done < len(paths) else 0


def _find_photos(arguments: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the files to read, folders replaced by their images, and the folders that have none."""
    paths: list[Path] = []
    empty: list[Path] = []
    for path in arguments:
        if not path.is_dir():
            paths.append(path)
            continue
        images = sorted(file for file in path.iterdir() if _is_photo(file))
        paths += images
        if not images:
            empty.append(path)
    return list(dict.fromkeys(paths)), empty


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _heatmap_targets(out: Path | None, paths: Sequence[Path]) -> dict[Path, Path]:
    """Say where the heatmap of each photo goes, and refuse before any work what would lose a file."""
    if out is None:
        return {}
    if out.suffix.lower() == ".png" and not out.is_dir():
        if len(paths) > 1:
            raise OptionError(f"--heatmap {out} is one file; for {len(paths)} photos it must be a folder")
        targets = dict.fromkeys(paths, out)
    else:
        targets = {path: out / f"{path.name}.png" for path in paths}
    if len(set(targets.values())) < len(targets):
        raise OptionError("--heatmap: two photos have the same name; caption them one after the other")
    photos = {path.resolve() for path in paths}
    for target in targets.values():
        if target.resolve() in photos:
            raise OptionError(f"--heatmap: {target} is one of the photos, and would be overwritten")
    for folder in {target.parent for target in targets.values()}:
        folder.mkdir(parents=True, exist_ok=True)
    return targets


def _batches(paths: Sequence[Path]) -> Iterator[list[_Photo]]:
    """Read photos in batches, report those that cannot be read, and show whoever waits how far it is."""
    hidden = len(paths) == 1 or not sys.stderr.isatty()
    with tqdm(total=len(paths), unit="photo", file=sys.stderr, disable=hidden) as progress:
        for start in range(0, len(paths), BATCH_SIZE):
            batch = paths[start : start + BATCH_SIZE]
            photos = [photo for path in batch if (photo := _read_photo(path)) is not None]
            if photos:
                yield photos
            progress.update(len(batch))


def _read_photo(path: Path) -> _Photo | None:
    try:
        with path.open("rb") as file:
            data = file.read(DEFAULT_LIMITS.max_bytes + 1)  # enough to see that a huge file is too large
        return _Photo(path, read_image(data))
    except OSError as error:
        _complain(f"{_shown(path)}: {error.strerror or error}")
    except CaptionerError as error:
        _complain(f"{_shown(path)}: {error}")
    return None


def _lines(photo: _Photo, captions: Sequence[Caption], options: DecodingOptions) -> str:
    rows = [[_shown(photo.path), caption.text, f"{caption.log_prob:.4f}"] for caption in captions]
    columns = 2 if options.num_captions == 1 else 3
    return "\n".join("\t".join(row[:columns]) for row in rows)


def _json_line(photo: _Photo, captions: Sequence[Caption]) -> str:
    image, attention = photo.image, captions[0].attention
    values = {
        "path": str(photo.path),
        "image": {"width": image.width, "height": image.height, "format": image.format},
        "captions": [_caption_to_dict(caption) for caption in captions],
        "attention_grid": None if attention is None else attention.shape[1:],
    }
    return json.dumps(values)


def _caption_to_dict(caption: Caption) -> dict[str, Any]:
    maps = caption.attention
    return {
        "text": caption.text,
        "log_prob": caption.log_prob,
        "finished": caption.finished,
        "words": [{"text": word.text, "log_prob": word.log_prob} for word in caption.words],
        "attention": None if maps is None else np.round(maps.astype(np.float64), 6).tolist(),
    }


def _inspect(arguments: argparse.Namespace) -> int:
    path = arguments.checkpoint or SHIPPED
    header = read_header(path)
    with safe_open(path, framework="np") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - it is no mapping
    numbers = {"parameters": sum(map(math.prod, shapes)), "file_bytes": path.stat().st_size}
    _say(json.dumps({"file": str(path), **numbers, **_abbreviated(header)}, indent=2))
    return 0


def _abbreviated(values: Mapping[str, Any], most: int = 8) -> dict[str, Any]:
    """Replace long lists, above all the vocabulary, by their size and first entries."""
    short: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            short[name] = _abbreviated(value, most)
        elif isinstance(value, list) and len(value) > most:
            short[name] = {"size": len(value), "first": value[:most]}
        else:
            short[name] = value
    return short


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stdout)  # which steps around a progress bar


def _complain(message: str) -> None:
    tqdm.write(f"captioner: {message}", file=sys.stderr)


def _shown(path: Path) -> str:
    """Return a path as text that can be printed, even if its name is not valid Unicode."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _silence_stdout() -> None:
    """Let what is still buffered go nowhere, or the interpreter complains of the closed pipe when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
