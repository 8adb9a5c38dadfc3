"""Bulk captioning beside the library, and its memory: ``python benchmarks/bulk.py PHOTOS [--counts 1000 10000]``.

The rate: in turns, the library reads and captions some photos in batches with all CPUs, and ``captioner bulk`` does the
same with a process per CPU; its rate is that between its first and its last shard, so without the start of processes.
The memory: of the program with all its processes, each page counted once (PSS), at its most while it captions each of
the counts of photos, which are those of the folder over and over. Linux alone tells that.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

from captioner.images import SUFFIXES, read_image
from captioner.malloc import keep_freed_memory
from captioner.predictor import CaptionPredictor

BATCH = 16
EVERY = 0.5  # seconds between two looks at the memory


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="a folder")
    parser.add_argument("--checkpoint", help="the model; default: the shipped one")
    parser.add_argument("--rounds", type=int, default=3, help="of the rates; 0 leaves them out; default: %(default)s")
    parser.add_argument("--each", type=int, default=512, help="photos per round; default: %(default)s")
    parser.add_argument("--counts", type=int, nargs="*", default=[], help="photos of each look at the memory")
    parser.add_argument("--workers", type=int, help="default: one per CPU")
    args = parser.parse_args()
    keep_freed_memory()
    files = [path for path in sorted(args.photos.rglob("*")) if path.suffix.lower() in SUFFIXES]
    options = [*(["--checkpoint", args.checkpoint] if args.checkpoint else [])]
    options += ["--workers", str(args.workers)] if args.workers else []
    rates(args, files, options)
    for count in args.counts:
        done = run_bulk(list(islice(cycle(files), count)), options, 256)
        print(
            f"{count:6} photos: {done['memory'] / 2**20:.0f} MiB at most, {done['rate']:.1f} photos a second",
            flush=True,
        )


def rates(args: argparse.Namespace, files: list[Path], options: list[str]) -> None:
    """Print how fast both are, and the ratio of each round."""
    predictor = CaptionPredictor.from_checkpoint(args.checkpoint, device="cpu")
    chosen, ratios = list(islice(cycle(files), args.each)), []
    for number in range(args.rounds):
        library = library_rate(predictor, chosen)
        bulk = run_bulk(chosen, options, 32)["rate"]
        ratios.append(bulk / library)
        load = os.getloadavg()[0]
        print(
            f"round {number}: library {library:.1f}/s, bulk {bulk:.1f}/s, ratio {ratios[-1]:.2f}; load {load:.1f}",
            flush=True,
        )
    if ratios:
        print(f"median ratio {statistics.median(ratios):.2f}")


def library_rate(predictor: CaptionPredictor, files: list[Path]) -> float:
    """Return the photos per second of reading and captioning in batches."""
    begun = time.monotonic()
    for start in range(0, len(files), BATCH):
        predictor.captions([read_image(path.read_bytes()) for path in files[start : start + BATCH]])
    return len(files) / (time.monotonic() - begun)


def run_bulk(files: list[Path], options: list[str], block_size: int) -> dict[str, float]:
    """Caption files; return the rate between the first shard and the last, and the most memory."""
    with tempfile.TemporaryDirectory() as folder:
        table, output = Path(folder, "photos.csv"), Path(folder, "out")
        table.write_text("\n".join(["path", *map(str, (path.absolute() for path in files))]) + "\n")
        command = [sys.executable, "-m", "captioner", "bulk", str(table), str(output), *options]
        command += ["--block-size", str(block_size)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:  # noqa: S603
            most = 0.0
            while program.poll() is None:
                most = max(most, float(memory(program.pid)))
                time.sleep(EVERY)
        shards = sorted(output.glob("part-*"), key=lambda path: path.stat().st_mtime_ns)
        lines = [json.loads(line)["path"] for path in shards for line in path.read_text().splitlines()]
        if sorted(lines) != sorted(map(str, (path.absolute() for path in files))):
            raise SystemExit("a photo was lost or captioned twice")
        seconds = (shards[-1].stat().st_mtime_ns - shards[0].stat().st_mtime_ns) / 1e9
        return {"rate": (len(lines) - block_size) / seconds, "memory": most}


def memory(pid: int) -> int:
    """Return the proportional set size of a process and those that it began, in bytes."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    ours = {pid}
    while further := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= further
    return sum(map(_own_memory, ours))


def _own_memory(pid: int) -> int:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return 0


if __name__ == "__main__":
    main()
