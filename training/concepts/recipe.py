"""The recipe of an encoder that learns concepts: everything that its training depends on, in one TOML file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from captioner.config import STRICT, EncoderConfig, ImageConfig
from captioner.errors import ConfigError
from captioner.ranges import Range, check_ranges
from training.distillation import DistillationRecipe
from training.recipe import DataRecipe, LearningRecipe, check_name


@dataclass(frozen=True)
class WordsRecipe:
    """Which words are concepts, and when a photo has one.

    Attributes:
        most: How many, at most: those of the most photos.
        least_photos: A concept is a word in the captions of at least this many photos.
        without: Words that are no concepts, such as articles and prepositions, which say little of what is seen.
        agreement: A photo has a concept for certain if this many of its captions name it; fewer count in proportion.
    """

    __pydantic_config__ = STRICT
    most: Annotated[int, Range(1, 1_000_000)] = 700
    least_photos: Annotated[int, Range(1, 1_000_000)] = 20
    without: tuple[str, ...] = ()
    agreement: Annotated[int, Range(1, 1000)] = 3

    def __post_init__(self) -> None:
        check_ranges(self, "words.")


@dataclass(frozen=True)
class ConceptLearningRecipe(LearningRecipe):
    """How to learn concepts; an epoch shows every photo once.

    Attributes:
        images_per_batch: Photos of a batch.
        average: Decay per step of the exponential moving average of the weights that is validated and kept; 0 keeps
            the weights themselves.
        encoder_stage: The first stage of the encoder that learns.
        encoder_learning_rate: The peak of its learning rate; ``learning_rate`` is that of the classifier.
        freeze_norms: Whether the encoder's batch norms keep the statistics that they were pretrained with.
        dropout: Probability with which channels of a cell are dropped before the classifier.
    """

    images_per_batch: Annotated[int, Range(1, 100_000)] = 24
    average: Annotated[float, Range(0, 0.99999)] = 0.995
    encoder_stage: str = "stride8"
    encoder_learning_rate: Annotated[float, Range(0, 10)] = 3e-4
    freeze_norms: bool = True
    dropout: Annotated[float, Range(0, 0.99)] = 0.2


@dataclass(frozen=True)
class ConceptRecipe:
    """Everything that a run depends on.

    Attributes:
        name: The encoder's name, and the name of the run's folder.
        data: Which photos and captions; its ``max_tokens``, ``mirror`` and ``augmented`` are of no concern here, where
            photos are augmented anew each time, as ``augmentation`` says.
        version: The encoder's version.
        seed: Of weights, data order and augmentation.
        runs: Folder in which the run's own folder is made.
        cache: Folder of the photos' cache.
        encoder_weights: File of pretrained weights; see :class:`training.recipe.Recipe`.
        tokenizer: How captions become words, a name in ``captioner.tokenizers.TOKENIZERS``.
        image: How an image becomes pixels.
        encoder: What learns.
        words: What it learns to see.
        distillation: What it must not forget meanwhile.
        training: How it learns.
    """

    __pydantic_config__ = STRICT
    name: str
    data: DataRecipe
    version: str = "1"
    seed: int = 1
    runs: str = "runs"
    cache: str = "cache"
    encoder_weights: str = ""
    tokenizer: str = "word"
    image: ImageConfig = field(default_factory=ImageConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    words: WordsRecipe = field(default_factory=WordsRecipe)
    distillation: DistillationRecipe = field(default_factory=DistillationRecipe)
    training: ConceptLearningRecipe = field(default_factory=ConceptLearningRecipe)

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.encoder.outputs == "vector":
            raise ConfigError("encoder.outputs is 'vector'; concepts are looked for in the cells of a grid")

    @property
    def run_dir(self) -> Path:
        """Where the run keeps its state, its log and its best weights."""
        return Path(self.runs).expanduser() / self.name
