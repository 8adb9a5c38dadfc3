"""Learn, resume and caption on a GPU, compare that with the CPU, and time it: at most 8 minutes.

A set of coloured shapes is drawn, and a model learns to caption it in bfloat16: on kept features, then with its
encoder, then by reward. The same run, stopped in the middle and resumed, must end as far. In float32 the first
losses must be those of the CPU, and so must the captions and log-probabilities of the model that came out. Then
steps of training and captions of the shipped model are timed on both. What does not fit into the time is left out,
and the table says so.

Without a GPU it says so and ends with exit status 1; --device cpu goes through everything on the CPU.
"""

import signal
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.commands.training import device_name, require_device
from benchmarks.photos import made_up
from benchmarks.reference import load_torch
from benchmarks.report import add_json_argument, introduce, publish
from benchmarks.timing import Work, in_turn, summary
from benchmarks.training.runs import Sizes, shapes_recipe, step_works, synchronised
from benchmarks.training.shapes import Shapes, write_shapes
from captioner.cpus import available_cpus
from captioner.decoding import DecodingOptions
from captioner.images import read_image
from captioner.predictor import CaptionPredictor
from training.recipe import Recipe
from training.runs.distributed import World
from training.runs.run import Run
from training.runs.start import resume, start

EPILOG = __doc__
CPU = torch.device("cpu")
LEARNT = 0.8  # what of the first epoch's loss the last one before rewards may have at most
LOSS_TOLERANCE, SCORE_TOLERANCE = 0.01, 0.02  # relative, and of log-probabilities: convolutions may use TF32 on a GPU
RESUMED_TOLERANCE = 0.1  # relative: kernels of a GPU that add in any order make two runs differ a little
COMPARED_STEPS = 4
SENTENCE = "a red circle above a blue square"
TITLES = {"name": "what", "value": "value", "allowed": "allowed", "ok": "ok"}
TIMED = {"name": "what", "device": "on", "per_second": "per second", "median_ms": "ms each"}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--device", default="cuda", help="where to compute (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=8, help="no longer than this (default: %(default)s)")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="the model to time; default: the shipped one")
    parser.add_argument("--encoder", default="mobilenet_v2", metavar="NAME", help="(default: %(default)s)")
    parser.add_argument("--pixels", type=int, default=128, help="of a picture's side (default: %(default)s)")
    parser.add_argument("--units", type=int, default=256, help="of the decoder (default: %(default)s)")
    parser.add_argument("--train", type=int, default=1024, help="pictures to learn from (default: %(default)s)")
    parser.add_argument("--val", type=int, default=128, help="pictures to compare captions of (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=3, help="of each phase of cross-entropy (default: %(default)s)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64, 256], help="timed (default: 1 8 64 256)")
    parser.add_argument("--rounds", type=int, default=7, help="how often each is timed (default: %(default)s)")
    add_json_argument(parser)


@dataclass(frozen=True)
class Clock:
    """The time that is left.

    Attributes:
        end: When it is over, by ``time.monotonic``.
    """

    end: float

    def left(self) -> float:
        """Return how many seconds are left."""
        return self.end - time.monotonic()


def run(arguments: Namespace) -> int:
    """Learn, compare and time; return 1 if something that must agree does not."""
    clock = Clock(time.monotonic() + 60 * arguments.minutes)
    device = require_device(arguments.device)
    torch.set_num_threads(available_cpus())
    introduce(device=device_name(device), tf32=torch.backends.cudnn.allow_tf32)
    with tempfile.TemporaryDirectory() as folder:
        checks = list(checked(Path(folder), arguments, device))
        publish("gpu", checks, TITLES, None)
        print()
        timed = list(timings(Path(folder), arguments, device, clock))
    name, seconds = device_name(device), 60 * arguments.minutes - clock.left()
    publish("gpu", [*timed], TIMED, arguments.json, device=name, checks=checks, seconds=seconds)
    print(f"\n{name}: {sum(one['ok'] for one in checks)} of {len(checks)} checks hold; {seconds:.0f} s")
    return int(not all(one["ok"] for one in checks))


