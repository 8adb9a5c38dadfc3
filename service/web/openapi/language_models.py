"""The paths of the adapters that speak as language models do: Ollama's and OpenAI's, with their schemas.

What their clients send besides is taken and left alone, so that requests may have other fields; answers have none.
"""

from collections.abc import Mapping
from typing import Any

from service.settings import Settings
from service.web.adapters.ollama import NDJSON
from service.web.adapters.ollama import OPTIONS as OLLAMA_OPTIONS
from service.web.adapters.openai.chat_completions import OPTIONS as CHAT_OPTIONS
from service.web.adapters.openai.messages import EVENTS
from service.web.adapters.openai.responses import OPTIONS as RESPONSES_OPTIONS
from service.web.openapi.operations import JSON_MIME, REQUEST_ID, SITES, get, json_answer, post
from service.web.openapi.schemas import (
    NUMBER,
    PHOTO_BASE64,
    TEXT,
    TRUTH,
    WHOLE,
    Schema,
    fields,
    many,
    maybe,
    one,
    only,
    thing,
)

OLLAMA, OPENAI = "Ollama", "OpenAI"
TAGS = (OLLAMA, OPENAI)
MODEL: Schema = {**TEXT, "description": "any name: there is one model, whose own name the answer tells"}
UNREAD: Schema = {**TEXT, "description": "taken, and not read: the model describes the image, whatever is asked"}
LINK: Schema = {"type": "string", "format": "uri", "description": SITES}
IMAGE_URL: Schema = {"anyOf": [{**PHOTO_BASE64, "description": "a data: URI of an image"}, LINK]}
EVENT = thing({"data": TEXT}, {"event": TEXT})
UNKNOWN = {"404": "There is no such model."}


def language_model_paths(settings: Settings) -> dict[str, Any]:
    """Return what clients of language models call."""
    return _ollama_paths(settings) | _openai_paths(settings)


def _open(required: Mapping[str, Schema], optional: Mapping[str, Schema]) -> Schema:
    """Return an object with these fields, and with any others, which are left alone."""
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def _ollama_paths(settings: Settings) -> dict[str, Any]:
    images = many(PHOTO_BASE64, maxItems=settings.max_images)
    more = {
        "stream": {**TRUTH, "description": "whether to answer word by word, which is the default"},
        "options": _open({}, fields(OLLAMA_OPTIONS, {})),
    }
    message = _open({"role": TEXT}, {"content": UNREAD, "images": images})
    return {
        "/api/generate": _asking(
            "ollamaGenerate",
            "Describe an image as Ollama does",
            OLLAMA,
            _open({"model": MODEL}, {"prompt": UNREAD, "images": images, **more}),
            _either("OllamaGenerated", NDJSON, TEXT),
        ),
        "/api/chat": _asking(
            "ollamaChat",
            "Describe the last image of a chat as Ollama does",
            OLLAMA,
            _open({"model": MODEL, "messages": many(message)}, more),
            _either("OllamaMessage", NDJSON, TEXT),
        ),
        "/api/show": _with(
            _asking(
                "ollamaShow",
                "The model",
                OLLAMA,
                _open({"model": TEXT}, {}),
                json_answer("The model.", one("OllamaModel")),
            ),
            "post",
            "Error",
        ),
        "/api/tags": _telling("ollamaTags", "The one model", OLLAMA, "OllamaTags"),
        "/api/ps": _telling("ollamaLoaded", "The one model, which is loaded", OLLAMA, "OllamaLoaded"),
        "/api/version": _telling("ollamaVersion", "The version of this software", OLLAMA, "OllamaVersion"),
    }


def _openai_paths(settings: Settings) -> dict[str, Any]:
    stream = {"stream": {**TRUTH, "description": "whether to answer word by word, as server-sent events"}}
    usage = {"stream_options": _open({}, {"include_usage": TRUTH})}
    text, image = (
        _part("text"),
        _open({"type": only("image_url"), "image_url": thing({"url": IMAGE_URL}, {"detail": TEXT})}, {}),
    )
    said, seen = _part("input_text"), _open({"type": only("input_image"), "image_url": IMAGE_URL}, {"detail": TEXT})
    return {
        "/v1/chat/completions": _asking(
            "openaiChat",
            "Describe the last image of a chat as OpenAI does",
            OPENAI,
            _open(
                {"model": MODEL, "messages": _messages(text, image, settings)},
                {**fields(CHAT_OPTIONS, {}), **stream, **usage},
            ),
            _either("OpenAICompletion", EVENTS, EVENT),
        ),
        "/v1/responses": _asking(
            "openaiResponses",
            "Describe the last image of the input as OpenAI does",
            OPENAI,
            _open(
                {"model": MODEL, "input": _messages(said, seen, settings)},
                {**fields(RESPONSES_OPTIONS, {}), **stream, "instructions": UNREAD},
            ),
            _either("OpenAIResponse", EVENTS, EVENT),
        ),
        "/v1/models": _telling("openaiModels", "The one model", OPENAI, "OpenAIModels"),
        "/v1/models/{name}": {
            "parameters": [{"name": "name", "in": "path", "required": True, "schema": TEXT}],
            **_with(_telling("openaiModel", "The model", OPENAI, "OpenAIModel"), "get", "OpenAIError"),
        },
    }


def _part(kind: str) -> Schema:
    return _open({"type": only(kind), "text": UNREAD}, {})


