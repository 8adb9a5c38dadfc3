"""Write down what a service answers to many requests, so that two versions of it can be compared.

    python -m benchmarks answers record --photos FOLDER --url http://127.0.0.1:8000 --out before.jsonl
    python -m benchmarks answers compare before.jsonl after.jsonl

Both versions must run on the same machine. What differs from run to run, ids and times, is left out; all else
counts.
"""

import base64
import json
import re
import urllib.error
import urllib.request
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from tqdm import tqdm

from captioner.errors import OptionError

EPILOG = __doc__
WAYS: tuple[dict[str, str], ...] = (  # how the photos are captioned, in turn
    {},
    {"num_captions": "3"},
    {"beam_size": "1", "activations": "true", "max_length": "8"},
    {"num_captions": "2", "groups": "2", "beam_size": "4"},
    {"search": "sample", "seed": "1", "temperature": "0.7"},
    {"beginning": "two dogs", "length_penalty": "1"},
    {"no_repeat_ngram_size": "2", "min_length": "6", "max_length": "12"},
)
WRONG: tuple[dict[str, str], ...] = (
    *({name: value} for name in ("beam_size", "num_captions", "max_length") for value in ("0", "51x", "9999")),
    *({name: value} for name in ("length_penalty", "diversity", "temperature", "top_p") for value in ("-1", "nan")),
    *({"search": value} for value in ("", "greedy", "Beam")),
    *({name: "1"} for name in ("beamsize", "text", "size")),
    {"temperature": "0.5"}, {"seed": "1"}, {"groups": "3"}, {"min_length": "30"}, {"beginning": "zzzz"},
    {"activations": "yes"}, {"num_captions": "50", "max_length": "200"}, {"beginning": "a" * 300},
    {"top_k": "-1", "search": "sample"}, {"groups": "0"}, {"groups": "9999"},
)  # fmt: skip
BODIES = (
    b"",
    b"no picture",
    b"\xff\xd8\xff",
    b"GIF89a",
    b"RIFF\0\0\0\0WEBP",
    b"<svg></svg>",
    b"%PDF-1.4",
    b"\x89PNG\r\n\x1a\n",
)
PATHS = (
    "/v1/nothing",
    "/v1/captions",
    "/v1/heatmaps",
    "/v2/models/none",
    "/openapi.json",
    "/v1/model",
    "/model/metadata",
)
UNSTEADY_FIELDS = {"id", "timing_ms", "request_id"}
STEADY_HEADERS = ("Content-Type", "Cache-Control", "Retry-After", "Allow", "Vary", "Content-Security-Policy")


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        name: What it is called in the record.
        path: With its query.
        body: What is posted; ``None`` asks with GET.
        headers: Of the request.
    """

    name: str
    path: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


def requests(photos: Sequence[Path]) -> Iterator[Asked]:
    """Yield all requests: every photo once, some by other routes, and those that are wrong."""
    for index, path in enumerate(photos):
        way = WAYS[index % len(WAYS)]
        yield Asked(path.name, f"/v1/captions?{urlencode(way)}", path.read_bytes())
    some = photos[0].read_bytes()
    as_json = json.dumps({"image": base64.b64encode(some).decode(), "text": "a dog runs"}).encode()
    yield Asked("score", "/v1/scores", as_json, {"Content-Type": "application/json"})
    yield Asked("heatmap", "/v1/heatmaps?max_length=5&tile=96", some)
    for way in WRONG:
        yield Asked(f"wrong {way}", f"/v1/captions?{urlencode(way)}", some)
    for body in BODIES:
        yield Asked(f"body {body!r}", "/v1/captions", body)
    for where in PATHS:
        yield Asked(f"GET {where}", where)


def ask(url: str, asked: Asked) -> dict[str, object]:
    """Return what is answered, without what differs from run to run."""
    headers = {"Content-Type": "application/octet-stream", **asked.headers}
    request = urllib.request.Request(url + asked.path, asked.body, headers)  # noqa: S310 - the service under test
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310
            status, told, data = response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        status, told, data = error.code, error.headers, error.read()
    kept = {name: told[name] for name in STEADY_HEADERS if name in told}
    return {"asked": asked.name, "status": status, "headers": kept, "body": steady(data)}


def steady(data: bytes) -> object:
    """Return JSON without its ids and times; other text as it is, and anything else as base64."""
    try:
        return _without(json.loads(data))
    except ValueError:
        return re.sub(r"req_[0-9a-f]+", "req_", data.decode("utf-8", "backslashreplace"))


def _without(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without(inner) for name, inner in value.items() if name not in UNSTEADY_FIELDS}
    return [_without(inner) for inner in value] if isinstance(value, list) else value


def record(args: Namespace) -> int:
    """Write one line per request."""
    photos = sorted(path for path in args.photos.iterdir() if path.suffix == ".jpg")[: args.most]
    if not photos:
        raise OptionError(f"{args.photos} holds no .jpg files")
    asked = list(requests(photos))
    with args.out.open("w", encoding="utf-8") as file:
        for one in tqdm(asked, unit="request"):
            file.write(json.dumps(ask(args.url, one)) + "\n")
    print(f"{len(photos)} photos, {len(asked) - len(photos)} other requests")
    return 0


def compare(args: Namespace) -> int:
    """Print the requests that are answered otherwise; return 1 if there are any."""
    before, after = ([json.loads(line) for line in path.read_text().splitlines()] for path in (args.before, args.after))
    theirs = {line["asked"]: line for line in after}
    different = [line["asked"] for line in before if theirs.get(line["asked"]) != line]
    print(f"{len(before)} requests, {len(different)} answered otherwise")
    for name in different:
        print(f"  {name}")
    return 1 if different or len(before) != len(after) else 0


def add_arguments(parser: ArgumentParser) -> None:
    """Add the two things that can be done."""
    commands = parser.add_subparsers(required=True, metavar="record|compare")
    recording = commands.add_parser("record", help="ask a running service")
    recording.add_argument("--url", default="http://127.0.0.1:8000", help="of the service (default: %(default)s)")
    recording.add_argument("--photos", type=Path, required=True, help="folder of JPEG files")
    recording.add_argument("--most", type=int, default=200, help="photos to ask for (default: %(default)s)")
    recording.add_argument("--out", type=Path, required=True, help="file to write, a JSON object per line")
    recording.set_defaults(act=record)
    comparing = commands.add_parser("compare", help="compare two records; exit status 1 if they differ")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.set_defaults(act=compare)


def run(arguments: Namespace) -> int:
    """Record or compare."""
    status: int = arguments.act(arguments)
    return status