def checked(folder: Path, arguments: Namespace, device: torch.device) -> Iterator[dict[str, Any]]:
    """Learn, resume and caption, and yield what must hold of it."""
    data = folder / "learning"
    write_shapes(data, Shapes(arguments.train, arguments.val, arguments.pixels))
    recipe = learning_recipe(data, arguments)
    straight = start(replace(recipe, name="straight"), World(device=device))
    straight.run()
    history = straight.progress.history
    last = history[2 * arguments.epochs - 1]["loss"]
    yield row("loss of the last epoch of cross-entropy, of the first's", last / history[0]["loss"], LEARNT)
    yield {
        "name": "CIDEr, times 100, of the best epoch",
        "value": 100 * max(one["cider"] for one in history),
        "ok": True,
    }
    yield row("epochs of a run that was resumed", *resumed_epochs(recipe, device, history))
    losses = [first_losses(data, arguments, where) for where in (CPU, device)]
    yield row("first losses in float32, relative to the CPU's", difference(*losses), LOSS_TOLERANCE)
    yield from captioned(straight.best_file, data, arguments.val, device)


def row(name: str, value: float, allowed: float) -> dict[str, Any]:
    """Return a check of a value that may be at most so much."""
    return {"name": name, "value": value, "allowed": f"at most {allowed:g}", "ok": bool(value <= allowed)}


