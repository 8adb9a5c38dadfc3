"""``captioner train make-questions``: questions and answers about photos, from their captions."""

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from captioner.commands.output import DONE, say
from training.commands.files import json_file
from training.data import CaptionSource
from training.errors import DataError
from training.questions.balance import Asked, Balance
from training.questions.files import read_questions, write_questions
from training.questions.rules import questions_about

DEFAULTS = Balance()


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--annotations", type=Path, required=True, metavar="FILE", help="captions that people wrote")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of the photos")
    parser.add_argument("--split", nargs="+", default=[], metavar="NAME", help="only these splits of the file")
    parser.add_argument("--questions", type=json_file, required=True, metavar="OUT.json", help="write questions there")
    parser.add_argument("--answers", type=json_file, required=True, metavar="OUT.json", help="write answers there")
    parser.add_argument(
        "--agreement", type=int, default=2, help="captions of a photo that must agree; default: %(default)s"
    )
    parser.add_argument(
        "--least", type=int, default=DEFAULTS.least, help="leave out answers of fewer questions; default: %(default)s"
    )
    parser.add_argument(
        "--ratio",
        type=float,
        default=DEFAULTS.ratio,
        help="how many times as often as the next one the most frequent answer to the same question may be right; "
        "default: %(default)s",
    )
    parser.add_argument(
        "--like",
        nargs=2,
        type=Path,
        metavar=("QUESTIONS.json", "ANSWERS.json"),
        help="keep the answers that these files have, such as those learnt from, in place of --least",
    )


def run(arguments: Namespace) -> int:
    """Write the questions, and say how many there are; return the exit status."""
    if arguments.agreement < 1:
        raise DataError(f"--agreement is {arguments.agreement}; it must be at least 1")
    balance = Balance(arguments.least, arguments.ratio)
    known = None
    if arguments.like:
        known = {answer for one in read_questions(*arguments.like) for answer in one.answers}
    images = CaptionSource(arguments.annotations, arguments.images, tuple(arguments.split)).load()
    asked = [
        Asked(image.image_id, question)
        for image in images
        for question in questions_about(image.captions, arguments.agreement)
    ]
    kept = balance.apply(asked, known)
    if not kept:
        raise DataError(f"{arguments.annotations}: its captions give no question; lower --least or --agreement")
    subtype = "_".join(arguments.split) or arguments.annotations.stem
    write_questions(kept, images, arguments.images, (arguments.questions, arguments.answers), subtype)
    say(_told(kept, len(asked)))
    return DONE


def _told(kept: Sequence[Asked], found: int) -> str:
    """Return how many questions there are of each kind, and what is answered most."""
    lines = [
        f"{len(kept):,} questions about {len({one.image_id for one in kept}):,} photos, of {found:,} before balancing"
    ]
    for kind in sorted({one.question.kind for one in kept}):
        answers = Counter(one.question.answer for one in kept if one.question.kind == kind)
        most = ", ".join(f"{answer} ({count:,})" for answer, count in answers.most_common(5))
        lines.append(f"  {kind:8} {sum(answers.values()):7,} questions, {len(answers):4} answers: {most}")
    return "\n".join(lines)
