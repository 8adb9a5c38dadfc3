"""What every decoder promises, for every registered name with every cell and every way to condition."""

import itertools
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from captioner.cells import CELLS
from captioner.config import DecoderConfig, EncoderConfig, ImageConfig, ModelConfig
from captioner.decoders import DECODERS, ConditionedDecoder, Decoder, SoftAttentionDecoder, TopDownDecoder
from captioner.encoders import ENCODERS
from captioner.errors import ConfigError
from captioner.model import CaptionModel
from captioner.types import DecoderRun, Features

V, P, D, ROWS, COLS = 11, 6, 5, 2, 3
E, N, A = 7, 8, 9
CONDITIONS = ("every_step", "initial_state", "first_input")
FAMILY = list(itertools.product(DECODERS, CELLS, CONDITIONS))


def build(name: str, **options: Any) -> Decoder[Any, Any]:
    torch.manual_seed(0)
    config = DecoderConfig(name, embedding_size=E, hidden_size=N, attention_size=A, dropout=0.3, **options)
    built = DECODERS[name](config, P, D, V).eval()
    for parameter in built.parameters():  # larger weights than fresh ones, so that differences show
        torch.nn.init.normal_(parameter, std=0.5)
    return built


@pytest.fixture(params=FAMILY, ids="-".join)
def decoder(request: pytest.FixtureRequest) -> Decoder[Any, Any]:
    name, cell, condition = request.param
    return build(name, cell=cell, condition=condition, layers=2, residual=True)


def features(batch: int) -> Features:
    generator = torch.Generator().manual_seed(1)
    grid = torch.randn(batch, ROWS * COLS, D, generator=generator)
    return Features(torch.randn(batch, P, generator=generator), grid, ROWS, COLS)


def tokens(rows: int, length: int) -> Tensor:
    return torch.randint(V, (rows, length), generator=torch.Generator().manual_seed(2))


