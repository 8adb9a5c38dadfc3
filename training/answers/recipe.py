"""The recipe of a network that answers questions: everything that its training depends on, in one TOML file."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from captioner.answers.header import AnswerConfig
from captioner.config import STRICT
from captioner.ranges import Range, check_ranges
from training.questions.files import PhotoQuestion, read_questions
from training.recipe import LearningRecipe, TokenizerRecipe, check_name


@dataclass(frozen=True)
class QuestionsRecipe:
    """Which questions, in the JSON of VQA v2.

    Attributes:
        root: Folder that the other paths are relative to.
        train_questions: File of questions to learn from.
        train_answers: File of their annotations.
        train_images: Folder of their photos.
        val_questions: File of questions that the best epoch is chosen on.
        val_answers: File of their annotations.
        val_images: Folder of their photos.
        least: An answer is learnt if it is right of at least this many questions.
        most: At most this many answers are learnt, the most frequent ones; 0 takes all.
        photos: Of how many photos to learn, those with the most questions; 0 takes all.
        mirror: Whether to learn from mirrored photos too; one with "left" or "right" in a question never is.
    """

    __pydantic_config__ = STRICT
    root: str
    train_questions: str
    train_answers: str
    train_images: str
    val_questions: str
    val_answers: str
    val_images: str
    least: Annotated[int, Range(1, 1_000_000)] = 5
    most: Annotated[int, Range(0, 1_000_000)] = 0
    photos: Annotated[int, Range(0, 10_000_000)] = 0
    mirror: bool = True

    def __post_init__(self) -> None:
        check_ranges(self, "questions.")

    def read(self, part: Literal["train", "val"]) -> list[PhotoQuestion]:
        """Return the questions of a part.

        Raises:
            DataError: If its files cannot be used.
        """
        found = read_questions(self.path(f"{part}_questions"), self.path(f"{part}_answers"))
        return _of_most_questions(found, self.photos) if part == "train" and self.photos else found

    def path(self, name: str) -> Path:
        """Return one of the paths above, by its field's name, below the root."""
        return Path(self.root).expanduser() / str(getattr(self, name))


def _of_most_questions(questions: list[PhotoQuestion], photos: int) -> list[PhotoQuestion]:
    """Return the questions about so many photos that have the most, as many in the order of their names."""
    counts = Counter(one.photo for one in questions)
    chosen = set(sorted(counts, key=lambda photo: (-counts[photo], photo))[:photos])
    return [one for one in questions if one.photo in chosen]


@dataclass(frozen=True)
class AnswerLearningRecipe(LearningRecipe):
    """How to learn to answer; an epoch shows every photo once, with all its questions.

    Attributes:
        images_per_batch: Photos of a batch; all their questions are in it.
        average: Decay per step of the exponential moving average of the weights that is validated and kept; 0 keeps
            the weights themselves.
        unknown_words: Probability with which a word of a question is shown as an unknown one, since people will ask
            with words that no training question has.
        cells: Share of the grid's cells that a batch shows, drawn by chance: fewer are faster to learn from, and what
            was learnt holds of all.
    """

    images_per_batch: Annotated[int, Range(1, 100_000)] = 32
    average: Annotated[float, Range(0, 0.99999)] = 0.99
    unknown_words: Annotated[float, Range(0, 0.9)] = 0.05
    cells: Annotated[float, Range(0.01, 1)] = 1.0


@dataclass(frozen=True)
class AnswerRecipe:
    """Everything that a run depends on.

    Attributes:
        name: The network's name, and the name of the run's folder.
        questions: Which questions.
        version: The network's version.
        license: Under which terms it may be used; empty if the file shall not say.
        seed: Of weights, data order and dropout.
        runs: Folder in which the run's own folder is made.
        cache: Folder of the feature cache.
        captioner: Checkpoint of the captioning model whose encoder it sees by; empty is the shipped one.
        tokenizer: How questions become tokens.
        network: What to build.
        training: How to learn.
    """

    __pydantic_config__ = STRICT
    name: str
    questions: QuestionsRecipe
    version: str = "1"
    license: str = ""
    seed: int = 1
    runs: str = "runs"
    cache: str = "cache"
    captioner: str = ""
    tokenizer: TokenizerRecipe = field(default_factory=lambda: TokenizerRecipe(min_count=3))
    network: AnswerConfig = field(default_factory=AnswerConfig)
    training: AnswerLearningRecipe = field(default_factory=AnswerLearningRecipe)

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def run_dir(self) -> Path:
        """Where the run keeps its state, its log and its best network."""
        return Path(self.runs).expanduser() / self.name
