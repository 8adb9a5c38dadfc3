"""Ensembles: the mean of their members' probabilities, whatever asks them."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from captioner.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from captioner.config import MAX_MEMBERS, DecoderConfig, EncoderConfig, ModelConfig
from captioner.decoders import DECODERS, Ensemble, SingleDecoder, build_decoder, members_of
from captioner.decoding import DecodingOptions, SpecialTokens, search
from captioner.errors import ConfigError
from captioner.model import CaptionModel
from captioner.runtimes.torch import TorchSteps
from captioner.tokenizers import WordTokenizer
from captioner.types import Features

V, P, D, L, T = 11, 6, 5, 4, 3
SPECIAL = SpecialTokens(1, 2, (0, 1, 3))


def config(name: str = "top_down", members: int = 3) -> DecoderConfig:
    return DecoderConfig(name, embedding_size=7, hidden_size=8, attention_size=3, members=members)


@pytest.fixture(params=list(DECODERS))
def ensemble(request: pytest.FixtureRequest) -> Ensemble:
    torch.manual_seed(0)
    built = build_decoder(config(request.param), P, D, V).eval()
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return cast("Ensemble", built)


def features(batch: int = 2) -> Features:
    generator = torch.Generator().manual_seed(1)
    return Features(torch.randn(batch, P, generator=generator), torch.randn(batch, L, D, generator=generator), 2, 2)


def read() -> Tensor:
    return torch.randint(V, (4, T), generator=torch.Generator().manual_seed(2))


def force(decoder: Any, seen: Features) -> Any:
    memory = decoder.prepare(seen)
    return decoder.teacher_force(read(), memory, decoder.begin(memory, 2))


def test_it_is_the_mean_of_its_members_probabilities(ensemble: Ensemble) -> None:
    runs = [force(member, features()) for member in members_of(ensemble)]
    together = force(ensemble, features())
    mean = torch.stack([run.logits.softmax(-1) for run in runs]).mean(0)
    torch.testing.assert_close(together.logits.exp(), mean)
    assert not torch.allclose(runs[0].logits.softmax(-1), mean, atol=0.01)
    if ensemble.attends:
        torch.testing.assert_close(together.attention, torch.stack([run.attention for run in runs]).mean(0))
        torch.testing.assert_close(together.attention.sum(-1), torch.ones(4, T))
    else:
        assert together.attention is None


def test_stepping_equals_teacher_forcing(ensemble: Ensemble) -> None:
    memory, run = ensemble.prepare(features()), force(ensemble, features())
    state = ensemble.begin(memory, 2)
    for t in range(T):
        step = ensemble.step(read()[:, t], memory, state)
        torch.testing.assert_close(step.logits, run.logits[:, t])
        state = step.state


def test_selected_rows_go_on_as_they_would_have(ensemble: Ensemble) -> None:
    memory = ensemble.prepare(features(1))
    state = ensemble.step(read()[:, 0], memory, ensemble.begin(memory, 4)).state
    rows = torch.tensor([3, 1, 1, 0])
    words = read()[:, 1]
    after = ensemble.step(words, memory, state).logits[rows]
    torch.testing.assert_close(ensemble.step(words[rows], memory, state.select(rows).detach()).logits, after)


def test_equal_members_say_what_one_says(ensemble: Ensemble) -> None:
    alone = members_of(ensemble)[0]
    for member in members_of(ensemble):
        member.load_state_dict(alone.state_dict())
    options = DecodingOptions(beam_size=3, max_length=6, num_captions=2)
    together, single = (
        search(TorchSteps(decoder), decoder.prepare(features()), 2, SPECIAL, options) for decoder in (ensemble, alone)
    )
    for ours, theirs in zip(together, single, strict=True):
        assert [one.tokens for one in ours] == [one.tokens for one in theirs]
        assert [one.log_prob for one in ours] == pytest.approx([one.log_prob for one in theirs], abs=1e-5)


def test_gradients_reach_every_member(ensemble: Ensemble) -> None:
    force(ensemble, features()).logits.square().sum().backward()
    for member in members_of(ensemble):
        assert float(cast("Tensor", member.output.bias.grad).abs().sum()) > 0


def test_what_goes_on_inside_has_each_members_name(ensemble: Ensemble) -> None:
    memory = ensemble.prepare(features())
    record = ensemble.inspect(read(), memory, ensemble.begin(memory, 2))
    alone = members_of(ensemble)[1]
    inside = alone.prepare(features())
    expected = alone.inspect(read(), inside, alone.begin(inside, 2))
    assert {f"members.1.{name}" for name in expected} < set(record)
    for name, values in expected.items():
        torch.testing.assert_close(record[f"members.1.{name}"], values)


def test_fresh_members_differ() -> None:
    first, second, _ = members_of(build_decoder(config(), P, D, V))
    assert not torch.equal(first.embedding.weight, second.embedding.weight)


def test_one_member_is_a_plain_decoder() -> None:
    built = build_decoder(config(members=1), P, D, V)
    assert isinstance(built, SingleDecoder)
    assert members_of(built) == [built]


@pytest.mark.parametrize("members", [0, MAX_MEMBERS + 1])
def test_other_numbers_of_members_are_refused(members: int) -> None:
    with pytest.raises(ConfigError, match=f"members is {members}; it must be between 1 and {MAX_MEMBERS}"):
        config(members=members)


def test_a_file_holds_all_members(tmp_path: Path) -> None:
    tokenizer = WordTokenizer(["a", "dog"])
    model = CaptionModel(ModelConfig(encoder=EncoderConfig("tiny"), decoder=config(members=2)), len(tokenizer)).eval()
    save_checkpoint(Checkpoint(model, tokenizer), tmp_path / "two.safetensors")
    loaded = load_checkpoint(tmp_path / "two.safetensors").model
    for ours, theirs in zip(members_of(model.decoder), members_of(loaded.decoder), strict=True):
        assert torch.equal(ours.embedding.weight, theirs.embedding.weight)
