"""Values to the JSON that the native routes answer."""

import time
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, jsonify

from service.errors import answer_error, request_id
from service.inference.jobs import Model
from service.inference.pipeline import Work
from service.web import payloads

PROBLEM_FIELDS = ("type", "title", "status", "detail")


def never_store(blueprint: Blueprint) -> None:
    """Let every answer of a blueprint tell caches on the way to keep nothing."""

    def forbid_storing(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    blueprint.after_request(forbid_storing)


def model_payload(model: Model) -> dict[str, str]:
    """Say which model answers."""
    return {"name": model.name, "version": model.version}


def answer_captions(work: Work, start: float) -> Response:
    """Answer the captions of one photo."""
    captions = [payloads.caption_payload(caption) for caption in work.captions]
    return _answer(work, start, captions=captions)


def answer_score(work: Work, start: float) -> Response:
    """Answer the score of a text."""
    [caption] = work.captions
    return _answer(work, start, score=payloads.score_payload(caption))


def answer_each(model: Model, results: Sequence[Work | Exception], start: float) -> Response:
    """Answer the captions of several photos, each with its own result or problem, in their order."""
    return jsonify(
        id=request_id(),
        model=model_payload(model),
        results=[_result(result) for result in results],
        timing_ms={"total": _since(start)},
    )


def _answer(work: Work, start: float, **result: Any) -> Response:
    return jsonify(
        id=request_id(),
        model=model_payload(work.model),
        image=payloads.image_payload(work.photo),
        **result,
        attention_grid=payloads.attention_grid(work.captions),
        timing_ms=_times(work) | {"total": _since(start)},
        **_cached(work),
    )


def _result(result: Work | Exception) -> dict[str, Any]:
    if isinstance(result, Exception):
        problem: dict[str, Any] = answer_error(result).get_json()
        return {"problem": {name: problem[name] for name in PROBLEM_FIELDS}}
    return {
        "image": payloads.image_payload(result.photo),
        "captions": [payloads.caption_payload(caption) for caption in result.captions],
        "attention_grid": payloads.attention_grid(result.captions),
        "timing_ms": _times(result),
        **_cached(result),
    }


def _cached(work: Work) -> dict[str, bool]:
    return {"cached": True} if work.cached else {}


def _times(work: Work) -> dict[str, float]:
    return {"decode": _milliseconds(work.decode_seconds), "inference": _milliseconds(work.inference_seconds)}


def _since(start: float) -> float:
    return _milliseconds(time.perf_counter() - start)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
