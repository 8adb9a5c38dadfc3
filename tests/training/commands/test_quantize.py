"""Models in 8 bits: smaller files that say the same."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from captioner.calibration import Calibration
from captioner.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from captioner.predictor import CaptionPredictor
from training.__main__ import main


def test_a_smaller_file_says_nearly_the_same(
    small_checkpoint: Checkpoint,
    calibration: Calibration,
    pictures: list[Image.Image],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole, small = tmp_path / "whole.safetensors", tmp_path / "new" / "small.safetensors"
    save_checkpoint(replace(small_checkpoint, calibration=calibration), whole)
    assert main(["quantize", str(whole), "--out", str(small)]) == 0
    assert "matrices in 8 bits" in capsys.readouterr().out
    assert small.stat().st_size < whole.stat().st_size / 1.9
    before, after = load_checkpoint(whole), load_checkpoint(small)
    assert (after.calibration, after.provenance) == (calibration, before.provenance)
    texts = ["a dog runs"] * len(pictures)
    scores = [[c.log_prob for c in CaptionPredictor(one).scores(pictures, texts)] for one in (before, after)]
    assert scores[1] == pytest.approx(scores[0], rel=0.05)
    assert scores[1] != scores[0]
