"""Truncated back-propagation through time, and runs that stop and resume."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from captioner.errors import ConfigError
from tests.support.language_models import RHYME, random_model, text_recipe
from tests.support.stopping import stop_after
from training.errors import TrainingError
from training.language.model import LanguageModel, load_language_model
from training.language.recipe import LanguageRecipe
from training.language.task import LanguageTask, set_up_text, text_loss
from training.language.text import TextChunk
from training.runs.distributed import World
from training.runs.run import Run
from training.runs.start import resume, start
from training.runs.state import Progress

pytestmark = pytest.mark.slow
STILL = {"dropout": 0.0}


def read_by_steps(trainer: Run[Any], chunks: list[TextChunk], cut: bool = False) -> list[Tensor]:
    """Return the loss of each chunk, by single steps from the fresh state; cut makes each chunk's start a constant."""
    state, losses = trainer.task.decoder.begin(trainer.task.memory), []
    for chunk in chunks:
        state = state.detach() if cut else state
        logits = []
        for column in chunk.inputs.unbind(1):
            step = trainer.task.decoder.step(column, trainer.task.memory, state)
            state = step.state
            logits.append(step.logits)
        losses.append(F.cross_entropy(torch.stack(logits, dim=2), chunk.targets))
    return losses


def loss_of(trainer: Run[Any], chunk: TextChunk) -> Tensor:
    [loss] = trainer.task.loss(chunk, trainer.progress)
    assert isinstance(loss, Tensor)
    return loss


def gradients(trainer: Run[Any], loss: Tensor) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(trainer.task.decoder.parameters()))])


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_chunk_that_covers_the_text_is_full_back_propagation(tmp_path: Path, cell: str) -> None:
    recipe = text_recipe(tmp_path, decoder={**STILL, "cell": cell}, training={"streams": 1, "chunk": 1000})
    trainer = start(recipe)
    assert trainer.task.epoch_steps == 1
    chunk = trainer.task.batch(trainer.progress)
    assert chunk.targets.numel() == len(trainer.task.bench.streams.chunk(0).targets.flatten())
    [full] = read_by_steps(trainer, [chunk])
    torch.testing.assert_close(
        gradients(trainer, loss_of(trainer, chunk)), gradients(trainer, full), atol=1e-6, rtol=1e-4
    )


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_state_is_carried_and_gradients_stop_at_borders(tmp_path: Path, cell: str) -> None:
    trainer = start(text_recipe(tmp_path, decoder={**STILL, "cell": cell}))
    for parameter in trainer.task.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.4)  # so that the past matters
    chunks = [trainer.task.bench.streams.chunk(position) for position in range(3)]
    losses = [loss_of(trainer, chunk) for chunk in chunks]
    carried = read_by_steps(trainer, chunks)
    torch.testing.assert_close(torch.stack(losses), torch.stack(carried))
    forgetful = read_by_steps(trainer, chunks[2:])[0]
    assert not torch.isclose(losses[2], forgetful, rtol=1e-4)
    cut = read_by_steps(trainer, chunks, cut=True)
    truncated = gradients(trainer, losses[2])
    torch.testing.assert_close(truncated, gradients(trainer, cut[2]), atol=1e-6, rtol=1e-4)
    assert not torch.allclose(truncated, gradients(trainer, carried[2]), atol=1e-4)


def test_logits_of_a_second_chunk_are_those_of_an_unchunked_run(tmp_path: Path) -> None:
    trainer = start(text_recipe(tmp_path, decoder=STILL))
    first, second = (trainer.task.bench.streams.chunk(position) for position in (0, 1))
    decoder, memory = trainer.task.decoder, trainer.task.memory
    with torch.no_grad():
        loss_of(trainer, first)
        chunked = decoder.teacher_force(second.inputs, memory, trainer.task.carried.state).logits
        both = torch.cat([first.inputs, second.inputs], dim=1)
        whole = decoder.teacher_force(both, memory, decoder.begin(memory)).logits
    torch.testing.assert_close(chunked, whole[:, first.inputs.shape[1] :])


def test_the_state_is_fresh_where_the_streams_begin_again(tmp_path: Path) -> None:
    trainer = start(text_recipe(tmp_path, decoder=STILL))
    first, second = (trainer.task.bench.streams.chunk(position) for position in (0, 1))
    fresh = loss_of(trainer, first)
    assert torch.equal(loss_of(trainer, first), fresh)
    assert not torch.equal(loss_of(trainer, second), loss_of(trainer, second))  # while here each has another past


def test_a_rhyme_is_learnt(tmp_path: Path) -> None:
    training = {"epochs": 60, "learning_rate": 0.03, "chunk": 20, "patience": 60}
    decoder = {**STILL, "layers": 1, "hidden_size": 24}
    trainer = start(text_recipe(tmp_path, decoder=decoder, training=training, samples={"beginning": "row "}))
    assert trainer.run()
    losses = [entry["validation_loss"] for entry in trainer.progress.history]
    assert losses[0] > 2
    assert losses[-1] < 0.3  # the held-out part starts in the middle of a word
    assert trainer.progress.samples[-1] in 3 * RHYME


