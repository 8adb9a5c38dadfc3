"""Several processes learn what one would, and outlive the death of one of them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from captioner.config import to_dict
from training.phase import PhaseRecipe
from training.recipe import Recipe
from training.runs.distributed import World
from training.runs.start import resume, start

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run")
ONE_NODE = ("--standalone", "--nproc-per-node=2")


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(inner)}" for name, inner in value.items() if inner is not None) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def deterministic(recipe: Recipe, *phases: PhaseRecipe, **training: Any) -> Recipe:
    """Return the recipe without dropout, whose random numbers differ between processes, and in full precision."""
    decoder = replace(recipe.model.decoder, dropout=0.0)
    learning = replace(recipe.training, phases=phases, precision="float32", **training)
    return replace(recipe, model=replace(recipe.model, decoder=decoder), training=learning)


class Launch:
    """Processes that train by a recipe; what they print goes to a file, since nobody empties a pipe meanwhile.

    Args:
        recipe: What to do.
        flags: Of torchrun.
        nodes: Of torchrun, too: which processes there are; two on one node if nothing else is said.
        program: What each process runs; its arguments follow.
    """

    def __init__(
        self,
        recipe: Recipe,
        *flags: str,
        nodes: Sequence[str] = ONE_NODE,
        program: Sequence[str] = ("-m", "training"),
    ) -> None:
        folder = Path(recipe.runs).parent
        values = {name: value for name, value in to_dict(recipe).items() if value is not None}
        file, self.log = folder / "recipe.toml", folder / f"log{abs(hash(tuple(nodes)))}.txt"
        file.write_text("\n".join(f"{name} = {toml(value)}" for name, value in values.items()))
        command = [*TORCHRUN, *nodes, *flags, *program, "fit", "--recipe", str(file)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1" if nodes != ONE_NODE else "0"
        with self.log.open("w") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)

    def finish(self) -> None:
        try:
            status = self.process.wait(timeout=300)  # minutes where other programs use the machine too
        finally:
            self.process.kill()
        assert status == 0, self.log.read_text()[-4000:]

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid:
                found.append(int(stat.parent.name))
        return found

    def wait_for(self, file: Path) -> None:
        """Wait until a file is there."""
        deadline = time.monotonic() + 300  # minutes where other programs use the machine too
        while not file.exists():
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            time.sleep(0.02)


def weights(recipe: Recipe) -> dict[str, torch.Tensor]:
    state = load_file(recipe.run_dir / "run_state.safetensors")
    return {name: value for name, value in state.items() if not name.startswith("random.")}


def assert_close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        gap = (ours[name] - value).abs().max()
        torch.testing.assert_close(ours[name], value, atol=1e-4, rtol=1e-3, msg=f"{name} differs by {float(gap)}")


TEACH = PhaseRecipe(epochs=1, learning_rate=0.01, attention_penalty=0.3)


SAMPLE = PhaseRecipe(
    epochs=1, learning_rate=1e-3, cross_entropy=0.5, scheduled_sampling=1.0, self_critical=1.0, samples=3
)


@pytest.mark.parametrize("phase", [TEACH, SAMPLE])
def test_two_processes_learn_what_one_does(recipe: Recipe, phase: PhaseRecipe) -> None:
    """14 photos in batches of 4: the last batch has two photos, one for each process."""
    together = deterministic(replace(recipe, name="together"), phase, average=0.8)
    Launch(together).finish()
    alone = deterministic(replace(recipe, name="alone"), phase, average=0.8)
    trainer = start(alone)
    trainer.run()
    assert_close(weights(together), weights(alone))
    history = json.loads((together.run_dir / "history.json").read_text())
    assert history[0] == pytest.approx(trainer.progress.history[0], rel=1e-3)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_a_batch_in_parts_teaches_what_a_whole_one_does(recipe: Recipe, accumulate: int) -> None:
    whole = deterministic(replace(recipe, name="whole"), TEACH)
    parts = deterministic(replace(recipe, name="parts"), TEACH, accumulate=accumulate)
    for each in (whole, parts):
        start(each).run()
    assert_close(weights(parts), weights(whole))


def worth(images: Sequence[int], captions: Sequence[Sequence[str]], *_: float) -> list[float]:
    """Reward captions that have little in common with people's."""
    return [image % 3 + len(set("".join(words))) / 5 for image, words in zip(images, captions, strict=True)]


