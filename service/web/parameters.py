"""The parameters of a request: one table, by which they are read, refused, shown on the page and documented."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from captioner.answers.answering import MAX_ANSWERS
from captioner.answers.header import MAX_QUESTION
from captioner.clips import WatchOptions
from captioner.clips.webvtt import REVIEWS
from captioner.decoding import MAX_BEAM_SIZE, MAX_LENGTH, MAX_NGRAM_SIZE, MAX_SEED, DecodingOptions
from captioner.errors import OptionError
from service.web.kinds import Kind, decimal_number, free_text, one_of, positive_number, truth, whole_number
from service.web.requests import Fields, Given, JsonValue

MAX_BEGINNING = 200  # characters
MAX_TEXT = 1000
MAX_CORRECTION = 300
MAX_ACTIVATION_WORDS = 200  # thousands of numbers per word: many more words would be an answer of hundreds of megabytes
LIBRARY_DEFAULTS = DecodingOptions()

DECODING: Mapping[str, Kind] = {
    "search": one_of({"beam": "beam", "sample": "sample"}, "look for the best captions, or draw captions by chance"),
    "num_captions": whole_number(
        1, MAX_BEAM_SIZE, "how many captions to return, the best first; of a beam search at most `beam_size`"
    ),
    "max_length": whole_number(1, MAX_LENGTH, "most words of a caption"),
    "min_length": whole_number(0, MAX_LENGTH, "fewest words of a caption, at most `max_length`"),
    "beginning": free_text(
        0, MAX_BEGINNING, "text that every caption starts with; its words must be in the vocabulary"
    ),
    "no_repeat_ngram_size": whole_number(
        0, MAX_NGRAM_SIZE, "no sequence of so many words occurs twice; 0 allows repeats"
    ),
    "length_penalty": decimal_number(
        0, 2, "captions are ranked by `log_prob` over this power of their length, the ending counted"
    ),
    "consensus": decimal_number(
        0,
        10,
        "of a beam search, the caption that others found agree with comes first; they count by score, the more evenly "
        "the higher this is; 0 is off",
    ),
    "beam_size": whole_number(1, MAX_BEAM_SIZE, "hypotheses kept by the search; 1 is greedy"),
    "groups": whole_number(
        1,
        MAX_BEAM_SIZE,
        "diverse beam search: groups of beams, each kept from the words of those before it; must divide `beam_size`",
    ),
    "diversity": decimal_number(
        0, 10, "how strongly, as a log-probability taken from a word for each beam that already took it"
    ),
    "temperature": positive_number(10, "log-probabilities are divided by it before a word is drawn; near 0 is greedy"),
    "top_k": whole_number(0, 1_000_000, "draw from so many likeliest words; 0 draws from all"),
    "top_p": positive_number(1, "draw from the fewest likeliest words whose probabilities sum to this"),
    "seed": whole_number(0, MAX_SEED, "the same seed draws the same captions again"),
}
INSIDE = "send what went on inside the model, too"
CAPTIONS: Mapping[str, Kind] = {
    **DECODING,
    "activations": truth(
        f"{INSIDE}; then photos times `num_captions` times `max_length` may be at most {MAX_ACTIVATION_WORDS}"
    ),
}
SCORES: Mapping[str, Kind] = {
    "text": free_text(1, MAX_TEXT, "the sentence; at least one word, and at most 200"),
    "activations": truth(INSIDE),
}
QUESTIONS: Mapping[str, Kind] = {
    "question": free_text(1, MAX_TEXT, f"the question, in English; at least one word, and at most {MAX_QUESTION}"),
    "num_answers": whole_number(1, MAX_ANSWERS, "how many answers to return, the most probable first"),
}
NUM_ANSWERS = 5
CORRECTIONS: Mapping[str, Kind] = {
    "text": free_text(1, MAX_CORRECTION, "the sentence that describes the photo"),
}
NUM_SHOTS = 8
CLIPS: Mapping[str, Kind] = {
    "max_shots": whole_number(
        1, 16, "most shots to part the clip into; times `frames`, as many places in the queue are taken"
    ),
    "frames": whole_number(1, 8, "most frames of a shot that are looked at together"),
    "min_seconds": decimal_number(0, 60, "how long a shot lasts at least"),
    "format": one_of({"json": "json", "vtt": "vtt"}, "JSON, or subtitles as WebVTT"),
    "review": one_of(
        {name: name for name in REVIEWS},
        'what becomes of captions that need review, in WebVTT: they stay, begin with "(unsure)", or are left out',
    ),
    **{name: kind for name, kind in DECODING.items() if name != "num_captions"},
}
CLIP_DEFAULTS: Mapping[str, Any] = {
    "max_shots": NUM_SHOTS,
    "frames": WatchOptions.frames,
    "min_seconds": WatchOptions.min_seconds,
    "format": "json",
    "review": "mark",
}
HEATMAPS: Mapping[str, Kind] = {
    **DECODING,
    "caption": whole_number(0, MAX_BEAM_SIZE - 1, "which caption to draw, counted from 0, the best"),
    "word": whole_number(0, MAX_LENGTH - 1, "which of its words to draw, counted from 0; without it, a sheet of all"),
    "opacity": decimal_number(0, 1, "how much colour covers the place that was attended most"),
    "size": whole_number(16, 2048, "longest side of a word's picture in pixels, which is never enlarged"),
    "columns": whole_number(1, 16, "most tiles of a sheet side by side"),
    "tile": whole_number(32, 1024, "width of a sheet's tiles in pixels; a long `max_length` needs smaller ones"),
}


@dataclass(frozen=True)
class Allowance:
    """What the operator lets a request ask for.

    Attributes:
        defaults: How to search when a request does not say.
        max_words: Most words of a request: photos times captions or beams, whichever are more, times ``max_length``.
    """

    defaults: DecodingOptions
    max_words: int


def read_caption_options(fields: Fields, allowance: Allowance, photos: int = 1) -> tuple[DecodingOptions, bool]:
    """Return how to search, and whether activations are wanted, from a request's fields.

    Raises:
        OptionError: If a parameter is unknown, given twice, out of range, at odds with another, or asks for too much.
    """
    values = read_values(fields, CAPTIONS)
    activations = values.pop("activations", False)
    options = allowed_options(values, allowance, photos)
    if activations and photos * options.num_captions * options.max_length > MAX_ACTIVATION_WORDS:
        raise OptionError(
            f"num_captions times max_length is {options.num_captions} times {options.max_length}"
            f"{_of(photos)}; "
            f"with activations it must be at most {MAX_ACTIVATION_WORDS}"
        )
    return options, activations


def read_score_options(fields: Fields) -> tuple[str, bool]:
    """Return the text to score, and whether activations are wanted, from a request's fields.

    Raises:
        OptionError: If the text is missing, or a parameter is unknown, given twice or out of range.
    """
    values = read_values(fields, SCORES, required="text")
    return values["text"], values.get("activations", False)


def read_correction(fields: Fields) -> str:
    """Return the sentence that a caption should have been, from a request's fields, with single spaces.

    Raises:
        OptionError: If it is missing or has no words, or a parameter is unknown, given twice or out of range.
    """
    text = " ".join(read_values(fields, CORRECTIONS, required="text")["text"].split())
    if not text.isprintable() or not any(map(str.isalnum, text)):
        raise OptionError(f"text is {_shorten(text)}; it must be a sentence of words")
    return text


def read_question(fields: Fields) -> tuple[str, int]:
    """Return the question to answer, and how many answers are wanted, from a request's fields.

    Raises:
        OptionError: If the question is missing, or a parameter is unknown, given twice or out of range.
    """
    values = read_values(fields, QUESTIONS, required="question")
    return values["question"], values.get("num_answers", NUM_ANSWERS)


def allowed_options(values: Mapping[str, Any], allowance: Allowance, photos: int = 1) -> DecodingOptions:
    """Return how to search, if the operator allows so much work for one request.

    Raises:
        OptionError: If the options are at odds with each other or ask for too much.
    """
    options = decoding_options(values, allowance.defaults)
    beams = options.beam_size if options.search == "beam" else 0
    name, rows = max(("num_captions", options.num_captions), ("beam_size", beams), key=lambda pair: pair[1])
    if photos * rows * options.max_length > allowance.max_words:
        raise OptionError(
            f"{name} times max_length is {rows} times {options.max_length}{_of(photos)}; "
            f"a request may ask for at most {allowance.max_words} words in all"
        )
    return options


def _of(photos: int) -> str:
    return f", of {photos} photos" if photos > 1 else ""


def decoding_options(values: Mapping[str, Any], defaults: DecodingOptions) -> DecodingOptions:
    """Return how to search; a beam that the client did not ask for gives way to what it did ask for.

    Args:
        values: The options that the client sent.
        defaults: The operator's, for the others.

    Raises:
        OptionError: If the options are at odds with each other.
    """
    if "beam_size" not in values:
        defaults = replace(defaults, beam_size=_fitting_beam_size(values, defaults.beam_size))
    return replace(defaults, **values)


def _fitting_beam_size(values: Mapping[str, Any], default: int) -> int:
    """Return a beam that holds all captions, in groups of one size; sampling has no beam and wants the library's."""
    if values.get("search") == "sample":
        return LIBRARY_DEFAULTS.beam_size
    groups: int = values.get("groups", 1)
    beams: int = max(default, values.get("num_captions", 1))
    return min(math.ceil(beams / groups), MAX_BEAM_SIZE // groups) * groups


def read_values(fields: Fields, table: Mapping[str, Kind], required: str | None = None) -> dict[str, Any]:
    """Return the value of every field by a table of parameters.

    Args:
        fields: The request's.
        table: The parameters that there are.
        required: The one that must be given, if there is one.

    Raises:
        OptionError: If a parameter is unknown, given twice, out of range, or required and missing.
    """
    values = {name: _read_value(name, given, table) for name, given in fields.items()}
    if required and required not in values:
        raise OptionError(f"{required} is missing; it must {table[required].must}")
    return values


def _read_value(name: str, given: Sequence[Given], table: Mapping[str, Kind]) -> Any:
    if name not in table:
        raise OptionError(f"{_shorten(name)} is not a parameter; allowed: {', '.join(table)}")
    if len(given) > 1:
        raise OptionError(f"{name} is given {len(given)} times; give it once")
    [only] = given
    try:
        return table[name].read_json(only.value) if isinstance(only, JsonValue) else table[name].read(only)
    except ValueError:
        shown = only.value if isinstance(only, JsonValue) else only
        raise OptionError(f"{name} is {_shorten(shown)}; it must {table[name].must}") from None


def _shorten(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    shown = text if len(text) <= 40 else text[:40] + "..."
    return repr(shown) if isinstance(value, str) else shown
