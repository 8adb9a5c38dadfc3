"""Models that were trained apart, joined to one whose decoders write together."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from captioner.checkpoint import Checkpoint
from captioner.config import ModelConfig, to_dict
from captioner.decoders import members_of
from captioner.errors import ConfigError
from captioner.model import CaptionModel


def join(models: Mapping[str, Checkpoint], name: str, version: str) -> Checkpoint:
    """Return an ensemble of the decoders of several models, on the encoder that they share.

    Args:
        models: By what to call them in messages. One that is an ensemble gives all its members.
        name: Of the ensemble.
        version: Of the ensemble.

    Returns:
        The ensemble, without a calibration: how sure it is must be measured anew.

    Raises:
        ConfigError: If they are fewer than two, or differ in more than the decoders' weights and dropout.
    """
    if len(models) < 2:
        raise ConfigError(f"an ensemble is made of at least 2 models; given: {', '.join(models) or 'none'}")
    first, *others = models.items()
    for other in others:
        _check_alike(first, other)
    leader = first[1]
    decoders = [member for one in models.values() for member in members_of(one.model.decoder)]
    config = leader.model.config
    joined = CaptionModel(
        replace(config, decoder=replace(config.decoder, members=len(decoders))), len(leader.tokenizer)
    )
    joined.encoder.load_state_dict(leader.model.encoder.state_dict())
    for member, decoder in zip(members_of(joined.decoder), decoders, strict=True):
        member.load_state_dict(decoder.state_dict())
    provenance = {"name": name, "version": version, "members": [dict(one.provenance) for one in models.values()]}
    return Checkpoint(joined.eval(), leader.tokenizer, provenance)


def _check_alike(first: tuple[str, Checkpoint], other: tuple[str, Checkpoint]) -> None:
    names = f"{first[0]} and {other[0]} cannot be joined: "
    one, two = first[1], other[1]
    if _kind(one.model.config) != _kind(two.model.config):
        raise ConfigError(f"{names}their configurations differ in more than dropout and members")
    if one.tokenizer.to_dict() != two.tokenizer.to_dict():
        raise ConfigError(f"{names}their vocabularies differ")
    ours, theirs = one.model.encoder.state_dict(), two.model.encoder.state_dict()
    if not all(torch.equal(value, theirs[key]) for key, value in ours.items()):
        raise ConfigError(f"{names}their encoders' weights differ, as those of encoders that learnt do")


def _kind(config: ModelConfig) -> dict[str, Any]:
    return to_dict(replace(config, decoder=replace(config.decoder, dropout=0.0, members=1)))
