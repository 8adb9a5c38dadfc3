"""How long a model takes for a photo: ``python benchmarks/predictor.py [--checkpoint FILE] [--threads N]``.

Freed memory is kept, as in the command line and the service (captioner/malloc.py).
Each row is timed in turn within every round, so that a machine that changes its speed changes all rows alike. Printed
are the median over the rounds and the fastest round, in milliseconds per photo.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from captioner.decoding import DecodingOptions
from captioner.images import read_image
from captioner.malloc import keep_freed_memory
from captioner.predictor import CaptionPredictor

SAMPLES = Path(__file__).parents[1] / "service" / "static" / "samples"


def main() -> None:
    """Time every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    parser.add_argument("--checkpoint", type=Path, help="the model; default: the shipped one")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    keep_freed_memory()
    predictor = CaptionPredictor.from_checkpoint(args.checkpoint, threads=args.threads)
    files = [path.read_bytes() for path in sorted(SAMPLES.glob("*.jpg"))]
    rows = work(predictor, files)
    for run, _ in rows.values():
        run()  # warm up
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(args.rounds):
        for name, (run, photos) in rows.items():
            start = time.perf_counter()
            run()
            seconds[name].append((time.perf_counter() - start) / photos)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {args.rounds} rounds, ms per photo")
    print(f"{'':32} {'median':>8} {'fastest':>8}")
    for name, times in seconds.items():
        print(f"{name:32} {1000 * statistics.median(times):8.1f} {1000 * min(times):8.1f}")


def work(predictor: CaptionPredictor, files: list[bytes]) -> dict[str, tuple[Callable[[], object], int]]:
    """Return what is timed: a name, what to run, and how many photos that is."""
    images = [read_image(data) for data in files]
    batch = (images * 8)[:8]
    one, eight = predictor.encode(images[:1]), predictor.encode(batch)
    greedy, beam = DecodingOptions(beam_size=1), DecodingOptions(beam_size=5)
    return {
        "read a JPEG (640 pixels wide)": (lambda: [read_image(data) for data in files], len(files)),
        "encode, one photo": (lambda: predictor.encode(images[:1]), 1),
        "encode, batch of 8": (lambda: predictor.encode(batch), 8),
        "greedy search, one photo": (lambda: predictor.captions_of(one, greedy), 1),
        "beam search 5, one photo": (lambda: predictor.captions_of(one, beam), 1),
        "beam search 5, batch of 8": (lambda: predictor.captions_of(eight, beam), 8),
        "caption, beam 5, one photo": (lambda: predictor.captions(images[:1], beam), 1),
        "caption, beam 5, batch of 8": (lambda: predictor.captions(batch, beam), 8),
    }


if __name__ == "__main__":
    main()