def learning_recipe(data: Path, arguments: Namespace) -> Recipe:
    """Return the recipe of a run that learns in three ways, in bfloat16."""
    sizes = Sizes(arguments.encoder, arguments.pixels, arguments.units, photos=min(32, max(arguments.train // 4, 1)))
    word = {"epochs": arguments.epochs, "learning_rate": 2e-3, "label_smoothing": 0.0}
    whole = {**word, "encoder_stage": "stride4", "encoder_learning_rate": 1e-3, "freeze_norms": False}
    reward = {"epochs": 1, "learning_rate": 1e-4, "cross_entropy": 0.0, "self_critical": 1.0, "sampling": "beam"}
    return shapes_recipe(data, "learning", sizes, [word, whole, reward], "bfloat16", ["training.patience=100"])


def resumed_epochs(recipe: Recipe, device: torch.device, history: Sequence[Mapping[str, float]]) -> tuple[float, float]:
    """Stop a run in the middle and resume it.

    Returns:
        By what share the losses of its epochs differ from those of a run that was not stopped, at most, and what is
        allowed; infinitely far if it has not as many.
    """
    stopped = start(replace(recipe, name="stopped"), World(device=device))
    stop_after(stopped, stopped.task.epoch_steps * 3 // 2)
    stopped.run()
    going = resume(stopped.folder, world=World(device=device))
    going.run()
    mine, theirs = ([one["loss"] for one in found] for found in (going.progress.history, history))
    supervised = slice(0, -1)  # the loss by reward is a small difference of large numbers
    if len(mine) != len(theirs):
        return float("inf"), RESUMED_TOLERANCE
    return difference(theirs[supervised], mine[supervised]), RESUMED_TOLERANCE


def stop_after(run: Run[Any], steps: int) -> None:
    """Let a run be told to stop, as Ctrl-C does, once it has done so many steps."""
    learn, done = run.step, 0

    def step(batch: Any) -> float:
        nonlocal done
        done += 1
        if done == steps:
            signal.raise_signal(signal.SIGINT)
        return learn(batch)

    run.step = step  # type: ignore[method-assign]


def first_losses(data: Path, arguments: Namespace, device: torch.device) -> list[float]:
    """Return the losses of the first steps in float32 and without dropout, the encoder learning, too."""
    sizes = Sizes(arguments.encoder, arguments.pixels, arguments.units, photos=min(8, arguments.train))
    phase = {"epochs": 1, "learning_rate": 1e-3, "encoder_stage": "stride16", "freeze_norms": True}
    name = f"float32-on-{device.type}-{time.monotonic_ns()}"
    recipe = shapes_recipe(data, name, sizes, [phase], "float32", ["model.decoder.dropout=0.0"])
    run = start(recipe, World(device=device))
    run.task.enter(run.progress)
    run.task.network.train()
    losses = []
    for position in range(min(COMPARED_STEPS, run.task.epoch_steps)):
        run.progress.position = position
        losses.append(run.step(run.task.batch(run.progress)))
    return losses


def difference(expected: Sequence[float], found: Sequence[float]) -> float:
    """Return the largest relative difference between numbers."""
    return max(abs(one - other) / abs(one) for one, other in zip(expected, found, strict=True))


def captioned(file: Path, data: Path, count: int, device: torch.device) -> Iterator[dict[str, Any]]:
    """Caption pictures on the CPU and on the device, and yield how far that agrees."""
    images = [read_image(path.read_bytes()) for path in sorted((data / "val").iterdir())[:count]]
    cpu, other = (load_torch(file, where)[0] for where in (CPU, device))
    expected, found = ([captions[0] for captions in model.captions(images)] for model in (cpu, other))
    equal = sum(one.text == two.text for one, two in zip(expected, found, strict=True)) / len(images)
    yield {
        "name": "captions of float32 equal to the CPU's",
        "value": f"{equal:.1%}",
        "allowed": "at least 98%",
        "ok": equal >= 0.98,
    }
    texts = [SENTENCE] * len(images)
    scores = [[one.log_prob for one in model.scores(images, texts)] for model in (cpu, other)]
    apart = max(abs(one - two) for one, two in zip(*scores, strict=True))
    yield row("log-probabilities of the same sentence, apart from the CPU's", apart, SCORE_TOLERANCE)


def timings(folder: Path, arguments: Namespace, device: torch.device, clock: Clock) -> Iterator[dict[str, Any]]:
    """Time training and captioning on the device, and then on the CPU to compare, as long as there is time."""
    sizes = Sizes(arguments.encoder, 2 * arguments.pixels, 2 * arguments.units)
    for where in dict.fromkeys((device, CPU)):
        if clock.left() < 60 * arguments.minutes / 4:
            yield {"name": "left out, for want of time", "device": device_name(where)}
            continue
        photos = min(64 if where.type == "cuda" else 20, arguments.train)
        data = folder / f"timing-{where.type}"
        write_shapes(data, Shapes(4 * photos, 4, sizes.pixels, names=2500 if arguments.train >= 1000 else 50))
        works = step_works(data, replace(sizes, photos=photos), "bfloat16", where)
        yield from _timed(works, arguments.rounds, where, f"captions, {photos} photos a batch")
        yield from _timed(list(captioning(arguments, where)), arguments.rounds, where, "photos")
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) / 2**30
        yield {"name": f"most memory of the card at once: {peak:.2f} GiB", "device": device_name(device)}


def _timed(works: Sequence[Work], rounds: int, device: torch.device, unit: str) -> Iterator[dict[str, Any]]:
    for name, seconds in in_turn(works, rounds).items():
        found = summary(seconds)
        rate = 1000 / found["median_ms"]
        yield {"name": f"{name} ({unit})", "device": device_name(device), "per_second": rate, **found}


def captioning(arguments: Namespace, device: torch.device) -> Iterator[Work]:
    """Yield batches of photos to be captioned on a device: in float32, and on a GPU in bfloat16, too."""
    predictor, _ = load_torch(arguments.checkpoint, device, torch.get_num_threads())
    photo = predictor.prepare(read_image(made_up(0)))
    largest = max(arguments.batches) if device.type == "cuda" else 8  # a CPU gains nothing from more, and takes long
    for size in (size for size in arguments.batches if size <= largest):
        for beams in (1, 5):
            yield _captioning(predictor, [photo] * size, beams, device, low=False)
            if device.type == "cuda":
                yield _captioning(predictor, [photo] * size, beams, device, low=True)


def _captioning(
    predictor: CaptionPredictor, images: Sequence[Image.Image], beams: int, device: torch.device, low: bool
) -> Work:
    options = DecodingOptions(beam_size=beams)

    def caption() -> object:
        with torch.autocast(device.type, torch.bfloat16) if low else nullcontext():
            return predictor.captions(images, options)

    name = f"captioning, batch of {len(images)}, beam {beams}, {'bfloat16' if low else 'float32'}"
    return Work(name, synchronised(device, caption), len(images))
