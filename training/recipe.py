"""A recipe: everything that a training run depends on, in one TOML file."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import torch

from captioner.config import STRICT, ModelConfig, from_dict
from captioner.decoding import DecodingOptions
from captioner.errors import ConfigError
from captioner.ranges import Range, check_ranges
from captioner.tokenizers import TOKENIZERS
from training.data import CaptionSource, ShardSource
from training.data.source import Unreadable
from training.distillation import DistillationRecipe
from training.inputs.augmentation import MILD, Augmentation
from training.phase import PhaseRecipe
from training.recipe_file import completed, override, read_values, with_own_image

T = TypeVar("T")
Part = Literal["train", "val"]
PARTS: tuple[Part, ...] = ("train", "val")


@dataclass(frozen=True)
class DataRecipe:
    """Which photos and captions.

    A part is in a folder with a file of captions, or in WebDataset shards, which hold both.

    Attributes:
        root: Folder that the other paths are relative to.
        train_annotations: File of captions to learn from, in any format of docs/training.md.
        train_images: Folder of its photos.
        val_annotations: File of captions that the best epoch is chosen on; it may be the same one.
        val_images: Folder of its photos.
        train_shards: In their place: tar files with photos and captions to learn from, or patterns of them such as
            ``train-*.tar``.
        val_shards: The same of the photos to validate on.
        train_split: Which splits of the file to learn from, or files beside it that list photos.
        val_split: Which to validate on.
        train_format: Format of the file, a name in ``training.data.FORMATS``; empty recognises it by its content.
        val_format: Format of the other.
        unreadable: "error" ends a run at a photo that is missing or cannot be read; "skip" opens all photos first,
            and leaves out and lists those.
        max_tokens: Longer captions are cut to this many tokens.
        mirror: Whether to learn from mirrored photos too; a photo with "left" or "right" in a caption never is.
        augmented: While the encoder is frozen, from how many augmented versions of every photo to learn besides:
            cropped and coloured, and mirrored by chance. A phase that fine-tunes augments anew each time.
        augmentation: How strongly.
    """

    __pydantic_config__ = STRICT
    root: str
    train_annotations: str = ""
    train_images: str = ""
    val_annotations: str = ""
    val_images: str = ""
    train_shards: str | tuple[str, ...] = ()
    val_shards: str | tuple[str, ...] = ()
    train_split: str | tuple[str, ...] = ()
    val_split: str | tuple[str, ...] = ()
    train_format: str = ""
    val_format: str = ""
    unreadable: Unreadable = "error"
    max_tokens: Annotated[int, Range(1)] = 20
    mirror: bool = False
    augmented: Annotated[int, Range(0)] = 0
    augmentation: Augmentation = MILD

    def __post_init__(self) -> None:
        check_ranges(self, "data.")
        for part in PARTS:
            self._check(part)
            self.source(part)  # an unknown format is an error here

    def _check(self, part: Part) -> None:
        """Make sure that a part is in one place, and all of that place is said."""
        shards = getattr(self, f"{part}_shards")
        ours = [name for name in ("annotations", "images", "split", "format") if getattr(self, f"{part}_{name}")]
        if shards and ours:
            raise ConfigError(f"data.{part}_shards hold photos and captions; leave out data.{part}_{ours[0]}")
        missing = [name for name in ("annotations", "images") if not (shards or name in ours)]
        if missing:
            raise ConfigError(f"data.{part}_{missing[0]} is missing; name it, or data.{part}_shards")

    def source(self, part: Part) -> CaptionSource | ShardSource:
        """Return where the photos and captions of a part come from."""
        shards, split = _several(getattr(self, f"{part}_shards")), _several(getattr(self, f"{part}_split"))
        if shards:
            return ShardSource(shards, Path(self.root).expanduser(), self.unreadable)
        return CaptionSource(
            annotations=self.path(f"{part}_annotations"),
            images=self.path(f"{part}_images"),
            split=split,
            format=getattr(self, f"{part}_format"),
            unreadable=self.unreadable,
        )

    def path(self, name: str) -> Path:
        """Return one of the paths above, by its field's name, below the root."""
        return Path(self.root).expanduser() / str(getattr(self, name))


