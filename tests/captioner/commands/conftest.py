from pathlib import Path

import pytest
from PIL import Image

from captioner.__main__ import main
from captioner.checkpoint import Checkpoint
from captioner.predictor import CaptionPredictor
from tests.support.command_line import FakePredictor, NamedPredictor, Outcome, Run
from tests.support.pictures import noise_image


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> FakePredictor:
    fake = FakePredictor()
    monkeypatch.setattr(CaptionPredictor, "from_checkpoint", fake.from_checkpoint)
    return fake


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> NamedPredictor:
    fake = NamedPredictor()
    monkeypatch.setattr(CaptionPredictor, "from_checkpoint", fake.from_checkpoint)
    return fake


@pytest.fixture
def small_model(small_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> CaptionPredictor:
    """The command line's model: a real one, which has learnt nothing."""
    predictor = CaptionPredictor(small_checkpoint)
    monkeypatch.setattr(CaptionPredictor, "from_checkpoint", lambda _, **_options: predictor)
    return predictor


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    noise_image(1).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three photos, a text, a hidden file and a subfolder."""
    photos = tmp_path / "photos"
    (photos / "sub.jpg").mkdir(parents=True)
    for name, width in (("b.jpg", 20), ("a.PNG", 10), ("c.webp", 30)):
        Image.new("RGB", (width, 16)).save(photos / name)
    (photos / "notes.txt").write_text("no photo")
    (photos / "._b.jpg").write_bytes(b"metadata")
    Image.new("RGB", (40, 16)).save(photos / "sub.jpg" / "d.jpg")
    return photos


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def with_arguments(*arguments: object) -> Outcome:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err

    return with_arguments
