"""Measuring a checkpoint, and the command line of training."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from captioner.decoding import DecodingOptions
from captioner.predictor import CaptionPredictor
from training.__main__ import main
from training.coco import load_captioned_images
from training.evaluate import evaluate
from training.metrics import score_captions
from training.recipe import Recipe

OPTIONS = DecodingOptions(beam_size=3, max_length=6)


def test_scores_are_those_of_the_captions_and_say_how_they_were_measured(
    dataset: Path, small_checkpoint_file: Path
) -> None:
    predictor = CaptionPredictor.from_checkpoint(small_checkpoint_file)
    images = load_captioned_images(dataset / "val.json", dataset / "val")
    result = evaluate(predictor, images, OPTIONS)
    alone = [predictor.caption(image.path.read_bytes(), OPTIONS).text for image in images]
    assert [caption.text for caption in result.captions] == alone
    expected = score_captions(
        {image.image_id: text for image, text in zip(images, alone, strict=True)},
        {image.image_id: image.captions for image in images},
    )
    assert result.scores()["CIDEr"] == pytest.approx(100 * expected.cider)
    assert result.scores()["BLEU-1"] == pytest.approx(100 * expected.bleu[0])
    protocol = result.protocol()
    assert protocol["images"] == 5
    assert protocol["references_per_image"] == "3"
    assert protocol["search"] == asdict(OPTIONS)
    assert "PTB" in protocol["tokenization"]


def test_evaluate_prints_and_writes(
    dataset: Path, small_checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    arguments = ["evaluate", "--annotations", str(dataset / "val.json"), "--images", str(dataset / "val")]
    arguments += ["--checkpoint", str(small_checkpoint_file), "--beam-size", "2", "--limit", "3", "--json", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    for name in ("BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr", "images: 3", "references_per_image: 3", "beam_size 2"):
        assert name in printed
    written = json.loads(out.read_text())
    assert [entry["image_id"] for entry in written["captions"]] == [1020, 1021, 1022]
    assert f"{written['scores']['CIDEr']:6.2f}" in printed


def test_fit_trains_a_model_that_evaluate_takes(
    recipe: Recipe, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(
        f'name = "cli"\nruns = "{recipe.runs}"\ncache = "{recipe.cache}"\n'
        f'encoder_weights = "{recipe.encoder_weights}"\n'
        f'[data]\nroot = "{recipe.data.root}"\ntrain_annotations = "train.json"\ntrain_images = "train"\n'
        'val_annotations = "val.json"\nval_images = "val"\n[tokenizer]\nmin_count = 1\n[model.image]\nsize = 64\n'
        "[model.decoder]\nhidden_size = 8\nembedding_size = 8\nattention_size = 8\n"
    )
    assert main(["fit", "--recipe", str(file), "--set", "training.epochs=1", "--set", "decoding.beam_size=2"]) == 0
    assert "the best epoch is 1" in capsys.readouterr().out
    best = Path(recipe.runs) / "cli" / "best.safetensors"
    arguments = ["--annotations", str(dataset / "val.json"), "--images", str(dataset / "val")]
    assert main(["evaluate", "--checkpoint", str(best), *arguments]) == 0
    assert main(["fit", "--resume", str(best.parent)]) == 0
    assert main(["fit", "--resume", str(best.parent), "--set", "seed=2"]) == 1
    assert "a resumed run keeps its own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", "0"], "--limit is 0; it must be at least 1"),
        (["--beam-size", "99"], "beam_size is 99; it must be between 1 and 50"),
        (["--checkpoint", "nowhere.safetensors"], "nowhere.safetensors: no such checkpoint file"),
    ],
)
def test_bad_arguments_are_told(
    dataset: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    data = ["--annotations", str(dataset / "val.json"), "--images", str(dataset / "val")]
    assert main(["evaluate", *data, *arguments]) == 1
    assert message in capsys.readouterr().err
