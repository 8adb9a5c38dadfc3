"""The parts of a model that torch.compile makes faster."""

from captioner.attention import AdditiveAttention
from captioner.cells import Cell
from captioner.model import CaptionModel


def compile_parts(model: CaptionModel, backend: str) -> None:
    """Let torch compile the encoder, every cell and the attention when they are first used.

    The loop over words is left as it is: unrolled, it would be compiled anew for every length of caption.

    Args:
        model: Whose forward passes change their speed and, to rounding, nothing else.
        backend: A name in ``torch.compiler.list_backends()``.
    """
    model.encoder.compile(backend=backend)
    for module in model.decoder.modules():
        if isinstance(module, Cell | AdditiveAttention):
            module.compile(backend=backend, dynamic=True)
