"""Captions over HTTP: a Flask application that is handed a predictor, and a web page."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.app import create_app
    from service.settings import Settings

__all__ = ["Settings", "create_app"]
_HOMES = {"Settings": "service.settings", "create_app": "service.app"}

# While the model's threads wait for each other they shall sleep, not turn around on cores on which requests could be
# read and answered meanwhile. OpenMP looks at this once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def __getattr__(name: str) -> Any:
    """Import what is asked for only then, so that ``python -m service.keys`` does not load the whole service."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
