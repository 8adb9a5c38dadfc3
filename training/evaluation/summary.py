"""An evaluation as lines of text."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from captioner.decoding import DecodingOptions
from training.evaluation.diversity import Wording
from training.evaluation.evaluate import Evaluation

ALWAYS_SAID = ("search", "beam_size", "max_length", "length_penalty", "consensus")
SHARES = {
    "immediate_repeats": "with a word repeated at once",
    "echoes": 'with "X and X"',
    "repeated_phrases": "with a phrase said twice",
    "dangling": "with a dangling end",
    "distinct": "distinct",
    "new": "not among the training captions",
}


def summary(evaluation: Evaluation) -> str:
    """Return scores with their intervals, the wording beside that of people, and the protocol."""
    protocol = (f"  {name}: {value}" for name, value in protocol_rows(evaluation))
    return "\n".join(
        [
            *_score_lines(evaluation),
            "",
            f"{'captions':34} {'model':>8} {'people':>8}",
            *(f"{name:34} {ours:>8} {theirs:>8}" for name, ours, theirs in wording_rows(evaluation)),
            *_trust_lines(evaluation),
            "",
            "Scores times 100, measured with",
            *protocol,
            *evaluation.notes,
        ]
    )


def _score_lines(evaluation: Evaluation) -> Iterator[str]:
    intervals = evaluation.intervals()
    for name, value in evaluation.scores().items():
        low, high = intervals.get(name, (None, None))
        yield f"{name:8} {value:6.2f}" + ("" if low is None else f"   {low:6.2f} to {high:6.2f}")


def wording_rows(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Return a name and the model's and people's value for each number of the wording."""
    ours, theirs = evaluation.wording, evaluation.human_wording
    rows = [("captions", str(ours.captions), str(theirs.captions))]
    rows += [(label, _share(ours, name), _share(theirs, name)) for name, label in SHARES.items() if _known(ours, name)]
    rows.append(("words per caption", f"{ours.mean_length:.2f}", f"{theirs.mean_length:.2f}"))
    rows.append(("different words", str(ours.vocabulary), str(theirs.vocabulary)))
    return rows


def _known(wording: Wording, name: str) -> bool:
    return getattr(wording, name) is not None


def _share(wording: Wording, name: str) -> str:
    return f"{100 * getattr(wording, name):.1f} %"


def _trust_lines(evaluation: Evaluation) -> Iterator[str]:
    found = evaluation.trust
    if found is None:
        return
    shares = {
        f"poor (CIDEr below {100 * found.good_cider:g})": found.poor,
        "that need review": found.flagged,
        "of the poor ones": found.caught,
    }
    yield ""
    yield "confidence"
    for name, share in shares.items():
        yield f"{name:34} " + ("     -" if share is None else f"{100 * share:6.1f} %")
    numbers = {
        "AUROC, good against poor": found.auroc,
        "calibration error of captions": found.caption_error,
        "calibration error of words": found.word_error,
    }
    for name, number in numbers.items():
        yield f"{name:34} " + ("     -" if number is None else f"{number:6.3f}")


def protocol_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return the protocol as names and texts; of the search, what beams always have and what is not the default."""
    rows = evaluation.protocol()
    usual = asdict(DecodingOptions())
    rows["search"] = {
        name: value for name, value in rows["search"].items() if name in ALWAYS_SAID or value != usual[name]
    }
    return [(name, _plain(value)) for name, value in rows.items()]


def _plain(value: Any) -> str:
    return ", ".join(f"{key} {entry}" for key, entry in value.items()) if isinstance(value, dict) else str(value)
