"""Frozen dataclasses that describe a model, and a strict way from a dict to a dataclass and back."""

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from captioner.errors import ConfigError
from captioner.ranges import Range, check_ranges

T = TypeVar("T")
STRICT = ConfigDict(extra="forbid")
MAX_LAYERS = 4
MAX_MEMBERS = 8


@dataclasses.dataclass(frozen=True)
class ImageConfig:
    """How an image becomes pixels.

    Attributes:
        size: Height and width in pixels of the square that the upright image is squashed to.
        mean: Mean of each RGB channel, subtracted after scaling to [0, 1].
        std: Standard deviation of each RGB channel, divided by after that.
    """

    __pydantic_config__ = STRICT
    size: Annotated[int, Range(32, 1024, " pixels")] = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        check_ranges(self, "image ")
        if min(self.std) <= 0:
            raise ConfigError(f"image std is {self.std}; every channel must be above 0")


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """Which network turns pixels into features.

    Attributes:
        name: A name in ``captioner.encoders.ENCODERS``, or "timm:" and a name of timm's, where that is installed.
        padding: How the pretrained weights knew strided convolutions: "symmetric", as torchvision's own do, or "same",
            as those that come from TensorFlow do, which pads an even size by one pixel less before than after.
            MobileNets and EfficientNet know both, the other encoders the first alone; timm's networks pad as timm says.
        outputs: What the encoder makes of an image: "both" its vector and its grid; "vector", and no grid, for decoders
            that do not attend; or "grid", which leaves out the layers that only the vector needs, so that the vector
            is the mean of the grid.
        branches: How many such networks look at the image side by side; their outputs stand one after the other in the
            channels of vector and grid.
        branch_stage: The first stage that each of them has for itself; those before it they share, and pass once.
            Empty: they share nothing.
    """

    __pydantic_config__ = STRICT
    name: str = "mobilenet_v2"
    padding: Literal["symmetric", "same"] = "symmetric"
    outputs: Literal["both", "vector", "grid"] = "both"
    branches: Annotated[int, Range(1, MAX_MEMBERS)] = 1
    branch_stage: str = ""

    def __post_init__(self) -> None:
        check_ranges(self, "encoder ")
        if self.branch_stage and self.branches == 1:
            raise ConfigError(f"encoder branch_stage is {self.branch_stage!r}; it needs at least 2 branches")


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """Which network turns features into words, and its sizes.

    Attributes:
        name: A name in ``captioner.decoders.DECODERS``.
        cell: A name in ``captioner.cells.CELLS``.
        condition: How the image vector reaches the cells: its projection is added to their gates at every step, or it
            makes their first state, or it is read before the first word.
        embedding_size: E, the length of a word vector.
        hidden_size: N, the units of each recurrent layer, and the length that features are projected to.
        attention_size: A, the units of the additive attention; of no concern to a decoder that does not attend.
        layers: Cells on top of each other, 1 to 4.
        residual: Whether each layer but the first adds its input to its output.
        dropout: Probability with which a unit is dropped in training, from 0 up to but not including 1.
        tied: Whether the word vectors also score the next word, in place of an output matrix of their own (Press and
            Wolf 2017); what the decoder scores from must be as long as they are.
        members: How many such networks write a caption together, 1 to 8; above 1 it is an ensemble.
        reads: For each member the branch of the encoder that it sees with, from 0; empty if the encoder has but one.
    """

    __pydantic_config__ = STRICT
    name: str = "top_down"
    cell: str = "lstm"
    condition: Literal["every_step", "initial_state", "first_input"] = "every_step"
    embedding_size: Annotated[int, Range(1)] = 512
    hidden_size: Annotated[int, Range(1)] = 512
    attention_size: Annotated[int, Range(1)] = 512
    layers: Annotated[int, Range(1, MAX_LAYERS)] = 1
    residual: bool = False
    dropout: Annotated[float, Range(0, 1, below=True)] = 0.5
    tied: bool = False
    members: Annotated[int, Range(1, MAX_MEMBERS)] = 1
    reads: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_ranges(self, "decoder ")
        if self.reads and len(self.reads) != self.members:
            raise ConfigError(
                f"decoder reads names {len(self.reads)} branches; it must name one per member, {self.members}"
            )
        if self.residual and self.layers == 1:
            raise ConfigError("decoder residual is true; it needs at least 2 layers")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Everything that is needed to build a model, besides its vocabulary and its weights."""

    __pydantic_config__ = STRICT
    image: ImageConfig = dataclasses.field(default_factory=ImageConfig)
    encoder: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)
    decoder: DecoderConfig = dataclasses.field(default_factory=DecoderConfig)


def from_dict(cls: type[T], values: Mapping[str, Any], source: str = "configuration") -> T:
    """Build a dataclass from plain values, nested dataclasses included.

    Args:
        cls: The dataclass to build.
        values: Its fields; an unknown field is an error, a missing one takes its default.
        source: Where the values came from, for the message.

    Raises:
        ConfigError: If a field is unknown or has the wrong type or value; the message names each one.
    """
    try:
        return TypeAdapter(cls).validate_python(dict(values))
    except ValidationError as error:
        problems = (_problem(cls, found["loc"], found["type"], found["msg"]) for found in error.errors())
        raise ConfigError(f"{source}: " + "; ".join(problems)) from None


def _problem(cls: Any, loc: Sequence[int | str], kind: str, message: str) -> str:
    """Return what is wrong with a value; of a key that does not exist also which ones do."""
    place = ".".join(map(str, loc))
    if kind != "unexpected_keyword_argument":
        return f"{place}: {message}"
    known = [field.name for owner in _owners(cls, loc[:-1]) for field in dataclasses.fields(owner)]
    if not known:
        return f"{place}: there is no such key"
    near = difflib.get_close_matches(str(loc[-1]), known, n=3)
    if near:
        return f"{place}: there is no such key; did you mean {' or '.join(near)}?"
    return f"{place}: there is no such key; there are {', '.join(known)}"


def _owners(kind: Any, path: Sequence[int | str]) -> Iterator[Any]:
    """Return the dataclasses that the keys at a place of a configuration belong to; one, but for unions."""
    if dataclasses.is_dataclass(kind):
        if path:
            yield from _owners(get_type_hints(kind).get(str(path[0])), path[1:])
        else:
            yield kind
        return
    rest = path[1:] if path and isinstance(path[0], int) else path  # the place in a list, whose items are all alike
    for inner in dict.fromkeys(get_args(kind)):
        yield from _owners(inner, rest)


def to_dict(config: Any) -> dict[str, Any]:
    """Return a dataclass as nested dicts of plain values; the inverse of :func:`from_dict`."""
    return dataclasses.asdict(config)
