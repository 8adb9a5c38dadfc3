"""``captioner bulk INPUT... OUTPUT``: captions of very many photos, as shards of rows in a folder."""

import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from captioner.bulk.cluster import ray_engine
from captioner.bulk.inputs import COLUMN
from captioner.bulk.job import BulkInputs, BulkJob, BulkOptions, BulkTask, Engine
from captioner.bulk.local import local_engine
from captioner.bulk.shards import FORMATS
from captioner.commands.arguments import add_decoding, add_model, decoding_options
from captioner.commands.output import DONE, FAILED, complain, say, shown
from captioner.cpus import available_cpus
from captioner.devices import share_devices
from captioner.errors import OptionError
from captioner.predictor import CaptionPredictor

DEFAULTS = BulkOptions()
ENGINES = ("local", "ray")
MOST_WORKERS = 4096
EPILOG = f"""\
OUTPUT is a folder of shards, part-000000.jsonl and so on, with a row for each photo: path, member (its name in
a tar shard), error (why it could not be read), caption, log_prob, confidence, needs_review, words; with
--attention also attention, rows of weights for each word. Names in it that begin with _ are the job's own.

The same command after a crash, a Ctrl-C or a power cut goes on where the job stopped. The photos are those that
were there when it began.

exit status: 0 if every photo was captioned, 1 if one could not be read, 2 for a wrong option.

examples:
  captioner bulk photos/ captions/
  captioner bulk 'shards/*.tar' more.parquet captions/ --column {COLUMN} --format parquet
  RAY_ADDRESS=head:6379 captioner bulk photos/ captions/ --engine ray --device cuda
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="a photo; a folder, with its subfolders; a WebDataset shard, .tar; a table of paths, .csv or .parquet; or "
        "a quoted pattern of such, in which ** is any subfolders",
    )
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="the folder of the rows")
    parser.add_argument("--engine", choices=ENGINES, default="local", help="what shares out the work; default: local")
    parser.add_argument("--format", choices=FORMATS, default=DEFAULTS.form, help="of the shards; default: %(default)s")
    parser.add_argument("--attention", action="store_true", help="add where the model looked for each word")
    parser.add_argument("--column", default=COLUMN, metavar="NAME", help="of a table's paths; default: %(default)s")
    parser.add_argument(
        "--root", default="", metavar="DIR", help="what paths in tables are relative to; default: the current folder"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="default: one per GPU, or else one per CPU")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=DEFAULTS.batch_size,
        metavar="B",
        help="photos at a time; default: %(default)s",
    )
    parser.add_argument(
        "--block-size",
        type=int,
        default=DEFAULTS.block_size,
        metavar="N",
        help="photos per shard; default: %(default)s",
    )
    add_model(parser)
    add_decoding(parser, without={"num_captions"})


def run(arguments: Namespace) -> int:
    """Caption photos; return the exit status."""
    options = BulkOptions(
        arguments.format, arguments.attention, arguments.batch_size, arguments.block_size, decoding_options(arguments)
    )
    engine = _engine(arguments)
    inputs = BulkInputs(tuple(arguments.inputs), arguments.column, arguments.root)
    output = arguments.output.absolute()
    with BulkTask(str(output), None, "", options).folder.locked():
        job = _job(arguments, str(output), inputs, options)
        _caption(job, engine)
    errors = sum(report.errors for report in job.done.values())
    told = f"{errors:,} could not be read, as their rows say" if errors else "each has a caption"
    say(f"{shown(arguments.output)}: {job.photos:,} photos in {len(job.done):,} shards; {told}")
    return FAILED if errors else DONE


def _engine(arguments: Namespace) -> Engine:
    workers = arguments.workers
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        raise OptionError(f"--workers is {workers}; it must be between 1 and {MOST_WORKERS}")
    if arguments.engine == "ray":
        return ray_engine(arguments.device, workers)
    cpus = available_cpus()
    devices = share_devices(arguments.device, workers, cpus)
    counted = ", ".join(f"{devices.count(name)} on {name}" for name in dict.fromkeys(devices))
    complain(f"workers: {counted}")
    return local_engine(devices, cpus)


def _job(arguments: Namespace, output: str, inputs: BulkInputs, options: BulkOptions) -> BulkJob:
    """Begin or go on with a job, after one caption on the CPU: what cannot work shall fail here, not in a worker."""
    predictor = CaptionPredictor.from_checkpoint(arguments.checkpoint, device="cpu")
    predictor.captions([Image.new("RGB", (64, 64))], options.decoding)
    if options.attention and not predictor.attends:
        raise OptionError("--attention: this model does not attend")
    checkpoint = None if arguments.checkpoint is None else str(arguments.checkpoint.absolute())
    return BulkJob(BulkTask(output, checkpoint, predictor.info.sha256, options), inputs, predictor.info)


def _caption(job: BulkJob, engine: Engine) -> None:
    done = sum(report.photos for report in job.done.values())
    if done:
        complain(f"going on: {done:,} of {job.photos:,} photos are done")
    begun, count = time.monotonic(), 0
    with tqdm(
        total=job.photos, initial=done, unit="photo", file=sys.stderr, disable=not sys.stderr.isatty(), smoothing=0.05
    ) as progress:
        for report in job.run(engine):
            count += report.photos
            progress.update(report.photos)
    if count:
        seconds = time.monotonic() - begun
        complain(f"{count:,} photos in {seconds:,.0f} s, {count / seconds:.1f} a second")
