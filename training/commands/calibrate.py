"""``captioner train calibrate``: teach a checkpoint how far its captions can be trusted."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from captioner.checkpoint import copy_with_calibration
from captioner.commands.arguments import add_decoding, add_model, decoding_options, load_model
from captioner.commands.output import DONE, say
from training.commands.files import checkpoint_to_write, file_to_write, png_file
from training.commands.photos import add_photos, photo_source
from training.errors import TrainingError
from training.evaluation.calibration import Standards, Study, study
from training.evaluation.evaluate import caption_photos, score
from training.evaluation.examples import first_half, make_examples
from training.evaluation.reliability import Bin, save_reliability_plot
from training.runs.provenance import annotations_sha256

DEFAULTS = Standards()


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_model(parser)
    add_photos(parser)
    parser.add_argument(
        "--out",
        type=checkpoint_to_write,
        required=True,
        metavar="OUT.safetensors",
        help="the checkpoint with its calibration",
    )
    _add_standards(parser)
    parser.add_argument("--json", type=file_to_write, metavar="OUT", help="also write what was found there")
    parser.add_argument("--plot", type=png_file, metavar="OUT.png", help="also draw it")
    add_decoding(parser, without={"num_captions"})


def _add_standards(parser: ArgumentParser) -> None:
    """Add what says which words are right, which captions good, and which need review."""
    parser.add_argument(
        "--agreement",
        type=int,
        default=DEFAULTS.agreement,
        metavar="N",
        help="a word is right if N references have it; default: %(default)s",
    )
    parser.add_argument(
        "--good-cider",
        type=float,
        default=DEFAULTS.good_cider,
        metavar="C",
        help="a caption is good if its CIDEr, from 0 to 10, is at least this; default: %(default)s",
    )
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument(
        "--review-share",
        type=float,
        default=DEFAULTS.review_share,
        metavar="S",
        help="at most this share of these photos' captions need review, those of the lowest confidence; "
        "default: %(default)s",
    )
    threshold.add_argument(
        "--review-below",
        type=float,
        metavar="P",
        help="in its place: captions need review if they are good with a lower probability than this",
    )


def run(arguments: Namespace) -> int:
    """Calibrate a checkpoint and print how well that holds; return the exit status."""
    options = decoding_options(arguments)
    standards = Standards(arguments.agreement, arguments.good_cider, arguments.review_share, arguments.review_below)
    source = photo_source(arguments)
    images = source.load()
    sha256 = annotations_sha256(source, images)  # now, since captioning takes a while
    predictor = load_model(arguments)
    if predictor.tokenizer.name != "word":
        raise TrainingError(f"the model's tokens are {predictor.tokenizer.name}s; only words can be right or wrong")
    captions = caption_photos(predictor, images, options)
    cider = score(images, captions).per_image_cider
    per_photo = [cider[image.image_id] for image in images]
    examples = make_examples(images, captions, per_photo, predictor.tokenizer, standards.agreement)
    found = study(examples, first_half([image.image_id for image in images]), standards)
    say("\n".join(_lines(found)))
    protocol = {"annotations_sha256": sha256, "search": asdict(options)}
    copy_with_calibration(arguments.checkpoint, arguments.out, found.in_checkpoint(protocol), predictor.info.sha256)
    say(f"wrote {arguments.out}")
    if arguments.json:
        arguments.json.write_text(json.dumps({**found.to_dict(), **protocol}, indent=1) + "\n", encoding="utf-8")
    if arguments.plot:
        save_reliability_plot(arguments.plot, found.measured)
    return DONE


def _lines(found: Study) -> Iterator[str]:
    measured, standards = found.measured, found.standards
    yield f"written: fitted to all {found.fitted_photos} photos"
    yield f"measured: such a fit to {found.half_photos} of them, on the {measured.photos} others"
    yield ""
    yield f"words: right if {standards.agreement} references have them, or all if there are fewer"
    yield f"  expected calibration error  {measured.word_error:.4f}"
    yield f"  with the halves swapped     {found.swapped_word_error:.4f}"
    yield f"  of temperature scaling      {measured.temperature_word_error:.4f}"
    yield f"  of the bare probabilities   {measured.raw_word_error:.4f}"
    yield from _reliability_lines(measured.words)
    yield ""
    yield f"captions: good if their CIDEr is at least {100 * standards.good_cider:g}, else poor"
    yield f"  expected calibration error  {measured.caption_error:.4f}"
    if measured.caption_auroc is not None:
        yield f"  AUROC, good against poor    {measured.caption_auroc:.4f}"
    yield from _reliability_lines(measured.captions)
    confident, doubtful = measured.confident_cider, measured.doubtful_cider
    yield f"  CIDEr {confident:.1f} in the more confident half, {doubtful:.1f} in the other"
    yield ""
    yield "  kept   confidence from   CIDEr   poor"
    for one in measured.risks:
        yield f"  {one.coverage:4.0%}   {one.least:15.2f}   {one.cider:5.1f}   {one.poor:4.0%}"
    yield ""
    yield from _review_lines(found)


def _reliability_lines(table: Sequence[Bin]) -> Iterator[str]:
    yield "  confidence    count   mean   right"
    for one in table:
        yield f"  {one.low:.1f} to {one.high:.1f}  {one.count:7}  {one.confidence:5.2f}   {one.right:5.2f}"


def _review_lines(found: Study) -> Iterator[str]:
    measured, threshold = found.measured, found.calibration.caption.review_below
    yield f"needs review below a confidence of {threshold:.3f}; measured, {measured.flagged:.1%} of the captions"
    if measured.caught is not None:
        yield f"  of the poor   {measured.caught:.1%} need review"
    for name, cider, poor in (
        ("of those", measured.flagged_cider, measured.flagged_poor),
        ("of the others", measured.kept_cider, measured.kept_poor),
    ):
        if cider is not None and poor is not None:
            yield f"  {name:13}  CIDEr {cider:5.1f}, poor {poor:.0%}"