def _messages(text: Schema, image: Schema, settings: Settings) -> Schema:
    parts = many({"anyOf": [image, text]}, contains=image, minItems=1, maxItems=settings.max_images)
    return many(_open({"role": TEXT, "content": {"anyOf": [parts, UNREAD]}}, {}), minItems=1)


def _either(whole: str, mime: str, part: Schema) -> Schema:
    """Return an answer that comes whole, or word by word in parts of another kind."""
    content = {JSON_MIME: {"schema": one(whole)}, mime: {"schema": part}}
    return {"description": "The caption, whole or word by word.", "content": content}


def _asking(name: str, summary: str, tag: str, body: Schema, ok: Schema) -> Schema:
    description = "Fields and options that are not listed are taken and left alone."
    return post(
        name,
        summary,
        description,
        tag,
        body={JSON_MIME: {"schema": body}},
        ok=ok,
        parameters=[REQUEST_ID],
        problem=_problem(tag),
    )


def _telling(name: str, summary: str, tag: str, schema: str) -> Schema:
    loading = {"503": json_answer("The model is being loaded.", one(_problem(tag)))}
    return get(name, summary, "", tag, {"200": json_answer(summary, one(schema)), **loading}, problem=_problem(tag))


def _problem(tag: str) -> str:
    return "Error" if tag == OLLAMA else "OpenAIError"


def _with(path: Schema, method: str, problem: str) -> Schema:
    """Add the answer of a model that is not there."""
    path[method]["responses"] |= {status: json_answer(words, one(problem)) for status, words in UNKNOWN.items()}
    return path


_DETAILS = thing(
    {
        **dict.fromkeys(("parent_model", "format", "family"), TEXT),
        "families": many(TEXT),
        **dict.fromkeys(("parameter_size", "quantization_level"), TEXT),
    }
)
_LISTED = {
    "name": TEXT,
    "model": TEXT,
    "modified_at": TEXT,
    "size": WHOLE,
    "digest": TEXT,
    "details": one("OllamaDetails"),
}
_SAID = {"model": TEXT, "created_at": TEXT, "done": TRUTH, "done_reason": TEXT}
_COUNTS = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)
_MESSAGE = thing({"role": only("assistant"), "content": TEXT})
_NOTHING: Schema = {"type": "null"}
_ITEM = thing(
    {"id": TEXT, "type": only("message"), "role": only("assistant"), "status": TEXT, "content": many(one("OpenAIText"))}
)
SCHEMAS: dict[str, Schema] = {
    "OllamaDetails": _DETAILS,
    "OllamaGenerated": thing({**_SAID, "response": TEXT}, dict.fromkeys(_COUNTS, WHOLE)),
    "OllamaMessage": thing({**_SAID, "message": _MESSAGE}, dict.fromkeys(_COUNTS, WHOLE)),
    "OllamaModel": thing(
        {
            **dict.fromkeys(("modelfile", "parameters", "template", "license", "modified_at"), TEXT),
            "details": one("OllamaDetails"),
            "model_info": {"type": "object"},
            "capabilities": many(TEXT),
        }
    ),
    "OllamaTags": thing({"models": many(thing(_LISTED))}),
    "OllamaLoaded": thing({"models": many(thing({**_LISTED, "expires_at": TEXT, "size_vram": WHOLE}))}),
    "OllamaVersion": thing({"version": TEXT}),
    "OpenAIError": thing({"error": thing({"message": TEXT, "type": TEXT, "param": _NOTHING, "code": TEXT})}),
    "OpenAIModel": thing({"id": TEXT, "object": only("model"), "created": WHOLE, "owned_by": TEXT}),
    "OpenAIModels": thing({"object": only("list"), "data": many(one("OpenAIModel"))}),
    "OpenAICompletion": thing(
        {
            "id": TEXT,
            "object": only("chat.completion"),
            "created": WHOLE,
            "model": TEXT,
            "choices": many(
                thing(
                    {
                        "index": WHOLE,
                        "message": thing({"role": only("assistant"), "content": TEXT, "refusal": _NOTHING}),
                        "logprobs": _NOTHING,
                        "finish_reason": TEXT,
                    }
                )
            ),
            "usage": thing(dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), WHOLE)),
        }
    ),
    "OpenAIText": thing({"type": only("output_text"), "text": TEXT, "annotations": many({}), "logprobs": many({})}),
    "OpenAIResponse": thing(
        {
            "id": TEXT,
            "object": only("response"),
            "created_at": WHOLE,
            "status": TEXT,
            "error": _NOTHING,
            "incomplete_details": maybe(thing({"reason": TEXT})),
            "instructions": _NOTHING,
            "max_output_tokens": maybe(WHOLE),
            "model": TEXT,
            "output": many(_ITEM),
            "parallel_tool_calls": TRUTH,
            "previous_response_id": _NOTHING,
            "store": TRUTH,
            "temperature": maybe(NUMBER),
            "tool_choice": TEXT,
            "tools": many({}),
            "top_p": maybe(NUMBER),
            "usage": one("OpenAIUsage"),
            "metadata": {"type": "object"},
        }
    ),
    "OpenAIUsage": thing(
        {
            "input_tokens": WHOLE,
            "input_tokens_details": thing({"cached_tokens": WHOLE, "cache_write_tokens": WHOLE}),
            "output_tokens": WHOLE,
            "output_tokens_details": thing({"reasoning_tokens": WHOLE}),
            "total_tokens": WHOLE,
        }
    ),
}
