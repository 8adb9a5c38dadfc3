"""Captions over HTTP: a Flask application that is handed a predictor, and a web page."""

from service.app import create_app
from service.settings import Settings

__all__ = ["Settings", "create_app"]
