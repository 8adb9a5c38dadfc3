"""``captioner train evaluate``: score a checkpoint's captions."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from captioner.commands.arguments import add_decoding, add_model, decoding_options, load_model
from captioner.commands.output import DONE, say, warn
from training.commands.files import file_to_write, folder_to_write
from training.commands.photos import add_photos, photo_source
from training.data import CaptionSource
from training.errors import TrainingError
from training.evaluation.bootstrap import Bootstrap
from training.evaluation.diversity import training_captions
from training.evaluation.evaluate import Evaluation, candidates, evaluate, references
from training.evaluation.java_metrics import meteor, missing_for_meteor, missing_for_spice, spice
from training.evaluation.report.report import write_report
from training.evaluation.summary import summary

DEFAULTS = Bootstrap()
FURTHER = {"METEOR": (missing_for_meteor, meteor), "SPICE": (missing_for_spice, spice)}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_photos(parser)
    add_model(parser)
    parser.add_argument("--limit", type=int, help="only the first LIMIT photos by id")
    parser.add_argument(
        "--train-annotations", type=Path, metavar="FILE", help="captions learnt from, to count new captions"
    )
    parser.add_argument("--train-split", nargs="+", default=(), metavar="NAME", help="only these splits of that file")
    parser.add_argument("--meteor", action="store_true", help="also METEOR, by Java, which takes a while")
    parser.add_argument("--spice", action="store_true", help="also SPICE, by Java, which takes long")
    parser.add_argument(
        "--replicates", type=int, default=DEFAULTS.replicates, help="draws of the bootstrap; default: %(default)s"
    )
    parser.add_argument(
        "--json", type=file_to_write, metavar="OUT", help="also write scores, protocol and captions there"
    )
    parser.add_argument(
        "--results", type=file_to_write, metavar="OUT.json", help="also write the captions as COCO's server takes them"
    )
    parser.add_argument(
        "--report",
        type=folder_to_write,
        metavar="DIR",
        help="also write DIR/index.html, with photos, captions and heatmaps",
    )
    add_decoding(parser, without={"num_captions"})


def run(arguments: Namespace) -> int:
    """Print a checkpoint's scores and how they were measured; return the exit status."""
    options, bootstrap = decoding_options(arguments), Bootstrap(replicates=arguments.replicates)
    if arguments.limit is not None and arguments.limit < 1:
        raise TrainingError(f"--limit is {arguments.limit}; it must be at least 1")
    images = photo_source(arguments).load()[: arguments.limit]
    known = _training_captions(arguments)
    found = evaluate(load_model(arguments), images, options, known, bootstrap)
    for note in found.notes:
        warn(note)
    found = _measured_further(found, {"METEOR": arguments.meteor, "SPICE": arguments.spice})
    say(summary(found))
    _write(found, arguments)
    return DONE


def _training_captions(arguments: Namespace) -> frozenset[str] | None:
    if arguments.train_annotations is None:
        return None
    return training_captions(CaptionSource(arguments.train_annotations, Path(), tuple(arguments.train_split)))


def _measured_further(found: Evaluation, wanted: Mapping[str, bool]) -> Evaluation:
    """Add the scores that Java computes, or say why they are not there."""
    scores, notes = {}, list(found.notes)
    for name, (missing, measure) in FURTHER.items():
        if not wanted[name]:
            notes.append(f"{name} was not measured; ask for it with --{name.lower()}.")
        elif lacking := missing():
            notes.append(f"{name} was not measured: {lacking}.")
        else:
            scores[name] = measure(candidates(found.images, found.captions), references(found.images))
    return replace(found, further=scores, notes=notes)


def _write(found: Evaluation, arguments: Namespace) -> None:
    for path, values in ((arguments.json, found.to_dict), (arguments.results, found.results)):
        if path is not None:
            path.write_text(json.dumps(values(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if arguments.report is not None:
        write_report(arguments.report, found)
