"""What the interfaces of language models share: a prompt with photos, how to search, and the answer in words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from captioner.decoding import MAX_SEED, DecodingOptions
from captioner.errors import OptionError
from captioner.header import SHIPPED
from captioner.types import Caption
from service.errors import BadUploadError
from service.inference.jobs import Asking, Captioning, ModelIdentity, Result, Seconds
from service.inference.pipeline import CaptionPipeline
from service.settings import Settings
from service.web.kinds import Kind, decimal_number, whole_number
from service.web.parameters import Allowance, allowed_options, read_values
from service.web.requests import JsonValue

# OpenAI tells clients to send 0.2 for answers that are focused and deterministic. What beam search finds is both, and
# better than any caption that is drawn: docs/integrations.md has the scores.
DETERMINISTIC = 0.2
TOP_P_OF_ONE = 1e-9  # below the probability of any likeliest word, so that it alone is drawn
MIN_INTEGER = -MAX_SEED - 1
DRAWS = f"with a `temperature` above {DETERMINISTIC:g}"
TEMPERATURE = decimal_number(
    0,
    10,
    f"up to {DETERMINISTIC:g}, or left out: the best caption, by beam search; above, captions are drawn, "
    "log-probabilities divided by it",
)
TOP_P = decimal_number(0, 1, f"{DRAWS}: draw from the fewest likeliest words whose probabilities sum to this")
SEED = whole_number(
    MIN_INTEGER, MAX_SEED, f"{DRAWS}: the same seed draws the same caption again; below 0 it is drawn anew"
)
QUESTION = re.compile(r"(?i)(how many|what colou?r|where)\b.*\?")  # on a single line
FEWER = "most words of a caption, where these are fewer than the service's own limit"


@dataclass(frozen=True)
class Prompt:
    """What is asked.

    Attributes:
        text: The words.
        photos: The bytes of each photo that it is about.
    """

    text: str
    photos: Sequence[bytes]


@dataclass(frozen=True)
class Choice:
    """One answer: of several photos the caption of each on a line of its own, in their order.

    Attributes:
        text: The captions.
        tokens: How many words they have; of a model that writes letters, how many letters.
        finished: False if one was cut at the longest that it may be.
    """

    text: str
    tokens: int
    finished: bool

    @property
    def pieces(self) -> list[str]:
        """The words one by one, each with the space before it, which together are the text."""
        return re.findall(r"\s*\S+\s*\Z|\s*\S+", self.text)


@dataclass(frozen=True)
class Answer:
    """What a model answers.

    Attributes:
        model: The model that did.
        choices: Its answers, the best first.
        seconds: How long decoding the photos took in all, and the longest batch in which one of them was.
    """

    model: ModelIdentity
    choices: Sequence[Choice]
    seconds: Seconds

    @property
    def tokens(self) -> int:
        """How many words all answers have."""
        return sum(choice.tokens for choice in self.choices)


def answer_prompt(
    pipeline: CaptionPipeline, prompt: Prompt, values: Mapping[str, Any], allowance: Allowance, limits: Sequence[str]
) -> Answer:
    """Have a prompt's photos captioned, or its question answered; raises what :meth:`CaptionPipeline.caption` does.

    Args:
        pipeline: The way of photos through the model.
        prompt: What is asked.
        values: The options that are given: ``n``, how many captions are wanted; ``temperature``, and ``top_k``,
            ``top_p`` and ``seed`` of a draw; and those that ``limits`` names.
        allowance: What the operator lets a request ask for.
        limits: The options that limit a caption's words; they never raise the operator's own, and 0 and below is none.

    Raises:
        BadUploadError: If there is no photo.
        OptionError: If it is more than the operator allows.
    """
    options = _decoding_options(values, allowance, max(1, len(prompt.photos)), limits)
    if not prompt.photos:
        raise BadUploadError("there is no image in the request; this model says what is in images, and nothing else")
    task = _task(pipeline, prompt, options)
    if len(prompt.photos) == 1:
        results = [pipeline.caption(prompt.photos[0], task)]
    else:
        results = [_done(result) for result in pipeline.caption_each(prompt.photos, task)[1]]
    seconds = Seconds(
        sum(result.seconds.decode for result in results), max(result.seconds.inference for result in results)
    )
    return Answer(results[0].model, _choices(results), seconds)


def _decoding_options(
    values: Mapping[str, Any], allowance: Allowance, photos: int, limits: Sequence[str]
) -> DecodingOptions:
    """Return how to search: by beam search, or by chance where a temperature asks for it; see :func:`answer_prompt`."""
    found: dict[str, Any] = {"num_captions": values.get("n", 1)}
    if words := [values[name] for name in limits if values.get(name, 0) > 0]:
        found["max_length"] = min(*words, allowance.defaults.max_length)
    if values.get("temperature", 0) > DETERMINISTIC:
        found |= {"search": "sample", "temperature": values["temperature"], "top_k": max(0, values.get("top_k", 0))}
        found["top_p"] = values.get("top_p", 1.0) or TOP_P_OF_ONE
        found |= {"seed": values["seed"]} if values.get("seed", -1) >= 0 else {}
    return allowed_options(found, allowance, photos)


def _task(pipeline: CaptionPipeline, prompt: Prompt, options: DecodingOptions) -> Captioning | Asking:
    """Return what to do: answer a question that is none for a caption, if all its words are known, and else caption.

    "What is this?" and the like, which many applications ask for a caption, get one.
    """
    asks = QUESTION.fullmatch(prompt.text.strip()) and options.num_captions == 1
    return Asking(prompt.text.strip(), 1) if asks and pipeline.understands(prompt.text) else Captioning(options)


def _done(result: Result | Exception) -> Result:
    """Return a photo's result; these interfaces have no errors for a part of a request."""
    if isinstance(result, Exception):
        raise result
    return result


