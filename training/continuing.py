"""What a recipe that goes on from a checkpoint takes from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from captioner.checkpoint import read_header
from captioner.config import ModelConfig, from_dict, to_dict

WEIGHTS = ("encoder_weights", "decoder_weights")  # start_from brings all of them


def completed(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a captioning recipe's values, its model that of ``start_from`` as far as nobody asked for another.

    A recipe that names ``start_from`` itself states the rest of its ``[model]`` beside it. Where the command line names
    it, the file was written for a model of its own, which gives way, and so do the weights that it starts from. Other
    settings, the dropout among them, are the recipe's. What was asked for together with ``start_from``, or later,
    stays, so that :func:`training.initial.vocabulary.grow` can refuse what contradicts the checkpoint.

    Args:
        values: Of the file and the command line together.
        given: Of the command line alone.

    Raises:
        CheckpointError: If the checkpoint cannot be read.
        ConfigError: If it holds something that this version does not know.
    """
    start = values.get("start_from")
    if not isinstance(start, str) or not start or not isinstance(values.get("model", {}), Mapping):
        return dict(values)
    path = Path(start).expanduser()
    header = read_header(path)
    asked = given if "start_from" in given else values
    own = to_dict(from_dict(ModelConfig, header["config"], f"{path}: config"))
    model = _merged(own, _dropout(values.get("model", {})))
    silent = {name: "" for name in WEIGHTS if name not in asked}
    tokenizer = {"name": header["tokenizer"]["name"]} if "name" not in _table(asked, "tokenizer") else {}
    found = {**values, **silent, "model": _merged(model, _table(asked, "model"))}
    return found if not tokenizer else {**found, "tokenizer": {**_table(values, "tokenizer"), **tokenizer}}


def _dropout(model: Mapping[str, Any]) -> dict[str, Any]:
    decoder = _table(model, "decoder")
    return {"decoder": {"dropout": decoder["dropout"]}} if "dropout" in decoder else {}


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = values.get(name)
    return table if isinstance(table, Mapping) else {}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested tables, the second's values in the place of the first's."""
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
