"""From a checkpoint file to a model that can caption, in the runtime that is asked for."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from captioner.class_words import ClassWords
from captioner.devices import AUTO, check_device, find_device
from captioner.errors import OptionError
from captioner.header import CheckpointFile, Description
from captioner.types import Runtime

RuntimeName = Literal["auto", "onnx", "torch"]
CPUS = (AUTO, "cpu")  # devices that ONNX Runtime takes for its own
PACKAGES = {"onnx": "onnxruntime", "torch": "torch"}  # what each runtime is installed as


class CaptioningModel(Protocol):
    """What a predictor is made of: a :class:`captioner.checkpoint.Checkpoint`, or what stands for one elsewhere."""

    @property
    def description(self) -> Description:
        """What the model is, but for its weights."""
        ...

    @property
    def class_words(self) -> ClassWords | None:
        """What finds words in the image vector, if there is something."""
        ...

    def runtime(self) -> Runtime[Any, Any]:
        """Return what computes it."""
        ...


def open_model(
    path: Path | str | None, runtime: RuntimeName, threads: int | None, device: str = AUTO
) -> tuple[CaptioningModel, str]:
    """Load a model; also return the SHA-256, in hex, of the bytes it was made of.

    See :meth:`captioner.predictor.CaptionPredictor.from_checkpoint`, whose errors it raises.
    """
    if runtime not in get_args(RuntimeName):
        raise OptionError(f"runtime is {runtime!r}; it must be one of {', '.join(get_args(RuntimeName))}")
    file = CheckpointFile.read(path)
    chosen = _choose(file, runtime, check_device(device))
    if chosen == "onnx":
        from captioner.runtimes.onnx import OnnxModel  # noqa: PLC0415 - one runtime must do without the other

        return OnnxModel.load(file, threads), file.sha256
    from captioner.checkpoint import build_checkpoint  # noqa: PLC0415
    from captioner.runtimes.torch import use_threads  # noqa: PLC0415

    place = find_device(device)
    use_threads(threads)
    checkpoint = build_checkpoint(file)
    checkpoint.model.to(place)
    return checkpoint, file.sha256


def _choose(file: CheckpointFile, runtime: RuntimeName, device: str) -> str:
    """Return the runtime for a file and a device.

    Raises:
        CheckpointError: If it is no checkpoint.
        OptionError: If the runtime is not installed, or does not compute on the device, or the file is not for it.
    """
    exported = "onnx" in file.header()
    if runtime == "onnx" and not exported:
        raise OptionError(f"{file.path}: it has no ONNX graphs; where torch is, captioner export adds them")
    if runtime == "onnx" and device not in CPUS:
        raise OptionError(f"device is {device}; the runtime onnx computes on the cpu, torch on others too")
    chosen = runtime
    if runtime == "auto":
        chosen = "onnx" if exported and device in CPUS and find_spec(PACKAGES["onnx"]) else "torch"
    if not find_spec(PACKAGES[chosen]):
        how = "pip install onnxruntime" if chosen == "onnx" else "pip install 'captioner[torch]'"
        more = "" if exported else "; or, where torch is, let captioner export add ONNX graphs, which need none"
        raise OptionError(f"{file.path}: to run it {PACKAGES[chosen]} must be installed: {how}{more}")
    return chosen
