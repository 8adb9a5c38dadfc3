"""``POST /v1/chat/completions``."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, request

from captioner.decoding import MAX_BEAM_SIZE
from captioner.errors import OptionError
from service.errors import request_id
from service.inference.pipeline import CaptionPipeline
from service.settings import Settings
from service.web.adapters.openai.messages import read_prompt, send_events
from service.web.adapters.prompting import (
    FEWER,
    SEED,
    TEMPERATURE,
    TOP_P,
    Answer,
    Choice,
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
    "seed": SEED,
    "n": whole_number(1, MAX_BEAM_SIZE, "how many captions, the best first"),
    "max_completion_tokens": whole_number(1, 2**63 - 1, FEWER),
    "max_tokens": whole_number(1, 2**63 - 1, "the same by its older name"),
}
LIMITS = ("max_completion_tokens", "max_tokens")


def add_chat_completions(adapter: Blueprint, pipeline: CaptionPipeline, fetcher: Fetcher, settings: Settings) -> None:
    """Add the route."""
    allowance = Allowance(settings.options(), settings.max_words)

    @adapter.post("/v1/chat/completions")
    def complete() -> Response:
        values = read_json(request)
        stream, usage = read_truth(values, "stream", default=False), _wants_usage(values)
        given = read_options(values, OPTIONS)
        prompt = read_prompt(objects(values.get("messages"), "messages"), fetcher, settings)
        answer = answer_prompt(pipeline, prompt, given, allowance, LIMITS)
        return _stream(answer, usage=usage) if stream else _whole(answer)


def _wants_usage(values: Mapping[str, Any]) -> bool:
    options = values.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise OptionError("stream_options must be a JSON object")
    return read_truth(options, "include_usage", default=False)


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{request_id()}", "object": kind, "created": int(time.time()), "model": answer.model.name}


def _usage(answer: Answer) -> dict[str, int]:
    """Return what was read and written; no model reads the prompt, so that none of it is counted."""
    return {"prompt_tokens": 0, "completion_tokens": answer.tokens, "total_tokens": answer.tokens}


def _reason(choice: Choice) -> str:
    return "stop" if choice.finished else "length"


def _whole(answer: Answer) -> Response:
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": choice.text, "refusal": None},
            "logprobs": None,
            "finish_reason": _reason(choice),
        }
        for index, choice in enumerate(answer.choices)
    ]
    return jsonify(**_head(answer, "chat.completion"), choices=choices, usage=_usage(answer))


def _stream(answer: Answer, *, usage: bool) -> Response:
    head = _head(answer, "chat.completion.chunk")
    counted = {"usage": None} if usage else {}  # each event has the field where the last one tells it
    choices = [part for index, choice in enumerate(answer.choices) for part in _parts(index, choice)]
    events: list[dict[str, Any] | str] = [{**head, "choices": [part], **counted} for part in choices]
    if usage:
        events.append({**head, "choices": [], "usage": _usage(answer)})
    return send_events([*events, "[DONE]"])


def _parts(index: int, choice: Choice) -> Iterator[dict[str, Any]]:
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in choice.pieces), {}]
    for number, delta in enumerate(deltas, start=1):
        reason = _reason(choice) if number == len(deltas) else None
        yield {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
