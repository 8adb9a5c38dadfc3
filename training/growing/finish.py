"""From learnt weights to a file that takes the place of the old one, if it is not worse by more than is allowed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from captioner.checkpoint import load_checkpoint, read_class_words, stored_weights, tensors_of, write_safetensors
from captioner.decoding import DecodingOptions
from captioner.files import move
from captioner.header import LARGEST, SCALE, CheckpointFile
from captioner.predictor import CaptionPredictor
from captioner.quantization import round_matrices
from captioner.runtimes.export import export_checkpoint
from training.data import CaptionedImage
from training.errors import TrainingError
from training.evaluation.evaluate import caption_photos, score

ENCODER = "encoder."


@dataclass(frozen=True)
class Comparison:
    """CIDEr times 100 of two models on the same photos.

    Attributes:
        before: Of the old model.
        after: Of the new one.
    """

    before: float
    after: float

    @property
    def lost(self) -> float:
        """How many points the new model is worse; negative if it is better."""
        return self.before - self.after

    def require(self, most_lost: float) -> None:
        """Make sure that no more is lost than allowed.

        Raises:
            TrainingError: If it is; the message has the figures.
        """
        if not self.lost <= most_lost:
            raise TrainingError(
                f"CIDEr would fall from {self.before:.2f} to {self.after:.2f}, by {self.lost:.2f}; at most "
                f"{most_lost:g} may be lost, so the old file stays as it is. Show it more old photos or keep it nearer "
                "to what it was (--set training.keep=...), or allow more by --most-lost"
            )


def finish(old: CheckpointFile, learnt: Path, candidate: Path) -> None:
    """Write learnt weights as the old file stores its own: rounded alike, and with graphs if it has some.

    The encoder's tensors are the old file's, byte for byte, and so are class words, whose token ids stay what they are.

    Args:
        old: The file of the model that has grown.
        learnt: The checkpoint that the run left.
        candidate: Where to.
    """
    checkpoint, before = load_checkpoint(learnt), stored_weights(old)
    own = {name: value for name, value in checkpoint.model.state_dict().items() if not name.startswith(ENCODER)}
    in_blocks = {name for name in own if name + LARGEST in before}
    whole = {name for name in own if name + SCALE not in before} - in_blocks
    stored = {name: own[name].to(before[name].dtype).contiguous() for name in whole}
    stored |= round_matrices({name: own[name] for name in own.keys() - whole}, in_blocks=in_blocks)
    encoder = {name: value for name, value in before.items() if name.startswith(ENCODER)}
    words = read_class_words(old, old.describe())
    metadata = replace(checkpoint, class_words=words).description.metadata()
    write_safetensors(candidate, {**encoder, **stored, **tensors_of(words)}, metadata)
    if graphs := old.header().get("onnx"):
        export_checkpoint(candidate, candidate, int(graphs.get("bits", 32)))


def compare(before: Path, after: Path, images: Sequence[CaptionedImage], options: DecodingOptions) -> Comparison:
    """Caption photos by two models, as each of them is served, and score both."""
    return Comparison(*(100 * _cider(path, images, options) for path in (before, after)))


def _cider(path: Path, images: Sequence[CaptionedImage], options: DecodingOptions) -> float:
    captions = caption_photos(CaptionPredictor.from_checkpoint(path), images, options)
    return score(images, captions).cider


def put_in_place(candidate: Path, out: Path) -> None:
    """Let the new file take its place at once and for good; both are in one file system."""
    out.parent.mkdir(parents=True, exist_ok=True)
    move(candidate, out)
