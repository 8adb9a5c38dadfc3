"""A process that captions with the library of some checkout, for ``benchmarks/commands/compare.py``.

It is this file that runs, with another revision's packages: so it imports nothing of ``benchmarks``, and of the
library only what every version has. It reads a line of JSON per order and answers with one.
"""

import inspect
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from captioner.decoding import DecodingOptions
from captioner.images import read_image
from captioner.malloc import keep_freed_memory
from captioner.predictor import CaptionPredictor

Run = Callable[[], object]


def load(options: dict[str, Any]) -> CaptionPredictor:
    """Load a model; what this version does not know to choose is left to it."""
    known = inspect.signature(CaptionPredictor.from_checkpoint).parameters
    return CaptionPredictor.from_checkpoint(**{name: value for name, value in options.items() if name in known})


def rows(predictor: CaptionPredictor, files: list[bytes], batch: int) -> dict[str, tuple[Run, int]]:
    """Return what can be timed: by name, what to run and how many photos that is."""
    images = [read_image(data) for data in files]
    several = (images * batch)[:batch]
    one, many = predictor.encode(images[:1]), predictor.encode(several)
    greedy, three, five = (DecodingOptions(beam_size=beams) for beams in (1, 3, 5))
    return {
        "read": (lambda: [read_image(data) for data in files], len(files)),
        "encode": (lambda: predictor.encode(images[:1]), 1),
        "after the encoder, beam 5": (lambda: predictor.captions_of(one, five), 1),
        "bytes to caption, greedy": (lambda: predictor.caption(files[0], greedy), 1),
        "bytes to caption, beam 3": (lambda: predictor.caption(files[0], three), 1),
        "bytes to caption, beam 5": (lambda: predictor.caption(files[0], five), 1),
        f"encode, batch of {batch}": (lambda: predictor.encode(several), batch),
        f"after the encoder, beam 5, batch of {batch}": (lambda: predictor.captions_of(many, five), batch),
        f"captions, beam 5, batch of {batch}": (lambda: predictor.captions(several, five), batch),
    }


def main() -> None:
    """Say what can be timed, and time what is asked for until the input ends."""
    keep_freed_memory()
    order = json.loads(sys.argv[1])
    files = [Path(path).read_bytes() for path in order["files"]]
    predictor = load(order["options"])
    works = rows(predictor, files, order["batch"])
    captions = [predictor.caption(data).text for data in files]
    model = f"{predictor.info.name} {predictor.info.version}"
    print(json.dumps({"rows": list(works), "model": model, "captions": captions}), flush=True)
    for line in sys.stdin:
        run, photos = works[json.loads(line)]
        start = time.perf_counter()
        run()
        print(json.dumps((time.perf_counter() - start) / photos), flush=True)


if __name__ == "__main__":
    main()
