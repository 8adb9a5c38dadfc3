"""Errors in the words of other systems."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, current_app, request

from service.errors import PROBLEM_JSON

Translate = Callable[[Mapping[str, Any]], dict[str, Any]]


def speak(blueprint: Blueprint, translate: Translate, folder: str) -> None:
    """Answer every error under an address in a system's own shape, with the native status and headers.

    That includes errors that no route gives: an address that is not there, a method that is not taken, a missing key.

    Args:
        blueprint: The system's routes.
        translate: Turns the native problem into what the system's clients expect.
        folder: What the addresses of the system begin with, such as ``/v2``.
    """

    def answer(response: Response) -> Response:
        mine = request.path == folder or request.path.startswith(f"{folder}/")
        if mine and response.mimetype == PROBLEM_JSON:
            response.set_data(current_app.json.dumps(translate(response.get_json())))
            response.mimetype = "application/json"
        return response

    blueprint.after_app_request(answer)
