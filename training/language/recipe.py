"""A language model's recipe: everything that its training depends on, in one TOML file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from captioner.config import STRICT, DecoderConfig
from captioner.errors import ConfigError
from captioner.ranges import Range, check_ranges
from training.language.sampling import SampleOptions
from training.recipe import LearningRecipe, TokenizerRecipe, check_name


@dataclass(frozen=True)
class TextRecipe:
    """Which text.

    Attributes:
        files: Plain UTF-8 text files, read one after the other.
        root: Folder that they are relative to; empty is the folder that the command runs in.
        validation_share: The last part of the text, as a share of its tokens, that is validated on and not learnt from.
    """

    __pydantic_config__ = STRICT
    files: tuple[str, ...]
    root: str = ""
    validation_share: Annotated[float, Range(0, 0.5, above=True)] = 0.05

    def __post_init__(self) -> None:
        if not self.files:
            raise ConfigError("text.files is empty; it must name at least one file")
        check_ranges(self, "text.")

    @property
    def paths(self) -> list[Path]:
        """Where the files are."""
        return [Path(self.root).expanduser() / file for file in self.files]


@dataclass(frozen=True)
class StreamRecipe(LearningRecipe):
    """How to learn from a text by truncated back-propagation through time; an epoch reads it once.

    Attributes:
        streams: S, into how many parts the text is cut, which are read side by side.
        chunk: Tokens of each stream per step. The state is carried from chunk to chunk, gradients are not.
    """

    streams: Annotated[int, Range(1, 100_000)] = 32
    chunk: Annotated[int, Range(1, 100_000)] = 100


@dataclass(frozen=True)
class LanguageRecipe:
    """Everything that a run depends on.

    Attributes:
        name: The model's name, and the name of the run's folder.
        text: What to read.
        decoder: What to build; its name must be "conditioned".
        version: The model's version.
        seed: Of weights and dropout.
        runs: Folder in which the run's own folder is made.
        tokenizer: How the text becomes tokens.
        training: How to learn.
        samples: What the model writes after each epoch.
    """

    __pydantic_config__ = STRICT
    name: str
    text: TextRecipe
    decoder: DecoderConfig
    version: str = "1"
    seed: int = 1
    runs: str = "runs"
    tokenizer: TokenizerRecipe = field(default_factory=TokenizerRecipe)
    training: StreamRecipe = field(default_factory=StreamRecipe)
    samples: SampleOptions = field(default_factory=SampleOptions)

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.decoder.name != "conditioned":
            raise ConfigError(f"decoder.name is {self.decoder.name!r}; a language model's must be 'conditioned'")
        if self.decoder.members > 1:
            raise ConfigError(f"decoder.members is {self.decoder.members}; a language model is one network")

    @property
    def run_dir(self) -> Path:
        """Where the run keeps its state, its log and its best checkpoint."""
        return Path(self.runs).expanduser() / self.name
