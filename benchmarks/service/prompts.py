"""Prompts with photos as clients of language models send them, odd in one place or another, to be fuzzed with."""

from random import Random
from typing import Any

PATHS = ("/api/generate", "/api/chat", "/chat/completions", "/responses")  # with which the addresses end that take them
NAMES = ("temperature", "top_k", "top_p", "seed", "num_predict", "n", "max_tokens", "max_output_tokens", "stop", "x")


def odd_prompt(random: Random, path: str, photo: str, extra: object) -> dict[str, Any]:
    """Return the JSON of a prompt that an address takes, or nearly.

    Args:
        random: What chooses where it is odd.
        path: The address.
        photo: What stands for a photo in base64.
        extra: A value that does not belong there.
    """
    options = {random.choice(NAMES): random.choice((0, 1, 0.5, extra)) for _ in range(random.choice((0, 0, 1, 2)))}
    body: dict[str, Any] = {"model": random.choice(("fake", extra)), "stream": random.choice((True, False, None))}
    if path.endswith("/responses"):
        body |= {"input": [_message(random, _part(random, "input_image", photo, extra), extra)], **options}
    elif path.endswith("/completions"):
        body |= {"messages": [_message(random, _part(random, "image_url", photo, extra), extra)], **options}
    elif path.endswith("/chat"):
        images = random.choice(([photo], [photo, photo], [photo, extra]))
        body |= {"messages": [{"role": "user", "content": extra, "images": images}], "options": options}
    else:
        body |= {"prompt": extra, "images": random.choice(([photo], [photo, photo], extra)), "options": options}
    if random.random() < 0.3:
        body[random.choice((*body, "format", "tools", "stream_options", "keep_alive"))] = extra
    return body


def _part(random: Random, kind: str, photo: str, extra: object) -> dict[str, Any]:
    """Return an image as a part of a message."""
    place = random.choice((*3 * (f"data:image/png;base64,{photo}",), photo, f"https://{photo[:9]}", extra))
    return {"type": random.choice((*9 * (kind,), extra)), "image_url": random.choice((place, {"url": place}))}


def _message(random: Random, image: dict[str, Any], extra: object) -> dict[str, Any]:
    content = random.choice(([image], [image, {"type": "text", "text": extra}], [image, image], extra, [extra]))
    return {"role": random.choice(("user", "user", "system", extra)), "content": content}
