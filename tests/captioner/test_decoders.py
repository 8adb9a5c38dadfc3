"""What every decoder promises, for every registered name."""

from typing import Any

import pytest
import torch

from captioner.cells import lstm_update
from captioner.config import DecoderConfig
from captioner.decoders import DECODERS, Decoder
from captioner.decoders.top_down import TopDownDecoder
from captioner.types import Features

V, P, D, ROWS, COLS = 11, 6, 5, 2, 3
CONFIG = DecoderConfig(embedding_size=7, hidden_size=8, attention_size=9, dropout=0.3)


@pytest.fixture(params=list(DECODERS))
def decoder(request: pytest.FixtureRequest) -> Decoder[Any, Any]:
    torch.manual_seed(0)
    built = DECODERS[request.param](CONFIG, P, D, V).eval()
    for parameter in built.parameters():  # larger weights than fresh ones, so that differences show
        torch.nn.init.normal_(parameter, std=0.5)
    return built


def features(batch: int) -> Features:
    generator = torch.Generator().manual_seed(1)
    grid = torch.randn(batch, ROWS * COLS, D, generator=generator)
    return Features(torch.randn(batch, P, generator=generator), grid, ROWS, COLS)


def tokens(rows: int, length: int) -> torch.Tensor:
    return torch.randint(V, (rows, length), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("rows_per_image", [1, 3])
def test_stepping_equals_teacher_forcing(decoder: Decoder[Any, Any], rows_per_image: int) -> None:
    memory = decoder.prepare(features(2))
    read = tokens(2 * rows_per_image, 5)
    logits, attention = decoder.teacher_force(read, memory)
    state = decoder.begin(memory, rows_per_image)
    for t in range(5):
        step = decoder.step(read[:, t], memory, state)
        torch.testing.assert_close(step.logits, logits[:, t])
        if attention is not None:
            torch.testing.assert_close(step.attention, attention[:, t])
        state = step.state


def test_attention_rows_sum_to_one(decoder: Decoder[Any, Any]) -> None:
    _, attention = decoder.teacher_force(tokens(4, 5), decoder.prepare(features(2)))
    if attention is not None:
        assert attention.shape == (4, 5, ROWS * COLS)
        assert bool((attention >= 0).all())
        torch.testing.assert_close(attention.sum(dim=2), torch.ones(4, 5))


def test_rows_of_an_image_share_its_memory(decoder: Decoder[Any, Any]) -> None:
    both = features(2)
    grouped, _ = decoder.teacher_force(tokens(6, 4), decoder.prepare(both))
    copied = Features(both.vector.repeat_interleave(3, 0), both.grid.repeat_interleave(3, 0), ROWS, COLS)
    single, _ = decoder.teacher_force(tokens(6, 4), decoder.prepare(copied))
    torch.testing.assert_close(grouped, single)


def test_selecting_rows_selects_their_future(decoder: Decoder[Any, Any]) -> None:
    memory = decoder.prepare(features(1))
    state = decoder.step(tokens(3, 1)[:, 0], memory, decoder.begin(memory, 3)).state
    rows = torch.tensor([2, 0, 0])
    following = tokens(3, 1)[:, 0]
    after = decoder.step(following, memory, state)
    selected = decoder.step(following[rows], memory, state.select(rows))
    torch.testing.assert_close(selected.logits, after.logits[rows])


def test_the_image_matters(decoder: Decoder[Any, Any]) -> None:
    logits, _ = decoder.teacher_force(tokens(1, 3).repeat(2, 1), decoder.prepare(features(2)))
    assert not torch.allclose(logits[0], logits[1])


def test_every_weight_gets_a_gradient(decoder: Decoder[Any, Any]) -> None:
    logits, _ = decoder.teacher_force(tokens(4, 5), decoder.prepare(features(2)))
    (logits**2).sum().backward()  # type: ignore[no-untyped-call]
    silent = [name for name, p in decoder.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert silent == []


def test_top_down_equals_torch_lstm_cells() -> None:
    torch.manual_seed(3)
    decoder = TopDownDecoder(CONFIG, P, D, V).eval()
    n, e = CONFIG.hidden_size, CONFIG.embedding_size
    attending, speaking = torch.nn.LSTMCell(n + n + e, n), torch.nn.LSTMCell(n + n, n)
    recurrent = decoder.attention_recurrent.weight  # reads language hidden, then attention hidden
    with torch.no_grad():
        attending.weight_ih.copy_(
            torch.cat([recurrent[:, :n], decoder.attention_image.weight, decoder.attention_word.weight], dim=1)
        )
        attending.weight_hh.copy_(recurrent[:, n:])
        attending.bias_ih.copy_(decoder.attention_word.bias)
        attending.bias_hh.zero_()
        speaking.weight_ih.copy_(decoder.language.weight[:, : 2 * n])
        speaking.weight_hh.copy_(decoder.language.weight[:, 2 * n :])
        speaking.bias_ih.copy_(decoder.language.bias)
        speaking.bias_hh.zero_()
    seen = features(2)
    vector = torch.relu(decoder.project_vector(seen.vector))
    grid = torch.relu(decoder.project_grid(seen.grid))
    h1 = c1 = h2 = c2 = torch.zeros(2, n)
    read = tokens(2, 4)
    logits, weights = decoder.teacher_force(read, decoder.prepare(seen))
    assert weights is not None
    for t in range(4):
        h1, c1 = attending(torch.cat([h2, vector, decoder.embedding(read[:, t])], dim=1), (h1, c1))
        hidden = torch.tanh(decoder.attention.key(grid) + decoder.attention.query(h1)[:, None])
        alpha = decoder.attention.score(hidden).squeeze(2).softmax(dim=1)
        context = (alpha[:, :, None] * grid).sum(dim=1)
        h2, c2 = speaking(torch.cat([context, h1], dim=1), (h2, c2))
        torch.testing.assert_close(weights[:, t], alpha)
        torch.testing.assert_close(logits[:, t], decoder.output(h2))


def test_lstm_update_equals_torch() -> None:
    torch.manual_seed(4)
    cell = torch.nn.LSTMCell(3, 5)
    x, h, c = torch.randn(2, 3), torch.randn(2, 5), torch.randn(2, 5)
    gates = x @ cell.weight_ih.t() + cell.bias_ih + h @ cell.weight_hh.t() + cell.bias_hh
    for ours, theirs in zip(lstm_update(gates, c), cell(x, (h, c)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_forget_gates_start_open() -> None:
    decoder = TopDownDecoder(CONFIG, P, D, V)
    n = CONFIG.hidden_size
    for gates in (decoder.attention_word, decoder.language):
        expected = torch.zeros(4 * n)
        expected[n : 2 * n] = 1
        assert torch.equal(gates.bias, expected)
