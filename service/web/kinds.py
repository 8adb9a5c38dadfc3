"""The kinds of values that parameters take, each with how it is read, refused and documented."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

N = TypeVar("N", int, float)
JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "string": (str,),
}


@dataclass(frozen=True)
class Kind:
    """What values a parameter takes, and what it is for.

    Attributes:
        range: The values as the documentation writes them.
        must: The end of the sentence "it must ...".
        read: Returns the value of a text, and raises ValueError for one that is not allowed.
        schema: The values as a JSON Schema, by which the parameter comes in JSON and in /openapi.json.
        meaning: What it is for, as the documentation writes it.
    """

    range: str
    must: str
    read: Callable[[str], Any]
    schema: Mapping[str, Any] = field(hash=False)
    meaning: str = ""

    def read_json(self, value: object) -> Any:
        """Return the value of what JSON held, which must have the schema's type.

        Raises:
            ValueError: If it is not allowed.
        """
        if type(value) not in JSON_TYPES[self.schema["type"]]:
            raise ValueError(value)
        return self.read(_plain(value))


def _plain(value: object) -> str:
    """Return a JSON value as a query would spell it: true, 3, 0.0001."""
    if isinstance(value, bool):
        return str(value).lower()
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)


def whole_number(low: int, high: int, meaning: str = "") -> Kind:
    """Return the kind of whole numbers in plain digits, with a sign only where some are below 0."""
    digits = "-?[0-9]{1,19}" if low < 0 else "[0-9]{1,19}"

    def read(text: str) -> int:
        if not re.fullmatch(digits, text):  # int() also takes other signs, spaces, underscores and other scripts
            raise ValueError(text)
        return _within(int(text), low, high)

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Kind(f"{low} to {high}", f"be a whole number from {low} to {high}", read, schema, meaning)


def decimal_number(low: float, high: float, meaning: str = "") -> Kind:
    """Return the kind of numbers such as 0.75."""
    schema = {"type": "number", "minimum": low, "maximum": high}
    must = f"be a number from {low} to {high}"
    return Kind(f"{low} to {high}", must, lambda text: _decimal(text, low, high), schema, meaning)


def positive_number(high: float, meaning: str = "") -> Kind:
    """Return the kind of numbers above 0."""
    least = math.nextafter(0, 1)
    schema = {"type": "number", "exclusiveMinimum": 0, "maximum": high}
    must = f"be a number above 0, to {high}"
    return Kind(f"above 0, to {high}", must, lambda text: _decimal(text, least, high), schema, meaning)


def one_of(words: Mapping[str, Any], meaning: str = "") -> Kind:
    """Return the kind of a few words, each of which stands for a value."""

    def read(text: str) -> Any:
        if text not in words:
            raise ValueError(text)
        return words[text]

    schema = {"type": "string", "enum": list(words)}
    return Kind(", ".join(f"`{word}`" for word in words), f"be {' or '.join(words)}", read, schema, meaning)


def truth(meaning: str = "") -> Kind:
    """Return the kind of yes or no."""
    words = one_of({"true": True, "false": False}, meaning)
    # Clients in Python, those that openapi-python-client makes too, write True into a form.
    return replace(words, read=lambda text: words.read("true" if text == "True" else text), schema={"type": "boolean"})


def free_text(least: int, most: int, meaning: str = "") -> Kind:
    """Return the kind of text in any script, of so many characters."""

    def read(text: str) -> str:
        _within(len(text), least, most)
        return text

    span = f"{least} to {most} characters" if least else f"up to {most} characters"
    schema = {"type": "string", "minLength": least, "maxLength": most}
    return Kind(span, f"have {span}", read, schema, meaning)


def _decimal(text: str, low: float, high: float) -> float:
    if not re.fullmatch(r"[0-9]{1,19}(\.[0-9]{0,19})?|\.[0-9]{1,19}", text):  # float() also takes nan, inf and 1_0
        raise ValueError(text)
    return _within(float(text), low, high)


def _within(value: N, low: float, high: float) -> N:
    if not low <= value <= high:
        raise ValueError(value)
    return value
