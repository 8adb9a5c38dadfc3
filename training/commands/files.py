"""Files that commands write, and several that they read."""

import tempfile
from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path

from captioner.checkpoint import Checkpoint, load_checkpoint
from training.errors import TrainingError


def png_file(text: str) -> Path:
    """Return the path of a drawing, for a parser.

    Raises:
        ArgumentTypeError: If its name does not end with ``.png``, or its folder does not exist.
    """
    return _file(text, ".png")


def json_file(text: str) -> Path:
    """Return the path of a file of results, for a parser.

    Raises:
        ArgumentTypeError: If its name does not end with ``.json``, or its folder does not exist.
    """
    return _file(text, ".json")


def _file(text: str, ending: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ending:
        raise ArgumentTypeError(f"{text}: the name must end with {ending}")
    if not path.parent.is_dir():
        raise ArgumentTypeError(f"{text}: there is no folder {path.parent}")
    return _writable(path)


def file_to_write(text: str) -> Path:
    """Return the path of a file that will be written into a folder that is there, for a parser.

    Raises:
        ArgumentTypeError: If it cannot be written; better to know before the work than after it.
    """
    path = Path(text)
    if not path.parent.is_dir():
        raise ArgumentTypeError(f"{text}: there is no folder {path.parent}")
    return _writable(path)


def checkpoint_to_write(text: str) -> Path:
    """Return the path of a checkpoint that will be written, missing folders made, for a parser.

    Raises:
        ArgumentTypeError: If it cannot be written.
    """
    return _writable(Path(text))


def folder_to_write(text: str) -> Path:
    """Return the path of a folder that will be written to, made if it is missing, for a parser.

    Raises:
        ArgumentTypeError: If it cannot be written to.
    """
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise ArgumentTypeError(f"{text}: there is a file of this name; it must be a folder")
    _try(text, path)
    return path


def _writable(path: Path) -> Path:
    if path.is_dir():
        raise ArgumentTypeError(f"{path}: this is a folder; it must be a file")
    _try(str(path), path.parent)
    return path


def _try(text: str, folder: Path) -> None:
    """Write something into a folder, or into the last one above it that is there; permissions alone do not tell."""
    there = next(above for above in (folder, *folder.parents) if above.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise ArgumentTypeError(f"{text}: cannot write into {there}: {error.strerror or error}") from None


def different_models(paths: Sequence[Path], why: str) -> dict[str, Checkpoint]:
    """Load checkpoints, by their paths.

    Args:
        paths: The files.
        why: None may be given twice.

    Raises:
        CheckpointError: If one cannot be used.
        TrainingError: If one is given twice.
    """
    models = {str(path): load_checkpoint(path) for path in paths}
    if len(models) < len(paths):
        raise TrainingError(f"the same file is given twice; {why}")
    return models
