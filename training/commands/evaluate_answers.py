"""``captioner train evaluate-answers``: score a network's answers, beside guesses that do not see the photo."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from captioner.answers.checkpoint import load_answers
from captioner.answers.header import identify_encoder
from captioner.checkpoint import build_checkpoint
from captioner.commands.arguments import local_file
from captioner.commands.output import DONE, say, warn
from captioner.errors import OptionError
from captioner.header import CheckpointFile
from training.answers.evaluation import (
    ALONE,
    FREQUENT,
    NETWORK,
    compare,
    scores_of_guess,
    scores_of_network,
    summary,
)
from training.commands.files import json_file
from training.evaluation.bootstrap import Bootstrap
from training.questions.files import read_questions

DEFAULTS = Bootstrap()


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--questions", type=Path, required=True, metavar="FILE", help="questions, as VQA v2 has them")
    parser.add_argument("--answers", type=Path, required=True, metavar="FILE", help="their annotations")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of the photos")
    parser.add_argument("--network", type=local_file, metavar="FILE", help="what answers; default: the shipped one")
    parser.add_argument(
        "--question-only", type=local_file, metavar="FILE", help="a network trained with network.sees=false, to compare"
    )
    parser.add_argument(
        "--checkpoint",
        type=local_file,
        metavar="FILE",
        help="the captioner whose encoder sees; default: the shipped one",
    )
    parser.add_argument("--cache", type=Path, default=Path("cache"), metavar="DIR", help="folder of the feature cache")
    parser.add_argument(
        "--replicates", type=int, default=DEFAULTS.replicates, help="draws of the bootstrap; default: %(default)s"
    )
    parser.add_argument("--json", type=json_file, metavar="OUT.json", help="also write the scores there")


def run(arguments: Namespace) -> int:
    """Print the scores of each kind of question, and their 95 % intervals; return the exit status."""
    bootstrap = Bootstrap(replicates=arguments.replicates)
    questions = read_questions(arguments.questions, arguments.answers)
    file = CheckpointFile.read(arguments.checkpoint)
    model = load_answers(arguments.network)
    model.description.encoder.require(identify_encoder(file), Path(arguments.network or "the shipped network"))
    captioner = build_checkpoint(file).model if model.description.config.sees else None
    scores = {NETWORK: scores_of_network(model, questions, captioner, arguments.images, arguments.cache)}
    if arguments.question_only:
        blind = load_answers(arguments.question_only)
        if blind.description.config.sees:
            raise OptionError(
                f"--question-only: {arguments.question_only} sees the photo; train with network.sees=false"
            )
        scores[ALONE] = scores_of_network(blind, questions, None, arguments.images, arguments.cache)
    else:
        warn("there is no network to compare with that sees no photo; --question-only names one")
    guesses = model.description.provenance.get("most_frequent", {})
    scores[FREQUENT] = scores_of_guess(questions, guesses)
    found = compare(questions, scores, bootstrap)
    say(summary(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found.to_dict(), indent=1) + "\n", encoding="utf-8")
    return DONE
