"""Image captioning: an image in, a caption out, with where the model looked for every word.

``from captioner import CaptionPredictor, Caption, DecodingOptions`` is all that most programs need. They are loaded
when they are first asked for (PEP 562), so that ``import captioner`` (and ``captioner --help``) loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captioner.decoding import DecodingOptions
    from captioner.predictor import CaptionPredictor
    from captioner.types import Caption

__version__ = "0.1.0"
__all__ = ["Caption", "CaptionPredictor", "DecodingOptions", "__version__"]

if not TYPE_CHECKING:  # a type checker sees the imports above, and so that there are no other names
    _MODULES = {
        "Caption": "captioner.types",
        "CaptionPredictor": "captioner.predictor",
        "DecodingOptions": "captioner.decoding",
    }

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
