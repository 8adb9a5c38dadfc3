"""Values to the JSON that the native routes answer."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from flask import Blueprint, Response, jsonify
from numpy.typing import NDArray

from captioner.types import Caption
from service.errors import answer_error, request_id
from service.inference.cache import PhotoFacts
from service.inference.jobs import Model
from service.inference.pipeline import Work

CONFIDENCE_DECIMALS = 4  # more than a calibration can tell
DECIMALS = 6  # of log-probabilities and attention weights: far below what float32 can tell apart after a network
ACTIVATION_DECIMALS = 4  # enough to draw them


def image_payload(photo: PhotoFacts) -> dict[str, Any]:
    """Describe the upright image."""
    return {"width": photo.width, "height": photo.height, "format": photo.format}


def caption_payload(caption: Caption) -> dict[str, Any]:
    """Return a caption as JSON values; the weights of each word run row by row from the top left."""
    payload = {
        "text": caption.text,
        "log_prob": round(float(caption.log_prob), DECIMALS),
        "finished": caption.finished,
        "confidence": _confidence(caption.confidence),
        "needs_review": caption.needs_review,
        "words": [_word(caption, index) for index in range(len(caption.words))],
    }
    if caption.activations is not None:
        payload["activations"] = {name: _rounded(values) for name, values in caption.activations.items()}
    return payload


def score_payload(caption: Caption) -> dict[str, Any]:
    """Return a scored text as JSON values: a caption whose words tell whether the vocabulary knows them."""
    payload = caption_payload(caption)
    for word, entry in zip(caption.words, payload["words"], strict=True):
        entry["known"] = word.known
    return payload


def _word(caption: Caption, index: int) -> dict[str, Any]:
    word = caption.words[index]
    return {
        "text": word.text,
        "log_prob": round(float(word.log_prob), DECIMALS),
        "confidence": _confidence(word.confidence),
        "attention": _weights(caption, index),
    }


def _confidence(value: float | None) -> float | None:
    return None if value is None else round(value, CONFIDENCE_DECIMALS)


def _rounded(values: NDArray[np.float32]) -> Any:
    return values.astype(np.float64).round(ACTIVATION_DECIMALS).tolist()  # float32 has no short decimals


def _weights(caption: Caption, index: int) -> list[float] | None:
    if caption.attention is None:
        return None
    return [round(weight, DECIMALS) for weight in caption.attention[index].ravel().tolist()]


def attention_grid(captions: Sequence[Caption]) -> list[int] | None:
    """Return the rows and columns of the attention maps, or None when the model does not attend."""
    for caption in captions:
        if caption.attention is not None:
            return list(caption.attention.shape[1:])
    return None


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
    captions = [caption_payload(caption) for caption in work.captions]
    return _answer(work, start, captions=captions)


def answer_score(work: Work, start: float) -> Response:
    """Answer the score of a text."""
    [caption] = work.captions
    return _answer(work, start, score=score_payload(caption))


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
        image=image_payload(work.photo),
        **result,
        attention_grid=attention_grid(work.captions),
        timing_ms=_times(work) | {"total": _since(start)},
        **_cached(work),
    )


def _result(result: Work | Exception) -> dict[str, Any]:
    if isinstance(result, Exception):
        problem: dict[str, Any] = answer_error(result).get_json()
        return {"problem": {name: problem[name] for name in PROBLEM_FIELDS}}
    return {
        "image": image_payload(result.photo),
        "captions": [caption_payload(caption) for caption in result.captions],
        "attention_grid": attention_grid(result.captions),
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
