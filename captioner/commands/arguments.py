"""The options that commands share: the model, and a flag for each field of the decoding options."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from captioner.commands.output import complain
from captioner.decoding import MAX_BEAM_SIZE, DecodingOptions
from captioner.devices import AUTO, HELP, check_device
from captioner.errors import OptionError
from captioner.predictor import CaptionPredictor
from captioner.ranges import ranges_of

DEFAULTS = DecodingOptions()


@dataclass(frozen=True)
class Flag:
    """How a field of the decoding options is given on the command line.

    Attributes:
        kind: What reads its value.
        metavar: What stands for the value in the help.
        help: What it does.
    """

    kind: Callable[[str], object]
    metavar: str
    help: str


FLAGS: Mapping[str, Flag] = MappingProxyType(
    {
        "search": Flag(str, "HOW", "beam, which looks for the best captions, or sample, which draws by chance"),
        "beam_size": Flag(
            int, "K", "beginnings kept while searching; 1 is greedy; more by default where N and G need it"
        ),
        "num_captions": Flag(int, "N", "captions per photo"),
        "max_length": Flag(int, "M", "most tokens of a caption: words, or the characters of a model that spells"),
        "min_length": Flag(int, "M", "fewest tokens of a caption"),
        "length_penalty": Flag(float, "A", "rank by log-probability / length ** A: more prefers longer captions"),
        "consensus": Flag(
            float,
            "T",
            "prefer the caption that others found agree with; they count by score, the more evenly the higher",
        ),
        "no_repeat_ngram_size": Flag(int, "N", "never say the same N tokens in a row twice; 0 allows it"),
        "groups": Flag(int, "G", "groups of beams that keep away from each other's words; K must be a multiple"),
        "diversity": Flag(float, "D", "how far groups keep away from each other's words"),
        "temperature": Flag(float, "T", "when sampling: below 1 plays safe, above 1 takes risks"),
        "top_k": Flag(int, "K", "when sampling: only from the K most probable words; 0 is all"),
        "top_p": Flag(float, "P", "when sampling: only from the most probable words that make up P together"),
        "seed": Flag(int, "S", "when sampling: the same seed draws the same captions"),
        "beginning": Flag(str, "TEXT", "what every caption starts with"),
    }
)


def add_decoding(parser: ArgumentParser, without: Collection[str] = ()) -> None:
    """Add the flags of the decoding options, but for some fields."""
    group = parser.add_argument_group("how captions are found")
    for name in (name for name in FLAGS if name not in without):
        flag = FLAGS[name]
        group.add_argument(spelled(name), type=flag.kind, metavar=flag.metavar, help=f"{flag.help}{_allowed(name)}")


def _allowed(name: str) -> str:
    """Return what a field may be, and what it is if it is not given, as the help ends."""
    default, allowed = getattr(DEFAULTS, name), ranges_of(DecodingOptions).get(name)
    parts = [str(allowed)] if allowed else []
    if default not in {None, ""}:
        parts.append(f"default: {default}")
    return f" ({'; '.join(parts)})" if parts else ""


def spelled(name: str) -> str:
    """Return the flag of a field."""
    return "--" + name.replace("_", "-")


def given_decoding(arguments: Namespace) -> dict[str, Any]:
    """Return the decoding options that were given, by field."""
    return {name: value for name in FLAGS if (value := getattr(arguments, name, None)) is not None}


def decoding_options(arguments: Namespace) -> DecodingOptions:
    """Return the decoding options; a beam size that was not given is wide enough for the captions and groups.

    Raises:
        OptionError: If an option is out of range.
    """
    given = given_decoding(arguments)
    if given.get("search", DEFAULTS.search) == "beam":
        _check_count(given)
        groups = max(1, given.get("groups", DEFAULTS.groups))
        beams = max(DEFAULTS.beam_size, given.get("num_captions", DEFAULTS.num_captions))
        beams = -(-beams // groups) * groups
        given.setdefault("beam_size", min(beams, MAX_BEAM_SIZE))
    return DecodingOptions(**given)


def _check_count(given: Mapping[str, Any]) -> None:
    """Refuse a number of captions with the range that holds when the beam is as wide as it must be."""
    count = given.get("num_captions", DEFAULTS.num_captions)
    if "beam_size" not in given and not 1 <= count <= MAX_BEAM_SIZE:
        raise OptionError(f"num_captions is {count}; it must be between 1 and {MAX_BEAM_SIZE}")


def local_file(text: str) -> Path:
    """Return the path of a file, for a parser.

    Raises:
        ArgumentTypeError: If it is an address of the web.
    """
    if "://" in text:
        raise ArgumentTypeError(
            f"{text} is an address; nothing is fetched from the web: download it, and name the file"
        )
    return Path(text)


def add_model(parser: ArgumentParser) -> None:
    """Add the flags that choose the model, and where it computes."""
    parser.add_argument("--checkpoint", metavar="FILE", type=local_file, help="the model; default: the shipped one")
    add_device(parser)


def add_device(parser: ArgumentParser) -> None:
    """Add the flag that chooses where a network computes."""
    parser.add_argument("--device", metavar="DEVICE", type=device, default=AUTO, help=HELP)


def device(text: str) -> str:
    """Return the name of a device, for a parser.

    Raises:
        ArgumentTypeError: If it is none.
    """
    try:
        return check_device(text)
    except OptionError as error:
        raise ArgumentTypeError(str(error)) from None


def load_model(arguments: Namespace) -> CaptionPredictor:
    """Load the model that was chosen; say where it computes, unless that is the CPU and nobody asked.

    Raises:
        CheckpointError: If it cannot be loaded.
        OptionError: If there is no such device, or if a heatmap is wanted and the model does not attend.
    """
    predictor = CaptionPredictor.from_checkpoint(arguments.checkpoint, device=arguments.device)
    if arguments.device != AUTO or not predictor.place.startswith("cpu"):
        complain(f"the model runs on {predictor.place}")
    if getattr(arguments, "heatmap", None) is not None and not predictor.attends:
        raise OptionError("--heatmap: this model does not attend, so it has no attention to draw")
    return predictor
