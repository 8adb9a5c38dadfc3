"""Text that language models write, and what goes on inside while they read."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from captioner.decoding import DecodingOptions, search
from captioner.errors import OptionError
from captioner.runtimes.torch import TorchSteps
from captioner.tokenizers import WordTokenizer
from tests.support.language_models import RHYME, random_model, step_through
from training.language.activations import text_activations
from training.language.model import LanguageModel
from training.language.sampling import SampleOptions, write_samples


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return random_model()


@pytest.mark.parametrize("steer", [{}, {"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.6, "temperature": 2.0}])
def test_samples_are_those_of_search(model: LanguageModel, steer: dict[str, float]) -> None:
    options = from_steer(steer)
    wanted = DecodingOptions(
        search="sample",
        num_captions=3,
        max_length=30,
        min_length=30,
        seed=11,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
    )
    memory = model.decoder.prepare_nothing(1)
    [found] = search(TorchSteps(model.decoder), memory, 1, model.tokenizer.special, wanted)
    texts = {model.tokenizer.decode(hypothesis.tokens) for hypothesis in found}
    samples = write_samples(model, replace(options, length=30))
    assert set(samples) == texts
    assert len(texts) > 1


def from_steer(steer: dict[str, float]) -> SampleOptions:
    return SampleOptions(count=3, seed=11, **{"temperature": 1.0, **steer})  # type: ignore[arg-type]


def test_a_seed_repeats_itself_and_a_longer_sample_goes_on(model: LanguageModel) -> None:
    options = SampleOptions(length=450, count=2, seed=3)
    long = write_samples(model, options)
    assert write_samples(model, options) == long
    assert write_samples(model, replace(options, seed=4)) != long
    assert [text[:230] for text in long] == write_samples(model, replace(options, length=230))
    assert long[0][:200] != long[0][200:400]  # the second sampler draws other numbers than the first


def test_without_a_seed_samples_differ(model: LanguageModel) -> None:
    options = SampleOptions(length=60, seed=None, temperature=1.0)
    assert write_samples(model, options) != write_samples(model, options)


def test_the_state_is_carried_to_the_end(model: LanguageModel) -> None:
    [text] = write_samples(model, SampleOptions(length=260, top_k=1, beginning="row "))
    tokens = [model.tokenizer.bos_id, *model.tokenizer.encode(text)]
    with torch.no_grad():
        logits = step_through(model, torch.tensor(tokens[:-1]))
    logits[:, :4] = -torch.inf
    assert logits.argmax(dim=1).tolist()[4:] == tokens[5:]


def test_special_tokens_are_never_written() -> None:
    model = random_model()
    with torch.no_grad():
        model.decoder.output.bias[:4] = 20.0
    samples = write_samples(model, SampleOptions(length=300, count=4, temperature=1.0))
    assert all(len(text) == 300 for text in samples)
    assert not set("".join(samples)) - set(RHYME)


def test_words_are_written_as_text() -> None:
    model = random_model(tokenizer=WordTokenizer(["row", "your", "boat"]))
    [text] = write_samples(model, SampleOptions(length=5, beginning="Row your"))
    assert text.startswith("row your ")
    assert len(text.split()) == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beginning": "ROW"}, "the model does not know 'R', 'O', 'W'"),
        ({"length": 100_001}, "length is 100001; it must be between 1 and 100000"),
        ({"count": 51}, "count is 51; it must be between 1 and 50"),
        ({"top_p": 0.0}, "top_p is 0.0; it must be above 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_options_are_refused(model: LanguageModel, options: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        write_samples(model, SampleOptions(**options))  # type: ignore[arg-type]


def test_a_beginning_without_words_is_refused() -> None:
    with pytest.raises(OptionError, match="beginning is '!'; it must have at least one token"):
        write_samples(random_model(tokenizer=WordTokenizer(["row"])), SampleOptions(beginning="!"))


def test_activations_belong_to_the_step_that_read_their_piece(model: LanguageModel) -> None:
    pieces, activations = text_activations(model, "rowX")
    assert pieces == ["r", "o", "w", "X"]
    assert {values.shape for values in activations.values()} == {(4, 10)}
    tokenizer, decoder = model.tokenizer, model.decoder
    memory = decoder.prepare_nothing(1)
    read = torch.tensor([[tokenizer.bos_id, *tokenizer.encode("ro")]])
    with torch.no_grad():
        state = decoder.teacher_force(read, memory, decoder.begin(memory)).state
    for layer, (hidden, cell) in enumerate(state.layers):
        np.testing.assert_allclose(activations[f"language.{layer}.hidden"][1], hidden[0], atol=1e-6)
        np.testing.assert_allclose(activations[f"language.{layer}.cell"][1], cell[0], atol=1e-6)


def test_an_empty_text_has_no_activations(model: LanguageModel) -> None:
    with pytest.raises(OptionError, match="the text has 0 tokens"):
        text_activations(model, "")