def _several(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


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
    min_count: Annotated[int, Range(1)] = 5
    max_size: Annotated[int, Range(0)] = 0

    def __post_init__(self) -> None:
        TOKENIZERS[self.name]  # an unknown name is an error here rather than after the data is read
        check_ranges(self, "tokenizer.")


@dataclass(frozen=True)
class RunRecipe:
    """What every run must know.

    Attributes:
        weight_decay: Of AdamW (Loshchilov and Hutter 2019); on matrices only.
        clip_norm: Largest L2 norm of the gradient of all weights together.
        precision: "float32", "bfloat16" (autocast), or "auto": bfloat16 where the hardware multiplies it fast.
        patience: Epochs without a better validation score after which to stop.
        save_minutes: How often to save the run's state; it is also saved after every epoch and when stopped.
    """

    __pydantic_config__ = STRICT
    weight_decay: Annotated[float, Range(0, 10)] = 0.01
    clip_norm: Annotated[float, Range(0, 1_000_000)] = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    patience: Annotated[int, Range(1, 10_000)] = 4
    save_minutes: Annotated[float, Range(0, 1440)] = 2.0

    def __post_init__(self) -> None:
        check_ranges(self, "training.")


@dataclass(frozen=True)
class LearningRecipe(RunRecipe):
    """How to learn in one go.

    Attributes:
        epochs: Passes over all that there is to learn from.
        learning_rate: The peak of the one-cycle schedule.
        warmup: Share of all steps in which the learning rate climbs linearly; it then falls to zero along a cosine.
    """

    epochs: Annotated[int, Range(1, 10_000)] = 12
    learning_rate: Annotated[float, Range(0, 10)] = 1e-3
    warmup: Annotated[float, Range(0, 1)] = 0.1


@dataclass(frozen=True)
class TrainingRecipe(RunRecipe):
    """How to learn to caption; an epoch shows every photo once, with all its captions.

    Attributes:
        images_per_batch: Photos of a batch; all their captions are in it.
        accumulate: Into how many parts a process cuts its batches, whose gradients it adds up before a step: what does
            not fit into memory at once still learns from the same batch.
        average: Decay per step of the exponential moving average of the weights that is validated and kept; 0 keeps
            the weights themselves.
        compile: The backend by which torch compiles the encoder, the cells and the attention, which are then faster
            after a slow start; "inductor" is torch's own, empty compiles nothing.
        phases: What is learnt, one after the other. ``patience`` ends a phase, not the run.
    """

    images_per_batch: Annotated[int, Range(1, 100_000)] = 20
    accumulate: Annotated[int, Range(1, 100_000)] = 1
    average: Annotated[float, Range(0, 0.99999)] = 0.0
    compile: str = ""
    phases: tuple[PhaseRecipe, ...] = (PhaseRecipe(),)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.compile and self.compile not in torch.compiler.list_backends(exclude_tags=()):
            choices = ", ".join(torch.compiler.list_backends())
            raise ConfigError(f"training.compile is {self.compile!r}; it must be empty or one of: {choices}")
        if not self.phases:
            raise ConfigError("training.phases is empty; it must have at least one phase")

    @property
    def fine_tunes(self) -> bool:
        """Whether the encoder learns in some phase."""
        return any(phase.encoder_stage for phase in self.phases)


@dataclass(frozen=True)
class Recipe:
    """Everything that a run depends on.

    Attributes:
        name: The model's name, and the name of the run's folder.
        version: The model's version.
        license: Under which terms the model may be used; empty if the file shall not say.
        seed: Of weights, data order and dropout.
        runs: Folder in which the run's own folder is made.
        cache: Folder of the feature cache.
        encoder_weights: File of pretrained weights under torchvision's names, or timm's for its networks (safetensors);
            empty lets torchvision or timm download its own; "random" starts from random ones, with batch norms measured
            on the photos.
        decoder_weights: File of a language model that the decoder starts from, as far as its weights fit; empty for a
            decoder that starts afresh.
        start_from: Checkpoint of a captioning model to go on from, its vocabulary extended by the new captions' words;
            what a recipe file leaves out of ``[model]`` is that model's. Empty for a model that starts from
            ``encoder_weights``.
        data: Which photos and captions.
        tokenizer: How captions become tokens.
        model: What to build.
        distillation: What its encoder must not forget in the phases in which it learns.
        training: How to learn.
        decoding: How validation searches.
    """

    __pydantic_config__ = STRICT
    name: str
    data: DataRecipe
    version: str = "1"
    license: str = ""
    seed: int = 1
    runs: str = "runs"
    cache: str = "cache"
    encoder_weights: str = ""
    decoder_weights: str = ""
    start_from: str = ""
    tokenizer: TokenizerRecipe = field(default_factory=TokenizerRecipe)
    model: ModelConfig = field(default_factory=ModelConfig)
    distillation: DistillationRecipe = field(default_factory=DistillationRecipe)
    training: TrainingRecipe = field(default_factory=TrainingRecipe)
    decoding: DecodingOptions = field(default_factory=DecodingOptions)

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.start_from and (self.encoder_weights or self.decoder_weights):
            raise ConfigError("start_from brings all weights; leave encoder_weights and decoder_weights empty")

    @property
    def run_dir(self) -> Path:
        """Where the run keeps its state, its log and its best checkpoint."""
        return Path(self.runs).expanduser() / self.name


def check_name(name: str) -> None:
    """Make sure that a run's name is that of one folder, which lies in the folder of all runs.

    Raises:
        ConfigError: If it is not.
    """
    if name in ("", ".", "..") or any(character in "/\\" or ord(character) < 32 for character in name):
        raise ConfigError(
            f"name is {name!r}; it must be the name of a folder, without / and \\. "
            "Another place for all runs is set by runs, for example --set runs=elsewhere"
        )


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
        CheckpointError: If the recipe goes on from a checkpoint that cannot be read.
        ConfigError: If the file is missing or no TOML, or is a recipe of another command, or a key or value is not one
            that a recipe has.
    """
    values = read_values(kind, path, overrides)
    if kind is Recipe:
        given: dict[str, Any] = {}
        override(given, kind, [text for text in overrides if not text.strip().startswith("training.")])
        values = completed(values, given)
    return from_dict(kind, with_own_image(values), str(path))
