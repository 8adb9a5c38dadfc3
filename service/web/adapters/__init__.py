"""The interfaces of other systems, so that their clients can call this service as it is.

Each adapter is a thin shell around the same pipeline: it translates requests, answers and errors, and no more.
"""

from flask import Blueprint

from service.inference.engine import Engine
from service.inference.pipeline import CaptionPipeline
from service.settings import Settings
from service.web.adapters.hugging_face import create_hugging_face
from service.web.adapters.max import create_max
from service.web.adapters.ollama import create_ollama
from service.web.adapters.openai import create_openai
from service.web.adapters.v2 import create_v2
from service.web.fetching import Fetcher

__all__ = ["create_adapters"]


def create_adapters(pipeline: CaptionPipeline, engine: Engine, fetcher: Fetcher, settings: Settings) -> list[Blueprint]:
    """Return the routes of all adapters."""
    return [
        create_max(pipeline, engine, settings),
        create_hugging_face(pipeline, settings),
        create_v2(pipeline, engine, settings),
        create_ollama(pipeline, engine, settings),
        create_openai(pipeline, engine, fetcher, settings),
    ]
