"""Captions over HTTP: a Flask application that is handed a predictor, and a web page."""

import os

# While the model's threads wait for each other they shall sleep, not turn around on cores on which requests could be
# read and answered meanwhile. OpenMP looks at this once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from service.app import create_app
from service.settings import Settings

__all__ = ["Settings", "create_app"]
