"""The mean of the weights of several checkpoints of the same model: a model soup (Wortsman et al. 2022)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from captioner.checkpoint import Checkpoint
from captioner.config import ModelConfig, to_dict
from captioner.errors import ConfigError
from captioner.model import CaptionModel


def average(
    models: Mapping[str, Checkpoint], name: str = "", version: str = "1", weights: Sequence[float] = ()
) -> Checkpoint:
    """Return a model whose every weight, and every statistic of a norm, is the mean of theirs.

    It costs what one of them costs. It is good where they are variations of one model, trained from the same start with
    other seeds, rates or data order; of models that began with other random weights the mean is noise.

    Args:
        models: By what to call them in messages.
        name: Of the mean; empty is the first one's.
        version: Of the mean.
        weights: How much each counts, above 0; empty counts all alike.

    Returns:
        The mean, without a calibration: how sure it is must be measured anew. Class words are kept if all have the
        same ones.

    Raises:
        ConfigError: If they are fewer than two, or differ in more than weights and dropout, or ``weights`` are not one
            each or not above 0.
    """
    if len(models) < 2:
        raise ConfigError(f"a mean is made of at least 2 models; given: {', '.join(models) or 'none'}")
    shares = _shares(len(models), weights)
    first, *others = models.items()
    for other in others:
        _check_same(first, other)
    model, tokenizer = first[1].model, first[1].tokenizer
    averaged = CaptionModel(model.config, len(tokenizer))
    averaged.load_state_dict(_mean([one.model.state_dict() for one in models.values()], shares))
    ingredients = [{**one.provenance, "share": share} for one, share in zip(models.values(), shares, strict=True)]
    provenance = {"name": name or str(ingredients[0].get("name", "")), "version": version, "ingredients": ingredients}
    licenses = {str(one.get("license", "")) for one in ingredients}
    if len(licenses) == 1 and licenses != {""}:
        provenance["license"] = licenses.pop()
    words = first[1].class_words
    same = words is not None and all(words.same_as(one.class_words) for one in models.values())
    return Checkpoint(averaged.eval(), tokenizer, provenance, class_words=words if same else None)


def _shares(count: int, weights: Sequence[float]) -> list[float]:
    """Return what share of the mean each of the models is."""
    weights = weights or [1.0] * count
    if len(weights) != count or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        given = ", ".join(f"{weight:g}" for weight in weights)
        raise ConfigError(f"weights are {given}; they must be {count} numbers above 0, one for each model")
    return [weight / sum(weights) for weight in weights]


def _mean(states: list[dict[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """Return the weighted mean of each tensor, summed in double precision; a count is the first one's."""
    return {
        key: torch.stack([share * state[key].double() for share, state in zip(shares, states, strict=True)])
        .sum(dim=0)
        .to(value.dtype)
        if value.is_floating_point()
        else value
        for key, value in states[0].items()
    }


def _check_same(first: tuple[str, Checkpoint], other: tuple[str, Checkpoint]) -> None:
    """Make sure that two checkpoints are of the same model; the message says where they differ."""
    (one_name, one), (two_name, two) = first, other
    ours, theirs = (dict(_leaves(_kind(checkpoint.model.config))) for checkpoint in (one, two))
    differing = [f"{key} is {value!r} and {theirs[key]!r}" for key, value in ours.items() if theirs[key] != value]
    if one.tokenizer.to_dict() != two.tokenizer.to_dict():
        same_words = one.tokenizer.vocabulary == two.tokenizer.vocabulary
        differing.append("their rules of cutting words differ" if same_words else "their vocabularies differ")
    if differing:
        raise ConfigError(f"{one_name} and {two_name} are not the same model: {'; '.join(differing)}")


def _kind(config: ModelConfig) -> dict[str, Any]:
    return to_dict(replace(config, decoder=replace(config.decoder, dropout=0.0)))


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
