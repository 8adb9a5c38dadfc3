"""Watch the service's memory over many requests.

Sends mixed requests to the real server: photos of many sizes and formats, every kind of search, scores,
activations, and what is wrong in every way, from several clients at once. Prints the resident memory at ready and
after each tenth; that it grew by more than a twentieth after the first tenth, or an answer that is a mistake of
ours, makes the exit status 1.
"""

import http.client
import io
import random
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from PIL import Image

from benchmarks.models import add_model_arguments
from benchmarks.photos import made_up
from benchmarks.report import add_json_argument, introduce, publish
from benchmarks.service.program import Server, model_flags, serving

EPILOG = __doc__
CLIENTS = 8
MOST_GROWTH = 0.05
PARTS = 10
TIMEOUT = 120
OPTIONS = (
    "",
    "?beam_size=1",
    "?beam_size=3&num_captions=3",
    "?beam_size=6&groups=3&num_captions=3",
    "?search=sample&top_p=0.9&num_captions=4",
    "?beginning=a+dog&min_length=5",
    "?activations=true",
    "?max_length=5&no_repeat_ngram_size=2",
)
SIZES = ((64, 64), (320, 240), (500, 375), (375, 500), (640, 480), (1024, 768), (1600, 1200), (2400, 1800))
Request = tuple[str, bytes]
TITLES = {"requests": "requests", "resident_mib": "resident, MiB"}


def make_requests(seed: int = 0) -> list[Request]:
    """Return a few hundred requests, a tenth of them wrong."""
    chance = random.Random(seed)  # noqa: S311 - a benchmark, not a secret
    photos = [image_file(chance, number) for number in range(60)]
    captions = [(f"/v1/captions{options}", photo) for photo in photos for options in OPTIONS]
    scores = [
        (f"/v1/scores?text={text}", photo) for photo in photos for text in ("a+dog+runs", "blorf", "two+children")
    ]
    photo = photos[0]
    wrong = [("/v1/captions", b""), ("/v1/captions", b"no image"), ("/v1/captions", photo[: len(photo) // 2])]
    wrong += [("/v1/captions?beam_size=99", photo), ("/v1/scores", photo), ("/nowhere", photo)]
    return [*captions, *scores, *wrong * 12]


def image_file(chance: random.Random, number: int) -> bytes:
    """Return a photo of some size and format."""
    data = made_up(number, *chance.choice(SIZES))
    image_format = chance.choice(("JPEG", "JPEG", "JPEG", "PNG", "WEBP", "BMP"))
    if image_format == "JPEG":
        return data
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).save(file, image_format)
    return file.getvalue()


def send(netloc: str, work: list[Request]) -> Counter[int]:
    """Send requests one after the other; return how often each status was answered."""
    statuses: Counter[int] = Counter()
    connection = http.client.HTTPConnection(netloc, timeout=TIMEOUT)
    for path, data in work:
        connection.request("POST", path, data)
        response = connection.getresponse()
        response.read()
        statuses[response.status] += 1
    connection.close()
    return statuses


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_model_arguments(parser)
    parser.add_argument("--requests", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument(
        "--minutes", type=float, default=60, help="stop after so long, whatever was sent (default: %(default)s)"
    )
    add_json_argument(parser)


def run(arguments: Namespace) -> int:
    """Send the requests, print what the process held, and return 1 if it grew too much or an answer was a mistake."""
    statuses: Counter[int] = Counter()
    introduce(clients=CLIENTS)
    with serving(model_flags(arguments.checkpoint, arguments.runtime, arguments.threads)) as server:
        rows = list(watched(server, arguments.requests, arguments.minutes, statuses))
    growth = rows[-1]["resident_mib"] / rows[min(1, len(rows) - 1)]["resident_mib"] - 1
    mistakes = sum(count for status, count in statuses.items() if status >= 500 and status not in (503, 504))
    found = {str(status): count for status, count in sorted(statuses.items())}
    publish("memory", rows, TITLES, arguments.json, statuses=found, growth=growth)
    print(f"\nstatuses: {', '.join(f'{status}: {count}' for status, count in found.items())}")
    print(f"growth after the first tenth: {growth:.1%} (at most {MOST_GROWTH:.0%} is allowed)")
    return int(growth > MOST_GROWTH or mistakes > 0)


def watched(server: Server, requests: int, minutes: float, statuses: Counter[int]) -> Iterator[dict[str, Any]]:
    """Send mixed requests, and yield after each tenth how many were answered and how much memory the server holds."""
    mixed, chance = make_requests(), random.Random(1)  # noqa: S311 - a benchmark, not a secret
    end = time.monotonic() + 60 * minutes
    each = max(requests // (PARTS * CLIENTS), 1)
    yield {"requests": 0, "resident_mib": server.resident_mebibytes()}
    with ThreadPoolExecutor(CLIENTS) as clients:
        for _ in range(PARTS):
            work = [chance.choices(mixed, k=each) for _ in range(CLIENTS)]
            for counted in clients.map(send, [server.netloc] * CLIENTS, work):
                statuses.update(counted)
            yield {"requests": sum(statuses.values()), "resident_mib": server.resident_mebibytes()}
            if time.monotonic() > end:
                return
