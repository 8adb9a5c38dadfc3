"""What serves runs without torch: nothing on its way imports torch, and a model with graphs needs none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from captioner.answers.export import export_answers
from captioner.checkpoint import copy_with_class_words
from captioner.runtimes.export import export_checkpoint
from tests.support.answers import write_answers
from tests.support.class_words import draw_class_words
from tests.support.pictures import noise_image

ROOT = Path(__file__).parents[1]
# What only training and export need; whoever imports one of them is told that it is not there.
BLOCKED = ("torch", "torchvision", "onnx", "onnxscript", "timm", "matplotlib", "pycocotools", "tensorboard")
WITHOUT = """
import importlib.util, sys
kept = importlib.util.find_spec
importlib.util.find_spec = lambda name, *package: None if name in {blocked} else kept(name, *package)
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""
EVERYTHING = """
import importlib, pkgutil
TORCH = ("captioner.answers.network", "captioner.answers.checkpoint", "captioner.answers.torch",
    "captioner.answers.export", "captioner.encoders",
    "captioner.decoders", "captioner.cells", "captioner.stack", "captioner.attention",
    "captioner.model", "captioner.quantization", "captioner.checkpoint", "captioner.runtimes.torch",
    "captioner.runtimes.tracing", "captioner.runtimes.graphs", "captioner.runtimes.padding",
    "captioner.runtimes.export", "captioner.commands.export")
for package in ("captioner", "service"):
    path = importlib.import_module(package).__path__
    for module in pkgutil.walk_packages(path, package + ".", onerror=lambda _: None):
        if not module.name.startswith(TORCH):
            importlib.import_module(module.name)
"""
CAPTION = """
from captioner.__main__ import main
status = main(["caption", "--checkpoint", sys.argv[1], sys.argv[2], "--json"])
assert not status and not {blocked} & {{name.split(".")[0] for name in sys.modules}}
"""


WANT = """
from pathlib import Path
from captioner.images import read_image
from captioner.predictor import CaptionPredictor
predictor = CaptionPredictor.from_checkpoint(sys.argv[1])
features = predictor.encode([read_image(Path(sys.argv[2]).read_bytes())])
assert predictor.captions_of(features)
print(predictor.class_words.find(predictor.runtime.vectors(features))[0].text)
assert not {blocked} & {{name.split(".")[0] for name in sys.modules}}
"""
ASK = """
from captioner.__main__ import main
status = main(["ask", "--checkpoint", sys.argv[1], "--answers", sys.argv[2], sys.argv[3], "how many dogs?", "--json"])
assert not status and not {blocked} & {{name.split(".")[0] for name in sys.modules}}
"""


def run(code: str, *arguments: Path | str) -> "subprocess.CompletedProcess[str]":
    """Run code where torch cannot be imported."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    blocked = set(BLOCKED)
    text = WITHOUT.format(blocked=blocked) + code.format(blocked=blocked)
    return subprocess.run(
        [sys.executable, "-c", text, *arguments], capture_output=True, text=True, check=False, env=environment
    )


def test_all_but_what_needs_torch_can_be_imported_without() -> None:
    done = run(EVERYTHING)
    assert done.returncode == 0, done.stderr


def test_a_model_with_graphs_captions_without_torch(small_checkpoint_file: Path, tmp_path: Path) -> None:
    export_checkpoint(small_checkpoint_file, tmp_path / "exported.safetensors")
    noise_image(1, 70, 80).save(tmp_path / "photo.png")
    done = run(CAPTION, tmp_path / "exported.safetensors", tmp_path / "photo.png")
    assert done.returncode == 0, done.stderr
    assert '"attention_grid": [2, 2]' in done.stdout


def test_class_words_are_found_without_torch(small_checkpoint_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "exported.safetensors"
    copy_with_class_words(small_checkpoint_file, path, draw_class_words(1280))
    export_checkpoint(path, path)
    noise_image(1, 70, 80).save(tmp_path / "photo.png")
    done = run(WANT, path, tmp_path / "photo.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("dog", "child", "ball")


def test_questions_are_answered_without_torch(small_checkpoint_file: Path, tmp_path: Path) -> None:
    captioner = tmp_path / "exported.safetensors"
    export_checkpoint(small_checkpoint_file, captioner)
    answers = write_answers(tmp_path / "answers.safetensors", captioner)
    export_answers(answers, answers)
    noise_image(1, 70, 80).save(tmp_path / "photo.png")
    done = run(ASK, captioner, answers, tmp_path / "photo.png")
    assert done.returncode == 0, done.stderr
    assert '"question": "how many dogs?"' in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ('["caption", "--checkpoint", sys.argv[1], "x.jpg"]', "to run it torch must be installed"),
        ('["export", "x.safetensors"]', "export needs torch, which is not installed; pip install 'captioner[torch]'"),
    ],
)
def test_what_needs_torch_says_so(small_checkpoint_file: Path, arguments: str, message: str) -> None:
    done = run(f"from captioner.__main__ import main\nsys.exit(main({arguments}))", small_checkpoint_file)
    assert done.returncode != 0
    assert message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