@pytest.mark.parametrize(("cell", "steps"), [("lstm", 2), ("gru", 5), ("lstm", 7)])
def test_stopped_and_resumed_equals_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str, steps: int
) -> None:
    recipe = text_recipe(tmp_path, decoder={"cell": cell})
    straight = start(replace(recipe, runs=str(tmp_path / "straight")))
    assert straight.task.epoch_steps == 5
    assert straight.run()
    stopped = start(recipe)
    stop_after(stopped, steps, monkeypatch)
    assert not stopped.run()
    torch.manual_seed(99)  # whatever random numbers others drew
    resumed = resume(recipe.run_dir, LanguageRecipe)
    assert resumed.progress.epoch * 5 + resumed.progress.position == steps
    assert resumed.run()
    assert resumed.progress == straight.progress
    for name, module in straight.task.modules.items():
        for key, value in module.state_dict().items():
            assert torch.equal(resumed.task.modules[name].state_dict()[key], value), (name, key)
    for file in ("samples.txt", "history.json"):
        assert (resumed.folder / file).read_bytes() == (straight.folder / file).read_bytes(), file
    best, same = (load_language_model(trainer.best_file) for trainer in (straight, resumed))
    assert best.provenance == same.provenance
    for key, value in best.decoder.state_dict().items():
        assert torch.equal(same.decoder.state_dict()[key], value), key


def test_a_killed_run_goes_on_from_its_last_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = text_recipe(tmp_path, training={"save_minutes": 0.0})  # save after every chunk
    straight = start(replace(recipe, runs=str(tmp_path / "straight")))
    straight.run()
    killed = start(recipe)
    learn = killed.step

    def step(batch: TextChunk) -> float:
        if killed.progress.epoch == 1 and killed.progress.position == 3:
            raise MemoryError
        return learn(batch)

    monkeypatch.setattr(killed, "step", step)
    with pytest.raises(MemoryError):
        killed.run()
    resumed = resume(recipe.run_dir, LanguageRecipe)
    resumed.run()
    assert resumed.progress == straight.progress


def test_the_best_epoch_is_kept_and_explains_itself(tmp_path: Path) -> None:
    trainer = start(text_recipe(tmp_path))
    trainer.run()
    losses = [entry["validation_loss"] for entry in trainer.progress.history]
    provenance = load_language_model(trainer.best_file).provenance
    assert provenance["epoch"] == losses.index(min(losses)) + 1
    assert provenance["validation"]["validation_loss"] == min(losses)
    assert provenance["data"]["tokens"] == len(trainer.task.bench.streams.chunk(0).targets) * 110 + 1
    assert str(tmp_path) not in str(provenance)
    assert provenance["recipe"]["decoder"]["hidden_size"] == 10


def test_samples_are_written_after_every_epoch(tmp_path: Path) -> None:
    trainer = start(text_recipe(tmp_path, samples={"count": 2, "beginning": "row"}))
    trainer.run()
    pages = (trainer.folder / "samples.txt").read_text().split("=== epoch ")[1:]
    assert len(pages) == 3
    for number, page in enumerate(pages, start=1):
        title, _, samples = page.partition(" ===\n")
        assert title == f"{number}, validation loss {trainer.progress.history[number - 1]['validation_loss']:.4f}"
        assert samples.startswith("row")
        assert "\n\nrow" in samples


def test_it_computes_on_the_device_of_its_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On "meta", which every machine has: tensors without values, that cannot meet those of another device."""
    recipe, world = text_recipe(tmp_path), World(device=torch.device("meta"))
    task = LanguageTask(recipe, set_up_text(recipe), world)
    monkeypatch.setattr("training.language.task.autocast", lambda *_: nullcontext())
    for position in (0, 1):
        [loss] = task.loss(task.batch(Progress(position)), Progress(position))
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.device == world.device
    assert {p.grad.device for p in task.decoder.parameters() if p.grad is not None} == {world.device}
    assert {buffer.device for buffer in task.carried.buffers()} == {world.device}


def test_a_text_is_validated_on_the_device_of_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model()
    seen: list[torch.Tensor] = []

    def noted(logits: torch.Tensor, targets: torch.Tensor, *_: object, **__: object) -> float:
        seen.extend((logits, targets))
        return 1.0

    monkeypatch.setattr("training.language.task.cross_entropy", noted)
    text_loss(LanguageModel(model.decoder.to("meta"), model.tokenizer), torch.tensor([4, 5, 6, 7]))
    assert [tensor.device.type for tensor in seen] == ["meta", "meta"]


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    start(text_recipe(tmp_path))
    with pytest.raises(TrainingError, match="already holds a run; go on with --resume"):
        start(text_recipe(tmp_path))


def test_a_loss_that_is_no_number_names_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = start(text_recipe(tmp_path))
    monkeypatch.setattr(trainer.task, "loss", lambda *_: [torch.tensor(float("nan"), requires_grad=True)])
    with pytest.raises(TrainingError, match=r"nan in epoch 1, batch 1 \(tokens 1 to 25 of each stream\)"):
        trainer.run()


def test_another_kind_of_run_cannot_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"name": "x", "data": {}}')
    with pytest.raises(ConfigError, match="this is a recipe of fit, since it has data"):
        resume(tmp_path, LanguageRecipe)
    with pytest.raises(TrainingError, match="holds no run that can be resumed"):
        resume(tmp_path / "nowhere", LanguageRecipe)
