"""Values to the JSON that the native routes answer."""

import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from flask import Blueprint, Response, jsonify
from numpy.typing import NDArray

from captioner.types import Caption, Word
from service.errors import answer_error, request_id
from service.inference.jobs import ModelIdentity, Photo, Result

CONFIDENCE_DECIMALS = 4  # more than a calibration can tell
DECIMALS = 6  # of log-probabilities and attention weights: far below what float32 can tell apart after a network
ACTIVATION_DECIMALS = 4  # enough to draw them


def image_payload(photo: Photo) -> dict[str, Any]:
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
        "words": [_word(word, weights) for word, weights in zip(caption.words, _weights(caption), strict=True)],
    }
    if caption.activations is not None:
        rounded = {name: _rounded(values, ACTIVATION_DECIMALS) for name, values in caption.activations.items()}
        payload["activations"] = rounded
    return payload


def score_payload(caption: Caption) -> dict[str, Any]:
    """Return a scored text as JSON values: a caption whose words tell whether the vocabulary knows them."""
    payload = caption_payload(caption)
    for word, entry in zip(caption.words, payload["words"], strict=True):
        entry["known"] = word.known
    return payload


def _word(word: Word, weights: list[float] | None) -> dict[str, Any]:
    return {
        "text": word.text,
        "log_prob": round(float(word.log_prob), DECIMALS),
        "confidence": _confidence(word.confidence),
        "attention": weights,
    }


def _confidence(value: float | None) -> float | None:
    return None if value is None else round(value, CONFIDENCE_DECIMALS)


def _rounded(values: NDArray[np.float32], decimals: int) -> Any:
    return values.astype(np.float64).round(decimals).tolist()  # float32 has no short decimals


def _weights(caption: Caption) -> Sequence[Any]:
    """Return the attention of each word, of a shot that of each of its frames.

    All are rounded at once, since one by one cost as much as the JSON.
    """
    if caption.attention is None:
        return [None] * len(caption.words)
    *before, rows, cols = caption.attention.shape  # of no words, too, which "-1" in their place would not bear
    rounded: list[Any] = _rounded(caption.attention.reshape(*before, rows * cols), DECIMALS)
    return rounded


def attention_grid(captions: Sequence[Caption]) -> list[int] | None:
    """Return the rows and columns of the attention maps, or None when the model does not attend."""
    for caption in captions:
        if caption.attention is not None:
            return list(caption.attention.shape[-2:])
    return None


PROBLEM_FIELDS = ("type", "title", "status", "detail")


def never_store(blueprint: Blueprint) -> None:
    """Let every answer of a blueprint tell caches on the way to keep nothing."""

    def forbid_storing(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    blueprint.after_request(forbid_storing)


def own_version(unknown: str = "unversioned") -> str:
    """Return the version of this software; what stands for it where it runs from a folder of sources."""
    try:
        return version("captioner")
    except PackageNotFoundError:
        return unknown


def model_payload(model: ModelIdentity) -> dict[str, str]:
    """Say which model answers."""
    return {"name": model.name, "version": model.version}


def answer_captions(result: Result, start: float) -> Response:
    """Answer the captions of one photo."""
    captions = [caption_payload(caption) for caption in result.captions]
    return _answer(result, start, captions=captions)


def answer_score(result: Result, start: float) -> Response:
    """Answer the score of a text."""
    [caption] = result.captions
    return _answer(result, start, score=score_payload(caption))


def answer_question(result: Result, start: float) -> Response:
    """Answer the answers to a question; the weights of where it looked run row by row from the top left."""
    found, maps = result.answers, result.answers.attention
    return jsonify(
        id=request_id(),
        model=model_payload(result.model),
        image=image_payload(result.photo),
        question=found.question,
        answers=[{"text": one.text, "probability": round(one.probability, DECIMALS)} for one in found.answers],
        unknown_words=list(found.unknown),
        attention=None if maps is None else [round(weight, DECIMALS) for weight in maps.ravel().tolist()],
        attention_grid=None if maps is None else list(maps.shape),
        timing_ms=_times(result) | {"total": since(start)},
        **_cached(result),
    )


def answer_each(model: ModelIdentity, results: Sequence[Result | Exception], start: float) -> Response:
    """Answer the captions of several photos, each with its own result or problem, in their order."""
    return jsonify(
        id=request_id(),
        model=model_payload(model),
        results=[_result_payload(result) for result in results],
        timing_ms={"total": since(start)},
    )


def _answer(result: Result, start: float, **payload: Any) -> Response:
    return jsonify(
        id=request_id(),
        model=model_payload(result.model),
        image=image_payload(result.photo),
        **payload,
        attention_grid=attention_grid(result.captions),
        timing_ms=_times(result) | {"total": since(start)},
        **_cached(result),
    )


def _result_payload(result: Result | Exception) -> dict[str, Any]:
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


def _cached(result: Result) -> dict[str, bool]:
    return {"cached": True} if result.cached else {}


def _times(result: Result) -> dict[str, float]:
    return {"decode": milliseconds(result.seconds.decode), "inference": milliseconds(result.seconds.inference)}


def since(start: float) -> float:
    """Return how many milliseconds ago something began, by ``time.perf_counter``."""
    return milliseconds(time.perf_counter() - start)


def milliseconds(seconds: float) -> float:
    """Return a time as it is told."""
    return round(seconds * 1000, 1)
