"""Reading no further than captions go, against reading everything to its end."""

from typing import Any

import pytest
import torch

from captioner.config import DecoderConfig
from captioner.decoders import DECODERS
from captioner.types import DecoderRun, Features
from training.captioning.teacher_forcing import force_captions

V, P, D, STEPS = 11, 5, 4, 7
LENGTHS = {
    "longest first": [[7, 4, 2], [5, 5, 1]],
    "in any order": [[2, 7, 3], [1, 4, 6]],
    "all the same": [[7, 7, 7], [7, 7, 7]],
    "all short": [[3, 1, 1], [2, 2, 1]],
    "one each": [[4], [7]],
}


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("name", list(DECODERS))
def test_what_matters_is_what_teacher_forcing_gives(name: str, lengths: list[list[int]]) -> None:
    torch.manual_seed(0)
    config = DecoderConfig(name, embedding_size=6, hidden_size=7, attention_size=5, dropout=0.0)
    decoder = DECODERS[name](config, P, D, V).double()
    images, columns = len(lengths), len(lengths[0])
    memory = decoder.prepare(Features(torch.randn(images, P).double(), torch.randn(images, 4, D).double(), 2, 2))
    tokens = torch.randint(V, (images * columns, STEPS))
    matters = torch.arange(STEPS) < torch.tensor(lengths).flatten()[:, None]  # [R, T]

    whole = decoder.teacher_force(tokens, memory, decoder.begin(memory, columns))
    found = force_captions(decoder, tokens, torch.tensor(lengths), memory)
    torch.testing.assert_close(found.logits[matters], whole.logits[matters])
    assert found.logits.shape == whole.logits.shape
    assert (found.attention is None) == (whole.attention is None)
    if found.attention is not None and whole.attention is not None:
        torch.testing.assert_close(found.attention[matters], whole.attention[matters])

    target = torch.randn(V).double()
    gradients = [
        torch.autograd.grad((run.logits[matters] @ target).sum(), list(decoder.parameters()), retain_graph=True)
        for run in (whole, force_captions(decoder, tokens, torch.tensor(lengths), memory))
    ]
    for expected, own in zip(*gradients, strict=True):
        torch.testing.assert_close(own, expected)


def test_captions_that_have_ended_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = DECODERS["top_down"](DecoderConfig(embedding_size=6, hidden_size=7, attention_size=5), P, D, V)
    memory = decoder.prepare(Features(torch.randn(2, P), torch.randn(2, 4, D), 2, 2))
    shapes, teach = [], decoder.teacher_force

    def noted(tokens: torch.Tensor, *others: Any) -> DecoderRun[Any]:
        shapes.append(tuple(tokens.shape))
        return teach(tokens, *others)

    monkeypatch.setattr(decoder, "teacher_force", noted)
    force_captions(decoder, torch.zeros(6, STEPS, dtype=torch.long), torch.tensor(LENGTHS["longest first"]), memory)
    assert shapes == [(6, 2), (4, 3), (2, 2)]
