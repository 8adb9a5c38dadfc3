"""METEOR and SPICE by Java, and what is said where they cannot run."""

import json
import os
import shutil
from functools import partial
from pathlib import Path

import pytest
from pycocoevalcap.meteor.meteor import Meteor

from training.__main__ import main
from training.commands import evaluate
from training.evaluation import java_metrics
from training.evaluation.metrics import MetricError, tokenize_captions

pytestmark = pytest.mark.slow
REFERENCES = {1: ["A dog runs.", "The dog is running"], 2: ["A cat sleeps on a red sofa"]}
CANDIDATES = {2: "two cats on a couch", 1: "a dog running"}
SPICE_ANSWER = """#!/bin/sh
for word; do
  case "$before" in -out) out="$word";; esac
  case "$word" in *asked.json) asked="$word";; esac
  before="$word"
done
grep -q '"test": "a dog running"' "$asked" || exit 1
echo '[{"image_id": 1, "scores": {"All": {"f": 0.5}}}, {"image_id": 2, "scores": {"All": {"f": 0.25}}}]' > "$out"
"""


@pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs java on the PATH")
def test_meteor_equals_pycocoevalcaps() -> None:
    theirs = Meteor()  # starts its Java, which then loads beside ours
    ours = java_metrics.meteor(CANDIDATES, REFERENCES)
    truths, guesses, _ = tokenize_captions(CANDIDATES, REFERENCES)
    expected, _ = theirs.compute_score(truths, guesses)
    for stream in (theirs.meteor_p.stdout, theirs.meteor_p.stderr):
        stream.close()
    assert ours == pytest.approx(expected, abs=1e-9)
    assert 0.1 < ours < 1


def test_without_java_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert java_metrics.missing_for_meteor() == "METEOR needs java on the PATH"
    assert java_metrics.missing_for_spice() == "SPICE needs java on the PATH"
    with pytest.raises(MetricError, match="METEOR needs java"):
        java_metrics.meteor(CANDIDATES, REFERENCES)
    with pytest.raises(MetricError, match="SPICE needs java"):
        java_metrics.spice(CANDIDATES, REFERENCES)


def spice_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, java: str, files: tuple[str, ...]) -> None:
    """Set up a folder of SPICE, and a program in the place of Java."""
    folder = tmp_path / "spice"
    (folder / "lib").mkdir(parents=True)
    for name in files:
        (folder / name).touch()
    program = tmp_path / "java"
    program.write_text(java)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(java_metrics, "_folder", lambda _: folder)


def test_without_its_files_a_sentence_names_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spice_folder(tmp_path, monkeypatch, SPICE_ANSWER, ("spice-1.0.jar", "lib/stanford-corenlp-3.6.0.jar"))
    expected = "SPICE needs lib/stanford-corenlp-3.6.0-models.jar in the folder of pycocoevalcap.spice"
    assert java_metrics.missing_for_spice() == f"{expected}, which its get_stanford_models downloads"
    assert java_metrics.missing_for_meteor() == "METEOR needs meteor-1.5.jar in the folder of pycocoevalcap.spice"


def test_spice_is_asked_in_its_format_and_its_answer_averaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = ("spice-1.0.jar", *(f"lib/{name}" for name in java_metrics.CORENLP))
    spice_folder(tmp_path, monkeypatch, SPICE_ANSWER, files)
    monkeypatch.setattr(java_metrics, "tokenize_captions", partial(tokenize_captions, engine="python"))
    assert java_metrics.spice(CANDIDATES, REFERENCES) == pytest.approx(0.375)
    with pytest.raises(MetricError, match="SPICE failed"):
        java_metrics.spice({**CANDIDATES, 1: "a bird"}, REFERENCES)


def test_the_command_measures_what_it_can_and_says_what_it_cannot(
    dataset: Path,
    small_checkpoint_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(evaluate.FURTHER, "METEOR", (str, lambda *_: 0.25))
    monkeypatch.setitem(evaluate.FURTHER, "SPICE", (lambda: "SPICE needs a spice rack", java_metrics.spice))
    arguments = ["evaluate", "--annotations", str(dataset / "val.json"), "--images", str(dataset / "val")]
    arguments += ["--checkpoint", str(small_checkpoint_file), "--limit", "2", "--meteor", "--spice"]
    assert main([*arguments, "--json", str(tmp_path / "out.json")]) == 0
    printed = capsys.readouterr().out
    assert "METEOR    25.00" in printed
    assert "SPICE was not measured: SPICE needs a spice rack." in printed
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["scores"]["METEOR"] == 25
    assert "SPICE" not in written["scores"]
