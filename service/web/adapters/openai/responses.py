"""``POST /v1/responses``."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, request

from service.errors import request_id
from service.inference.pipeline import CaptionPipeline
from service.settings import Settings
from service.web.adapters.openai.messages import read_prompt, send_events
from service.web.adapters.prompting import (
    FEWER,
    TEMPERATURE,
    TOP_P,
    Answer,
    answer_prompt,
    objects,
    read_options,
    read_truth,
)
from service.web.fetching import Fetcher
from service.web.kinds import Kind, whole_number
from service.web.parameters import Allowance
from service.web.requests import read_json

OPTIONS: Mapping[str, Kind] = {
    "temperature": TEMPERATURE,
    "top_p": TOP_P,
    "max_output_tokens": whole_number(1, 2**63 - 1, FEWER),
}
HERE = {"output_index": 0, "content_index": 0}  # the place of the one text of the one message


def add_responses(adapter: Blueprint, pipeline: CaptionPipeline, fetcher: Fetcher, settings: Settings) -> None:
    """Add the route."""
    allowance = Allowance(settings.options(), settings.max_words)

    @adapter.post("/v1/responses")
    def respond() -> Response:
        values = read_json(request)
        stream = read_truth(values, "stream", default=False)
        given = read_options(values, OPTIONS)
        prompt = read_prompt(_messages(values.get("input")), fetcher, settings)
        answer = answer_prompt(pipeline, prompt, given, allowance, ["max_output_tokens"])
        whole = _response(answer, given)
        return send_events(_numbered(_events(answer, whole)), named=True) if stream else jsonify(whole)


def _messages(given: object) -> list[dict[str, Any]]:
    """Return the messages of an input, which may be a text alone; the items of other kinds hold no photo."""
    return [] if isinstance(given, str) else objects(given, "input")


def _response(answer: Answer, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the response; no model reads the prompt, so that none of it is counted."""
    [choice] = answer.choices
    return {
        "id": f"resp_{request_id()}",
        "object": "response",
        "created_at": int(time.time()),
        "status": _status(answer),
        "error": None,
        "incomplete_details": None if choice.finished else {"reason": "max_output_tokens"},
        "instructions": None,
        "max_output_tokens": given.get("max_output_tokens"),
        "model": answer.model.name,
        "output": [_message(answer, [_text(choice.text)])],
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "store": False,
        "temperature": given.get("temperature"),
        "tool_choice": "none",
        "tools": [],
        "top_p": given.get("top_p"),
        "usage": {
            "input_tokens": 0,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": answer.tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": answer.tokens,
        },
        "metadata": {},
    }


def _status(answer: Answer) -> str:
    return "completed" if all(choice.finished for choice in answer.choices) else "incomplete"


def _message(answer: Answer, content: list[dict[str, Any]], status: str = "") -> dict[str, Any]:
    return {
        "id": f"msg_{request_id()}",
        "type": "message",
        "role": "assistant",
        "status": status or _status(answer),
        "content": content,
    }


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _events(answer: Answer, whole: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Tell of a response in the order in which a slow one would come to be."""
    [choice] = answer.choices
    begun = {**whole, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    here = {"item_id": f"msg_{request_id()}", **HERE}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    yield {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": _message(answer, [], "in_progress"),
    }
    yield {"type": "response.content_part.added", **here, "part": _text("")}
    for piece in choice.pieces:
        yield {"type": "response.output_text.delta", **here, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **here, "text": choice.text, "logprobs": []}
    yield {"type": "response.content_part.done", **here, "part": _text(choice.text)}
    yield {"type": "response.output_item.done", "output_index": 0, "item": whole["output"][0]}
    yield {"type": f"response.{whole['status']}", "response": whole}


def _numbered(events: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]
