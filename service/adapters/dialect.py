"""Errors in the words of other systems."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, jsonify

from service.errors import answer_error

Translate = Callable[[Mapping[str, Any]], dict[str, Any]]


def speak(blueprint: Blueprint, translate: Translate) -> None:
    """Let a blueprint answer every error in a system's own shape, with the native status and headers.

    Args:
        blueprint: The routes.
        translate: Turns the native problem into what the system's clients expect.
    """

    def answer(error: Exception) -> Response:
        native = answer_error(error)
        translated = jsonify(translate(native.get_json()))
        translated.status_code = native.status_code
        for name, value in native.headers:
            if name.lower() not in ("content-type", "content-length"):
                translated.headers[name] = value
        return translated

    blueprint.register_error_handler(Exception, answer)
