"""The parameters of a request: one table, by which they are read, refused, shown on the page and documented."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from flask import Request

from captioner.decoding import MAX_BEAM_SIZE, MAX_LENGTH, MAX_NGRAM_SIZE, MAX_SEED, DecodingOptions
from captioner.errors import OptionError
from service.payloads import read_fields

N = TypeVar("N", int, float)
MAX_BEGINNING = 200  # characters
MAX_TEXT = 1000
MAX_ACTIVATION_WORDS = 200  # thousands of numbers per word: many more words would be an answer of hundreds of megabytes
LIBRARY_DEFAULTS = DecodingOptions()


@dataclass(frozen=True)
class Kind:
    """What values a parameter takes.

    Attributes:
        range: The values as the documentation writes them.
        must: The end of the sentence "it must ...".
        read: Returns the value of a text, and raises ValueError for one that is not allowed.
    """

    range: str
    must: str
    read: Callable[[str], Any]


def whole_number(low: int, high: int) -> Kind:
    """Return the kind of whole numbers in plain digits."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,19}", text):  # int() also takes signs, spaces, underscores and other scripts
            raise ValueError(text)
        return _within(int(text), low, high)

    return Kind(f"{low} to {high}", f"be a whole number from {low} to {high}", read)


def decimal_number(low: float, high: float) -> Kind:
    """Return the kind of numbers such as 0.75."""
    return Kind(f"{low} to {high}", f"be a number from {low} to {high}", lambda text: _decimal(text, low, high))


def positive_number(high: float) -> Kind:
    """Return the kind of numbers above 0."""
    least = math.nextafter(0, 1)
    return Kind(f"above 0, to {high}", f"be a number above 0, to {high}", lambda text: _decimal(text, least, high))


def one_of(words: Mapping[str, Any]) -> Kind:
    """Return the kind of a few words, each of which stands for a value."""

    def read(text: str) -> Any:
        if text not in words:
            raise ValueError(text)
        return words[text]

    return Kind(", ".join(f"`{word}`" for word in words), f"be {' or '.join(words)}", read)


def free_text(least: int, most: int) -> Kind:
    """Return the kind of text in any script, of so many characters."""

    def read(text: str) -> str:
        _within(len(text), least, most)
        return text

    span = f"{least} to {most} characters" if least else f"up to {most} characters"
    return Kind(span, f"have {span}", read)


def _decimal(text: str, low: float, high: float) -> float:
    if not re.fullmatch(r"[0-9]{1,19}(\.[0-9]{0,19})?|\.[0-9]{1,19}", text):  # float() also takes nan, inf and 1_0
        raise ValueError(text)
    return _within(float(text), low, high)


def _within(value: N, low: float, high: float) -> N:
    if not low <= value <= high:
        raise ValueError(value)
    return value


TRUTH = one_of({"true": True, "false": False})
DECODING: Mapping[str, Kind] = {
    "search": one_of({"beam": "beam", "sample": "sample"}),
    "num_captions": whole_number(1, MAX_BEAM_SIZE),
    "max_length": whole_number(1, MAX_LENGTH),
    "min_length": whole_number(0, MAX_LENGTH),
    "beginning": free_text(0, MAX_BEGINNING),
    "no_repeat_ngram_size": whole_number(0, MAX_NGRAM_SIZE),
    "length_penalty": decimal_number(0, 2),
    "beam_size": whole_number(1, MAX_BEAM_SIZE),
    "groups": whole_number(1, MAX_BEAM_SIZE),
    "diversity": decimal_number(0, 10),
    "temperature": positive_number(10),
    "top_k": whole_number(0, 1_000_000),
    "top_p": positive_number(1),
    "seed": whole_number(0, MAX_SEED),
}
CAPTIONS: Mapping[str, Kind] = {**DECODING, "activations": TRUTH}
SCORES: Mapping[str, Kind] = {"text": free_text(1, MAX_TEXT), "activations": TRUTH}


def read_caption_options(request: Request, defaults: DecodingOptions) -> tuple[DecodingOptions, bool]:
    """Return how to search, and whether activations are wanted, from a request's query and form fields.

    Raises:
        OptionError: If a parameter is unknown, given twice, out of range, or at odds with another.
    """
    values = _read_values(request, CAPTIONS)
    activations = values.pop("activations", False)
    options = decoding_options(values, defaults)
    if activations and options.num_captions * options.max_length > MAX_ACTIVATION_WORDS:
        raise OptionError(
            f"num_captions times max_length is {options.num_captions} times {options.max_length}; "
            f"with activations it must be at most {MAX_ACTIVATION_WORDS}"
        )
    return options, activations


def read_score_options(request: Request) -> tuple[str, bool]:
    """Return the text to score, and whether activations are wanted, from a request's query and form fields.

    Raises:
        OptionError: If the text is missing, or a parameter is unknown, given twice or out of range.
    """
    values = _read_values(request, SCORES)
    if "text" not in values:
        raise OptionError(f"text is missing; it must {SCORES['text'].must}")
    return str(values["text"]), bool(values.get("activations", False))


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


def _read_values(request: Request, table: Mapping[str, Kind]) -> dict[str, Any]:
    return {name: _read_value(name, texts, table) for name, texts in read_fields(request).lists()}


def _read_value(name: str, texts: Sequence[str], table: Mapping[str, Kind]) -> Any:
    if name not in table:
        raise OptionError(f"{_shorten(name)} is not a parameter; allowed: {', '.join(table)}")
    if len(texts) > 1:
        raise OptionError(f"{name} is given {len(texts)} times; give it once")
    try:
        return table[name].read(texts[0])
    except ValueError:
        raise OptionError(f"{name} is {_shorten(texts[0])}; it must {table[name].must}") from None


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