@pytest.mark.parametrize(
    "phase",
    [
        SAMPLE,
        replace(SAMPLE, cross_entropy=0.0, scheduled_sampling=0.0, sampling="beam"),
        replace(SAMPLE, baseline="greedy", attention_penalty=0.3),
    ],
    ids=["random", "beam", "greedy"],
)
def test_parts_of_any_number_of_processes_add_up(
    recipe: Recipe, phase: PhaseRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients are equal, whatever is drawn: also where there are fewer photos than parts."""
    trainer = start(deterministic(recipe, phase))
    trainer.task.enter(trainer.progress)
    monkeypatch.setattr(trainer.task.caption_loss, "reward", worth)
    trainer.progress.phase_epoch = 1  # at the end, where the decoder reads nothing but its own words
    for parameter in trainer.task.model.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # so that captions have many lengths

    def gradient(position: int, accumulate: int, size: int) -> torch.Tensor:
        trainer.progress.position = position
        trainer.task.recipe = replace(recipe, training=replace(trainer.task.recipe.training, accumulate=accumulate))
        trainer.task.model.zero_grad()
        for rank in range(size):
            trainer.task.world = World(rank, size)
            for loss in trainer.task.loss(trainer.task.batch(trainer.progress), trainer.progress):
                loss.backward()
        return torch.cat([p.grad.flatten() for p in trainer.task.model.decoder.parameters() if p.grad is not None])

    for position in (0, 3):  # of four photos and of two
        whole = gradient(position, 1, 1)
        assert float(whole.norm()) > 1e-3
        for accumulate, size in ((2, 1), (3, 1), (1, 2), (1, 3), (2, 2)):
            torch.testing.assert_close(gradient(position, accumulate, size), whole, atol=1e-5, rtol=1e-3)


def test_a_process_without_photos_says_nothing(recipe: Recipe) -> None:
    """One photo left for the second of two processes' turn: its part has no weight."""
    recipe = deterministic(recipe, TEACH, images_per_batch=13)
    trainer = start(recipe)
    trainer.task.enter(trainer.progress)
    trainer.progress.position = 1  # where one photo is left
    trainer.task.world = World(rank=1, size=2)
    [idle] = trainer.task.batch(trainer.progress)
    assert (idle.image_share, idle.word_share) == (0.0, 0.0)
    assert float(trainer.task.caption_loss(idle, TEACH, 0.0).detach()) == 0.0


def test_a_killed_worker_is_restarted(recipe: Recipe) -> None:
    """The run goes on from its last saved state, and ends where an undisturbed one does."""
    phase = replace(TEACH, epochs=8, learning_rate=1e-3)
    disturbed = deterministic(replace(recipe, name="disturbed"), phase, save_minutes=0.0, patience=20)
    launch = Launch(disturbed, "--max-restarts=2", "--monitor-interval=0.1")
    launch.wait_for(disturbed.run_dir / "history.json")
    os.kill(launch.workers()[-1], signal.SIGKILL)
    launch.finish()
    undisturbed = deterministic(replace(recipe, name="undisturbed"), phase, patience=20)
    start(undisturbed).run()
    history = json.loads((disturbed.run_dir / "history.json").read_text())
    assert len(history) == 8
    assert_close(weights(disturbed), weights(undisturbed))


def launch_nodes(recipe: Recipe, *flags: str) -> list[Launch]:
    """Launch two nodes of one process each, that meet over the network as two machines do."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        meeting = f"--rdzv-endpoint=127.0.0.1:{found.getsockname()[1]}"
    common = ("--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", meeting, "--local-addr=127.0.0.1")
    roles = [f"--rdzv-conf=is_host={is_host}" for is_host in ("true", "false")]
    return [Launch(recipe, *flags, nodes=(*common, role)) for role in roles]


def test_two_nodes_learn_what_one_process_does(recipe: Recipe) -> None:
    together = deterministic(replace(recipe, name="together"), TEACH)
    for node in launch_nodes(together):
        node.finish()
    alone = deterministic(replace(recipe, name="alone"), TEACH)
    start(alone).run()
    assert_close(weights(together), weights(alone))


def test_both_nodes_go_on_when_a_process_of_one_was_killed(recipe: Recipe) -> None:
    phase = replace(TEACH, epochs=8, learning_rate=1e-3)
    disturbed = deterministic(replace(recipe, name="disturbed"), phase, save_minutes=0.0, patience=20)
    first, second = launch_nodes(disturbed, "--max-restarts=2", "--monitor-interval=0.1")
    first.wait_for(disturbed.run_dir / "history.json")
    os.kill(second.workers()[-1], signal.SIGKILL)
    first.finish()
    second.finish()
    undisturbed = deterministic(replace(recipe, name="undisturbed"), phase, patience=20)
    start(undisturbed).run()
    assert len(json.loads((disturbed.run_dir / "history.json").read_text())) == 8
    assert_close(weights(disturbed), weights(undisturbed))


STOPPED_ALONE = """
import os, signal, sys
from training.__main__ import main
from training.captioning.task import CaptionTask

validate = CaptionTask.validate

def stopped(task, progress, board):
    if task.world.rank == 1 and progress.epoch == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    return validate(task, progress, board)

CaptionTask.validate = stopped
status = main(sys.argv[1:])
sys.exit(0 if status == 130 else 1)  # stopped
"""


def test_a_signal_to_one_process_at_an_epochs_end_stops_all(recipe: Recipe, tmp_path: Path) -> None:
    """The other would go on alone, and wait for ever for what the first has to say."""
    recipe = deterministic(recipe, replace(TEACH, epochs=3))
    script = tmp_path / "stopped_alone.py"
    script.write_text(STOPPED_ALONE)
    Launch(recipe, program=[str(script)]).finish()
    resumed = resume(recipe.run_dir)
    assert (resumed.progress.epoch, resumed.progress.position) == (1, 0)


def test_worlds_take_apart_and_merge() -> None:
    items: Sequence[int] = range(7)
    parts = [World(rank, 3).part(items) for rank in range(3)]
    assert World(0, 3).merge(parts) == list(items)
    assert World().gather("x") == ["x"]
    assert World().sums(1, 2.5) == [1, 2.5]