def force(decoder: Decoder[Any, Any], read: Tensor, seen: Features) -> DecoderRun[Any]:
    memory = decoder.prepare(seen)
    return decoder.teacher_force(read, memory, decoder.begin(memory, len(read) // len(seen.vector)))


def grid_of(seen: Features) -> Tensor:
    return cast("Tensor", seen.grid)


@pytest.mark.parametrize("rows_per_image", [1, 3])
def test_stepping_equals_teacher_forcing(decoder: Decoder[Any, Any], rows_per_image: int) -> None:
    memory = decoder.prepare(features(2))
    read = tokens(2 * rows_per_image, 5)
    run = decoder.teacher_force(read, memory, decoder.begin(memory, rows_per_image))
    state = decoder.begin(memory, rows_per_image)
    for t in range(5):
        step = decoder.step(read[:, t], memory, state)
        torch.testing.assert_close(step.logits, run.logits[:, t])
        assert (step.attention is None) == (run.attention is None) == (not decoder.attends)
        if run.attention is not None:
            torch.testing.assert_close(step.attention, run.attention[:, t])
        state = step.state


def test_a_run_goes_on_where_another_stopped(decoder: Decoder[Any, Any]) -> None:
    memory, read = decoder.prepare(features(2)), tokens(2, 6)
    whole = decoder.teacher_force(read, memory, decoder.begin(memory))
    first = decoder.teacher_force(read[:, :4], memory, decoder.begin(memory))
    second = decoder.teacher_force(read[:, 4:], memory, first.state.detach())
    torch.testing.assert_close(torch.cat([first.logits, second.logits], dim=1), whole.logits)


def test_attention_rows_sum_to_one(decoder: Decoder[Any, Any]) -> None:
    attention = force(decoder, tokens(4, 5), features(2)).attention
    assert (attention is not None) == decoder.attends
    if attention is not None:
        assert attention.shape == (4, 5, ROWS * COLS)
        assert bool((attention >= 0).all())
        torch.testing.assert_close(attention.sum(dim=2), torch.ones(4, 5))


def test_rows_of_an_image_share_its_memory(decoder: Decoder[Any, Any]) -> None:
    both = features(2)
    copied = Features(both.vector.repeat_interleave(3, 0), grid_of(both).repeat_interleave(3, 0), ROWS, COLS)
    torch.testing.assert_close(force(decoder, tokens(6, 4), both).logits, force(decoder, tokens(6, 4), copied).logits)


def test_selecting_rows_selects_their_future(decoder: Decoder[Any, Any]) -> None:
    memory = decoder.prepare(features(1))
    state = decoder.step(tokens(3, 1)[:, 0], memory, decoder.begin(memory, 3)).state
    rows = torch.tensor([2, 0, 0])
    following = tokens(3, 1)[:, 0]
    after = decoder.step(following, memory, state)
    selected = decoder.step(following[rows], memory, state.select(rows))
    torch.testing.assert_close(selected.logits, after.logits[rows])


def test_the_image_matters(decoder: Decoder[Any, Any]) -> None:
    logits = force(decoder, tokens(1, 3).repeat(2, 1), features(2)).logits
    assert not torch.allclose(logits[0], logits[1])


def test_every_weight_gets_a_gradient(decoder: Decoder[Any, Any]) -> None:
    force(decoder, tokens(4, 5), features(2)).logits.square().sum().backward()  # type: ignore[no-untyped-call]
    silent = [name for name, p in decoder.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert silent == []


def test_inspecting_shows_every_cell_at_every_step(decoder: Decoder[Any, Any]) -> None:
    memory, read = decoder.prepare(features(2)), tokens(4, 5)
    inside = decoder.inspect(read, memory, decoder.begin(memory, 2))
    units = {"rnn": 1, "gru": 4, "lstm": 6}[decoder.config.cell]
    assert len(inside) == units * (3 if isinstance(decoder, TopDownDecoder) else 2)
    assert {values.shape for values in inside.values()} == {(4, 5, N)}
    state = decoder.begin(memory, 2)
    for t in range(5):
        state = decoder.step(read[:, t], memory, state).state
        language = state.language if isinstance(decoder, TopDownDecoder) else state
        torch.testing.assert_close(inside["language.1.hidden"][:, t], language.hidden)
    assert not any(module._forward_pre_hooks for module in decoder.modules())


@pytest.mark.parametrize("cell", list(CELLS))
def test_without_an_image_conditioned_is_a_language_model(cell: str) -> None:
    decoder = cast("ConditionedDecoder", build("conditioned", cell=cell, layers=2))
    read, nothing = tokens(3, 5), decoder.prepare_nothing(3)
    found = decoder.teacher_force(read, nothing, decoder.begin(nothing)).logits
    fresh = decoder.language.bottom.initial(3)
    hidden, _ = decoder.language.bottom.run(decoder.embedding(read), fresh)
    second, _ = decoder.language.layers[1].run(hidden, fresh)
    torch.testing.assert_close(found, decoder.output(second))


def test_conditioned_rnn_equals_the_lectures_equation() -> None:
    """h = tanh(W_xh x + W_hh h + W_ih v), with x the embedded word and v the projected image vector."""
    decoder = build("conditioned", cell="rnn")
    weights = {name: parameter.detach().numpy() for name, parameter in decoder.named_parameters()}
    seen, read = features(2), tokens(2, 4)
    projected = seen.vector.numpy() @ weights["project_vector.weight"].T + weights["project_vector.bias"]
    image = np.maximum(projected, 0) @ weights["language.cells.0.image.weight"].T
    hidden = np.zeros((2, N))
    logits = force(decoder, read, seen).logits.detach().numpy()
    for t in range(4):
        word = weights["embedding.weight"][read[:, t].numpy()] @ weights["language.cells.0.input.weight"].T
        past = hidden @ weights["language.cells.0.recurrent.weight"].T
        hidden = np.tanh(word + weights["language.cells.0.input.bias"] + past + image)
        expected = hidden @ weights["output.weight"].T + weights["output.bias"]
        np.testing.assert_allclose(logits[:, t], expected, rtol=1e-4, atol=1e-5)


def lstm_cell(cell: Any, *extra: Tensor) -> torch.nn.LSTMCell:
    """Return torch's cell with the weights of ours; the extra ones read what is appended to the input."""
    matrices = [cell.input.weight, *extra]
    theirs = torch.nn.LSTMCell(sum(matrix.shape[1] for matrix in matrices), N)
    with torch.no_grad():
        theirs.weight_ih.copy_(torch.cat(matrices, dim=1))
        theirs.weight_hh.copy_(cell.recurrent.weight)
        theirs.bias_ih.copy_(cell.input.bias)
        theirs.bias_hh.zero_()
    return theirs


def attend(decoder: Any, hidden: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Bahdanau's attention, written out."""
    layer = torch.tanh(decoder.attention.key(grid) + decoder.attention.query(hidden)[:, None])
    weights = decoder.attention.score(layer).squeeze(2).softmax(dim=1)
    return weights, (weights[:, :, None] * grid).sum(dim=1)


def test_soft_attention_equals_the_papers_equations() -> None:
    decoder = cast("SoftAttentionDecoder", build("soft_attention", condition="initial_state"))
    cell = lstm_cell(decoder.language.bottom, decoder.context.weight)
    seen, read = features(2), tokens(2, 4)
    assert decoder.language.initial is not None
    start = torch.tanh(decoder.language.initial(torch.relu(decoder.project_vector(seen.vector))))
    h, c = start[:, :N], start[:, N:]
    run = force(decoder, read, seen)
    assert run.attention is not None
    for t in range(4):
        weights, context = attend(decoder, h, grid_of(seen))
        z = torch.sigmoid(decoder.gate(h)) * context
        word = decoder.embedding(read[:, t])
        h, c = cell(torch.cat([word, z], dim=1), (h, c))
        deep = word + decoder.output_hidden(h) + decoder.output_context(z)
        torch.testing.assert_close(run.attention[:, t], weights)
        torch.testing.assert_close(run.logits[:, t], decoder.output(deep))


def test_top_down_equals_torch_lstm_cells() -> None:
    decoder = cast("TopDownDecoder", build("top_down"))
    assert decoder.looking.bottom.image is not None
    looking = lstm_cell(decoder.looking.bottom, decoder.looking.bottom.image.weight, decoder.feedback.weight)
    language = lstm_cell(decoder.language.bottom)
    seen, read = features(2), tokens(2, 4)
    vector = torch.relu(decoder.project_vector(seen.vector))
    grid = torch.relu(decoder.project_grid(grid_of(seen)))
    h1 = c1 = h2 = c2 = torch.zeros(2, N)
    run = force(decoder, read, seen)
    assert run.attention is not None
    for t in range(4):
        h1, c1 = looking(torch.cat([decoder.embedding(read[:, t]), vector, h2], dim=1), (h1, c1))
        weights, context = attend(decoder, h1, grid)
        h2, c2 = language(torch.cat([context, h1], dim=1), (h2, c2))
        torch.testing.assert_close(run.attention[:, t], weights)
        torch.testing.assert_close(run.logits[:, t], decoder.output(h2))


@pytest.mark.parametrize("name", list(DECODERS))
def test_a_decoder_that_attends_needs_a_grid(name: str) -> None:
    encoder = EncoderConfig("tiny", outputs="vector")
    config = ModelConfig(ImageConfig(64), encoder, DecoderConfig(name, hidden_size=N))
    if not DECODERS[name].attends:
        model = CaptionModel(config, V)
        seen = model(torch.zeros(2, 3, 64, 64))
        assert force(model.decoder, tokens(2, 3), seen).logits.shape == (2, 3, V)
        return
    with pytest.raises(ConfigError, match=f"{name} attends over a grid") as error:
        CaptionModel(config, V)
    for encoder_name in ENCODERS:
        assert encoder_name in str(error.value)
