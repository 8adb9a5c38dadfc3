"""Models that were trained apart, joined to one whose decoders write together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from captioner.checkpoint import Checkpoint
from captioner.config import ModelConfig, to_dict
from captioner.decoders import members_of
from captioner.encoders import BranchedEncoder, Encoder, first_difference
from captioner.errors import ConfigError
from captioner.model import CaptionModel


def join(models: Mapping[str, Checkpoint], name: str, version: str) -> Checkpoint:
    """Return an ensemble of the decoders of several models, each with the encoder that it knows.

    Encoders that are equal become one; of others, the first stages are shared as far as they are equal.

    Args:
        models: By what to call them in messages. One that is an ensemble gives all its members.
        name: Of the ensemble.
        version: Of the ensemble.

    Returns:
        The ensemble, without a calibration: how sure it is must be measured anew; and without class words, whose
        classifier may not read what its encoders see.

    Raises:
        ConfigError: If they are fewer than two, or differ in more than weights and dropout.
    """
    if len(models) < 2:
        raise ConfigError(f"an ensemble is made of at least 2 models; given: {', '.join(models) or 'none'}")
    first, *others = models.items()
    for model in models.items():
        _check_joinable(*model)
    for other in others:
        _check_alike(first, other)
    tokenizer, config = first[1].tokenizer, first[1].model.config
    encoders, places = _distinct([one.model.encoder for one in models.values()])
    encoder = config.encoder
    if len(encoders) > 1:
        encoder = replace(encoder, branches=len(encoders), branch_stage=first_difference(encoders) or "")
    decoders, reads = [], []
    for one, place in zip(models.values(), places, strict=True):
        members = members_of(one.model.decoder)
        decoders += members
        reads += [place] * len(members)
    decoder = replace(config.decoder, members=len(decoders), reads=tuple(reads) if len(encoders) > 1 else ())
    joined = CaptionModel(replace(config, encoder=encoder, decoder=decoder), len(tokenizer))
    source = BranchedEncoder(encoder, encoders) if len(encoders) > 1 else encoders[0]
    joined.encoder.load_state_dict(source.state_dict())
    for member, given in zip(members_of(joined.decoder), decoders, strict=True):
        member.load_state_dict(given.state_dict())
    provenance = {"name": name, "version": version, "members": [dict(one.provenance) for one in models.values()]}
    return Checkpoint(joined.eval(), tokenizer, provenance)


def _distinct(encoders: Sequence[Encoder]) -> tuple[list[Encoder], list[int]]:
    """Return the encoders without those that equal one before them, and for each given one its place among these."""
    found: list[Encoder] = []
    places = []
    for encoder in encoders:
        equal = (place for place, other in enumerate(found) if first_difference([other, encoder]) is None)
        place = next(equal, len(found))
        if place == len(found):
            found.append(encoder)
        places.append(place)
    return found, places


def _check_joinable(name: str, model: Checkpoint) -> None:
    branches = model.model.config.encoder.branches
    if branches > 1:
        raise ConfigError(f"{name} has an encoder of {branches} branches; join the models that it was made of")


def _check_alike(first: tuple[str, Checkpoint], other: tuple[str, Checkpoint]) -> None:
    names = f"{first[0]} and {other[0]} cannot be joined: "
    one, two = first[1], other[1]
    if _kind(one.model.config) != _kind(two.model.config):
        raise ConfigError(f"{names}their configurations differ in more than dropout and members")
    if one.tokenizer.to_dict() != two.tokenizer.to_dict():
        what = "vocabularies" if one.tokenizer.vocabulary != two.tokenizer.vocabulary else "rules of cutting words"
        raise ConfigError(f"{names}their {what} differ")


def _kind(config: ModelConfig) -> dict[str, Any]:
    return to_dict(replace(config, decoder=replace(config.decoder, dropout=0.0, members=1, reads=())))