def _choices(results: Sequence[Result]) -> list[Choice]:
    """Return the best captions of all photos, the second best of all, and so on; or the answers to a question."""
    if not results[0].captions:
        texts = [result.answers.answers[0].text for result in results]
        return [Choice("\n".join(texts), sum(len(text.split()) for text in texts), finished=True)]
    return [_choice(captions) for captions in zip(*(result.captions for result in results), strict=True)]


def _choice(captions: Sequence[Caption]) -> Choice:
    return Choice(
        "\n".join(caption.text for caption in captions),
        sum(len(caption.words) for caption in captions),
        all(caption.finished for caption in captions),
    )


def read_options(given: Mapping[str, Any], table: Mapping[str, Kind]) -> dict[str, Any]:
    """Return the options that a table knows; null says nothing, and a whole number may be written as 5.0.

    All others are left alone: clients send many that only a language model could heed.

    Raises:
        OptionError: If one is out of range.
    """
    known = {name: value for name, value in given.items() if name in table and value is not None}
    whole = {
        name: int(value)
        if table[name].schema["type"] == "integer" and isinstance(value, float) and value.is_integer()
        else value
        for name, value in known.items()
    }
    return read_values({name: [JsonValue(value)] for name, value in whole.items()}, table)


def objects(value: object, name: str) -> list[dict[str, Any]]:
    """Return the objects of a list, which may be left out.

    Raises:
        BadUploadError: If it is anything else.
    """
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadUploadError(f"{name} must be a list of objects")
    return value


def latest(photos: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """Return the photos of the last message that has any: those before it were described already."""
    return next((found for found in reversed(photos) if found), [])


def check_number(photos: Sequence[Any], settings: Settings) -> None:
    """Check that there are no more photos than the operator allows.

    Raises:
        BadUploadError: If there are.
    """
    if len(photos) > settings.max_images:
        raise BadUploadError(f"there are {len(photos)} images in a message; it may have at most {settings.max_images}")


def read_truth(values: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """Return a value that is true or false; null is the default.

    Raises:
        OptionError: If it is neither.
    """
    value = values.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise OptionError(f"{name} is {value!r:.40}; it must be true or false")
    return value


def joined(texts: Sequence[object]) -> str:
    """Return all that is text of a prompt, line by line."""
    return "\n".join(text for text in texts if isinstance(text, str))


def file_size_and_time(settings: Settings) -> tuple[int, float]:
    """Return how many bytes the model's file has, and when it was written, in seconds since 1970; 0 if it is gone."""
    try:
        found = (settings.checkpoint or SHIPPED).stat()
    except OSError:
        return 0, 0.0
    return found.st_size, found.st_mtime
