"""Whether the service's memory stays flat: ``python benchmarks/service_memory.py [--requests N]``.

Sends mixed requests to the real server with the shipped model: photos of many sizes and formats, every kind of search,
scores, activations, and what is wrong in every way, from several clients at once. Prints the resident memory after each
tenth, and at the end by how much it lies above that after the first.
"""

import argparse
import http.client
import io
import json
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from PIL import Image

from benchmarks.photos import made_up
from benchmarks.program import serving

CLIENTS = 8
GOAL = 0.05
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


def main() -> int:
    """Run it, print what it took, and return 1 if memory grew too much or an answer was a mistake of ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=60, help="stop after so long, whatever was sent (default: 60)")
    parser.add_argument("--json", type=Path, help="write the numbers to this file, too")
    args = parser.parse_args()
    requests, chance = make_requests(), random.Random(1)  # noqa: S311
    statuses: Counter[int] = Counter()
    memory: list[float] = []
    end = time.monotonic() + 60 * args.minutes
    with serving([]) as server, ThreadPoolExecutor(CLIENTS) as clients:
        for part in range(1, 11):
            work = [chance.choices(requests, k=max(args.requests // (10 * CLIENTS), 1)) for _ in range(CLIENTS)]
            for counted in clients.map(send, [server.netloc] * CLIENTS, work):
                statuses += counted
            memory.append(server.resident_bytes() / 2**20)
            print(f"{part * 10:3}%: {sum(statuses.values())} requests, {memory[-1]:.0f} MiB resident", flush=True)
            if time.monotonic() > end:
                break
    growth = memory[-1] / memory[0] - 1
    mistakes = sum(count for status, count in statuses.items() if status >= 500 and status not in (503, 504))
    print("statuses:", ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items())))
    print(f"growth after the first tenth: {growth:.1%} ({'met' if growth <= GOAL else 'NOT met'}: at most {GOAL:.0%})")
    if args.json:
        args.json.write_text(json.dumps({"mebibytes": memory, "statuses": dict(statuses)}))
    return int(growth > GOAL or mistakes > 0)


if __name__ == "__main__":
    sys.exit(main())
