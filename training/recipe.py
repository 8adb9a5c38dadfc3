"""A recipe: everything that a training run depends on, in one TOML file."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from captioner.config import STRICT, ModelConfig, from_dict
from captioner.decoding import DecodingOptions
from captioner.errors import ConfigError
from captioner.tokenizers import TOKENIZERS

T = TypeVar("T")


@dataclass(frozen=True)
class DataRecipe:
    """Which photos and captions.

    Attributes:
        root: Folder that the other paths are relative to.
        train_annotations: COCO captions file to learn from.
        train_images: Folder of its photos.
        val_annotations: COCO captions file that the best epoch is chosen on.
        val_images: Folder of its photos.
        max_tokens: Longer captions are cut to this many tokens.
        mirror: Whether to learn from mirrored photos too; a photo with "left" or "right" in a caption never is.
    """

    __pydantic_config__ = STRICT
    root: str
    train_annotations: str
    train_images: str
    val_annotations: str
    val_images: str
    max_tokens: int = 20
    mirror: bool = False

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ConfigError(f"data.max_tokens is {self.max_tokens}; it must be at least 1")

    def path(self, name: str) -> Path:
        """Return one of the paths above, by its field's name, below the root."""
        return Path(self.root).expanduser() / str(getattr(self, name))


@dataclass(frozen=True)
class TokenizerRecipe:
    """How captions become tokens.

    Attributes:
        name: A name in ``captioner.tokenizers.TOKENIZERS``.
        min_count: A word or character is in the vocabulary if the training captions have it at least this often.
        max_size: At most this many of them are, the most frequent ones; 0 takes all.
    """

    __pydantic_config__ = STRICT
    name: str = "word"
    min_count: int = 5
    max_size: int = 0

    def __post_init__(self) -> None:
        TOKENIZERS[self.name]  # an unknown name is an error here rather than after the data is read
        for name, low in (("min_count", 1), ("max_size", 0)):
            if getattr(self, name) < low:
                raise ConfigError(f"tokenizer.{name} is {getattr(self, name)}; it must be at least {low}")


@dataclass(frozen=True)
class LearningRecipe:
    """How to learn, whatever is learnt.

    Attributes:
        epochs: Passes over all that there is to learn from.
        learning_rate: The peak of the one-cycle schedule.
        warmup: Share of all steps in which the learning rate climbs linearly; it then falls to zero along a cosine.
        weight_decay: Of AdamW (Loshchilov and Hutter 2019); on matrices only.
        clip_norm: Largest L2 norm of the gradient of all weights together.
        precision: "float32", "bfloat16" (autocast), or "auto": bfloat16 where the hardware multiplies it fast.
        patience: Epochs without a better validation score after which to stop.
        save_minutes: How often to save the run's state; it is also saved after every epoch and when stopped.
    """

    __pydantic_config__ = STRICT
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "epochs": (1, 10_000),
        "learning_rate": (0, 10),
        "warmup": (0, 1),
        "weight_decay": (0, 10),
        "clip_norm": (0, 1e6),
        "patience": (1, 10_000),
        "save_minutes": (0, 1440),
    }
    epochs: int = 12
    learning_rate: float = 1e-3
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    patience: int = 4
    save_minutes: float = 2.0

    def __post_init__(self) -> None:
        for name, (low, high) in self.RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"training.{name} is {getattr(self, name)}; it must be between {low} and {high}")


@dataclass(frozen=True)
class TrainingRecipe(LearningRecipe):
    """How to learn to caption; an epoch shows every photo once, with all its captions.

    Attributes:
        images_per_batch: Photos of a batch; all their captions are in it.
        label_smoothing: Probability mass that the target spreads over all words (Szegedy et al. 2016).
        average: Decay per step of the exponential moving average of the weights that is validated and kept; 0 keeps
            the weights themselves.
    """

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        **LearningRecipe.RANGES,
        "images_per_batch": (1, 100_000),
        "label_smoothing": (0, 0.99),
        "average": (0, 0.99999),
    }
    images_per_batch: int = 20
    label_smoothing: float = 0.1
    average: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """Everything that a run depends on.

    Attributes:
        name: The model's name, and the name of the run's folder.
        version: The model's version.
        seed: Of weights, data order and dropout.
        runs: Folder in which the run's own folder is made.
        cache: Folder of the feature cache.
        encoder_weights: File of pretrained weights under torchvision's names (safetensors); empty lets torchvision
            download its own.
        decoder_weights: File of a language model that the decoder starts from, as far as its weights fit; empty for a
            decoder that starts afresh.
        data: Which photos and captions.
        tokenizer: How captions become tokens.
        model: What to build.
        training: How to learn.
        decoding: How validation searches.
    """

    __pydantic_config__ = STRICT
    name: str
    data: DataRecipe
    version: str = "1"
    seed: int = 1
    runs: str = "runs"
    cache: str = "cache"
    encoder_weights: str = ""
    decoder_weights: str = ""
    tokenizer: TokenizerRecipe = field(default_factory=TokenizerRecipe)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingRecipe = field(default_factory=TrainingRecipe)
    decoding: DecodingOptions = field(default_factory=DecodingOptions)

    @property
    def run_dir(self) -> Path:
        """Where the run keeps its state, its log and its best checkpoint."""
        return Path(self.runs).expanduser() / self.name


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read the recipe of a captioning model; see :func:`read_recipe`."""
    return read_recipe(Recipe, path, overrides)


def read_recipe(kind: type[T], path: Path, overrides: Sequence[str] = ()) -> T:
    """Read a recipe file.

    Args:
        kind: The dataclass that the recipe fills.
        path: A TOML file.
        overrides: ``key.sub=value`` texts that replace values of the file; a value is TOML, or else a plain text.

    Raises:
        ConfigError: If the file is missing or no TOML, or a key or value is not one that a recipe has.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a readable recipe: {error}") from None
    for override in overrides:
        _override(values, override)
    return from_dict(kind, values, str(path))


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override}: write it as key.sub=value")
    *parents, last = key.strip().split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {override}: {parent} is a value, not a table")
    try:
        values[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[last] = text
