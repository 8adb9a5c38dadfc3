"""Commands as whoever types them meets them: they end cleanly, refuse early, and say what they do."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from captioner.__main__ import main as caption_main
from captioner.checkpoint import load_checkpoint
from captioner.errors import CheckpointError, ConfigError
from captioner.predictor import CaptionPredictor
from tests.support.language_models import random_model
from training.__main__ import COMMANDS, main
from training.initial.pretrained import pretrained_weights
from training.language.model import load_language_model, save_language_model
from training.recipe import Recipe
from training.runs.start import start

DATA = ["--annotations", "captions.json", "--images", "photos"]


def module(command: str) -> ModuleType:
    return import_module(f"training.commands.{command.replace('-', '_')}")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_ctrl_c_ends_every_command_without_a_traceback(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupted(_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(module(name), "run", interrupted)
    out = str(tmp_path / "out.png")
    needed: dict[str, list[str]] = {
        **{command: ["--recipe", "x.toml"] for command in ("all", "fit", "fit-concepts", "fit-text", "check")},
        "fit-answers": ["--recipe", "x.toml"],
        "grow": ["--corrections", "kept", "--out", out],
        "make-questions": [*DATA, "--questions", str(tmp_path / "q.json"), "--answers", str(tmp_path / "a.json")],
        "evaluate-answers": ["--questions", "q.json", "--answers", "a.json", "--images", "photos"],
        "prepare": ["coco", "--year", "2014", "--root", str(tmp_path)],
        "evaluate": DATA,
        "caption": ["--list", "x.json", "--images", "photos", "--out", str(tmp_path / "out.json")],
        "join": ["a", "b", "--name", "x", "--out", out],
        "average": ["a", "b", "--out", out],
        "quantize": ["x", "--out", out],
        "add-class-words": ["--classifier", "x", "--out", out],
        "calibrate": [*DATA, "--out", out],
        "sample": ["x"],
        "units": ["x", "--text", "x", "--out", out],
        "gradients": ["--out", out],
    }
    assert main([name, *needed[name]]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("evaluate", "--report"),
        ("evaluate", "--json"),
        ("evaluate", "--results"),
        ("calibrate", "--out"),
        ("calibrate", "--json"),
        ("calibrate", "--plot"),
        ("join", "--out"),
        ("check", "--json"),
        ("gradients", "--out"),
    ],
)
@pytest.mark.parametrize("place", ["/proc/there", "below-a-file"])
def test_what_cannot_be_written_is_refused_before_the_work(
    command: str,
    flag: str,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def worked(_: Any) -> int:
        raise AssertionError("the work was begun")

    monkeypatch.setattr(module(command), "run", worked)
    (tmp_path / "file").write_text("kept")
    path = place if place.startswith("/") else str(tmp_path / "file" / "there")
    path += {"--plot": ".png", "--report": ""}.get(flag, ".png" if command == "gradients" else ".json")
    other = ["--out", str(tmp_path / "x.safetensors")] if command == "calibrate" and flag != "--out" else []
    given = {"check": ["--recipe", "x.toml"], "join": ["a", "b", "--name", "x"], "gradients": []}.get(command, DATA)
    with pytest.raises(SystemExit) as stopped:
        main([command, *given, *other, flag, path])
    assert stopped.value.code == 2
    assert f"argument {flag}" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "kept"


def test_what_can_be_written_leaves_no_trace_of_the_try(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Any] = []

    def keep(arguments: Any) -> int:
        seen.append(arguments)
        return 0

    monkeypatch.setattr(module("evaluate"), "run", keep)
    report, values = tmp_path / "new" / "report", tmp_path / "scores.json"
    assert main(["evaluate", *DATA, "--report", str(report), "--json", str(values)]) == 0
    assert (seen[0].report, seen[0].json) == (report, values)
    assert not list(tmp_path.iterdir())


def zipped(path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, path)


def old_style(path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [zipped, old_style])
@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
def test_a_pickle_says_that_it_is_one(write: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    for load in (load_checkpoint, load_language_model, CaptionPredictor.from_checkpoint):
        with pytest.raises(CheckpointError, match=r"looks like a PyTorch pickle .*which is never read") as error:
            load(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
    if name.endswith(".safetensors"):
        with pytest.raises(ConfigError, match="looks like a PyTorch pickle"):
            pretrained_weights("mobilenet_v2", str(tmp_path / name))


def test_one_file_twice_is_no_ensemble(
    small_checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = [str(small_checkpoint_file)] * 2
    assert main(["join", *twice, "--name", "x", "--out", str(tmp_path / "x.safetensors")]) == 1
    assert "the same file is given twice" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 a photo", b'{"a": "JSON"}', b"\x80"])
def test_what_is_no_pickle_is_not_called_one(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_checkpoint(tmp_path / "x")


def test_a_language_model_given_to_caption_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_language_model(random_model(), tmp_path / "writer.safetensors")
    (tmp_path / "photo.png").touch()
    arguments = ["caption", str(tmp_path / "photo.png"), "--checkpoint", str(tmp_path / "writer.safetensors")]
    assert caption_main(arguments) == 1
    assert "not a captioning model; it is a language model" in capsys.readouterr().err


def test_passes_over_the_photos_are_named(recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = replace(recipe.data, mirror=True, augmented=2)
    trainer = start(replace(recipe, data=data, cache=str(tmp_path / "cache")))
    trainer.task.enter(trainer.progress)
    trainer.task.sources.val_features()
    bars = capsys.readouterr().err
    titles = [
        "encoding photos:",
        "encoding photos again, mirrored:",
        "encoding photos again, augmented 1 of 2:",
        "encoding photos again, augmented 2 of 2:",
        "encoding validation photos:",
    ]
    places = [bars.index(title) for title in titles]
    assert places == sorted(places)


def test_a_run_begins_with_a_summary(recipe: Recipe) -> None:
    trainer = start(recipe)
    rows = dict(trainer.overview())
    assert rows["photos"] == "14 to learn from, 5 to validate on"
    assert rows["captions"] == "42 to learn from, 15 to validate on"
    assert rows["vocabulary"] == f"{len(trainer.task.bench.tokenizer.vocabulary)} words"
    assert rows["encoder"] == f"mobilenet_v2, 64 pixels, weights from {recipe.encoder_weights}"
    total = sum(parameter.numel() for parameter in trainer.task.model.parameters())
    assert rows["parameters"].startswith(f"{total:,} (encoder ")
    assert rows["epochs"] == "3, of 4 batches"
    assert rows["device"] in {f"cpu ({torch.get_num_threads()} thread{s}), {p}" for s in ("", "s") for p in PRECISIONS}
    assert rows["folder"] == str(recipe.run_dir)


PRECISIONS = ("float32", "bfloat16")
