"""Measuring a checkpoint, and the command line of training."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from captioner.calibration import Calibration
from captioner.checkpoint import copy_with_calibration
from captioner.decoding import DecodingOptions
from captioner.predictor import CaptionPredictor
from training.__main__ import main
from training.data import load_captioned_images
from training.evaluation.diversity import wording
from training.evaluation.evaluate import evaluate
from training.evaluation.metrics import score_captions
from training.evaluation.ptb import ptb_tokenize
from training.evaluation.summary import summary
from training.recipe import Recipe

pytestmark = pytest.mark.slow
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
    assert result.wording == wording(ptb_tokenize(alone)[0])
    assert result.human_wording.captions == 15
    for name, (low, high) in result.intervals().items():
        assert low <= result.scores()[name] <= high
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
    low, high = written["intervals"]["CIDEr"]
    assert f"{low:6.2f} to {high:6.2f}" in printed
    ciders = [entry["cider"] for entry in written["captions"]]
    assert sum(ciders) / 3 == pytest.approx(written["scores"]["CIDEr"])
    assert "METEOR was not measured; ask for it with --meteor." in printed
    assert "new" not in written["wording"]


def test_results_are_what_cocos_tools_read(
    dataset: Path, small_checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    arguments = ["evaluate", "--annotations", str(dataset / "val.json"), "--images", str(dataset / "val")]
    arguments += ["--checkpoint", str(small_checkpoint_file), "--beam-size", "2", "--no-repeat-ngram-size", "1"]
    arguments += ["--train-annotations", str(dataset / "train.json"), "--replicates", "100", "--results", str(out)]
    assert main(arguments) == 0
    assert "not among the training captions" in capsys.readouterr().out
    results = json.loads(out.read_text())
    assert all(list(entry) == ["image_id", "caption"] for entry in results)
    read = COCO(str(dataset / "val.json")).loadRes(str(out))
    predictor = CaptionPredictor.from_checkpoint(small_checkpoint_file)
    options = DecodingOptions(beam_size=2, no_repeat_ngram_size=1)
    for image in load_captioned_images(dataset / "val.json", dataset / "val"):
        [found] = read.imgToAnns[image.image_id]
        assert found["caption"] == predictor.caption(image.path.read_bytes(), options).text


def test_confidence_is_told_where_there_is_one(
    dataset: Path, small_checkpoint_file: Path, calibration: Calibration, tmp_path: Path
) -> None:
    copy_with_calibration(small_checkpoint_file, tmp_path / "sure.safetensors", calibration)
    predictor = CaptionPredictor.from_checkpoint(tmp_path / "sure.safetensors")
    images = load_captioned_images(dataset / "val.json", dataset / "val")
    result = evaluate(predictor, images, OPTIONS)
    entries = result.to_dict()["captions"]
    assert [entry["confidence"] for entry in entries] == [caption.confidence for caption in result.captions]
    share = sum(entry["needs_review"] for entry in entries) / len(entries)
    assert f"that need review                   {100 * share:6.1f} %" in summary(result)


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
    assert (
        main(["fit", "--recipe", str(file), "--set", "training.phases=[{epochs=1}]", "--set", "decoding.beam_size=2"])
        == 0
    )
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
