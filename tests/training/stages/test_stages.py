"""All stages by one command: equal to the commands one by one, however often they are broken off."""

import itertools
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import captioner.files
from captioner.__main__ import main as run_captioner
from captioner.checkpoint import load_checkpoint
from captioner.config import EncoderConfig
from captioner.encoders import build_encoder
from captioner.errors import ConfigError
from tests.training.conftest import write_coco
from training.__main__ import main
from training.concepts.recipe import ConceptRecipe
from training.recipe import Recipe
from training.runs.provenance import sha256, weights_sha256
from training.runs.run import Run
from training.stages.plan import Stage, plan

pytestmark = pytest.mark.slow
DATA = """
[data]
root = "nowhere"
train_annotations = "train.json"
train_images = "train"
val_annotations = "val.json"
val_images = "val"
"""
CONCEPTS = f"""
name = "words"
encoder_weights = "random"
{DATA}
[image]
size = 32
[encoder]
name = "tiny"
[words]
least_photos = 2
[training]
epochs = 1
images_per_batch = 5
encoder_stage = "stride16"
precision = "float32"
"""
CAPTIONS = f"""
name = "captions"
encoder_weights = "runs/words/best.safetensors"
{DATA}
[tokenizer]
min_count = 2
[model.image]
size = 32
[model.encoder]
name = "tiny"
[model.decoder]
embedding_size = 8
hidden_size = 12
attention_size = 6
dropout = 0.2
[training]
images_per_batch = 2
precision = "float32"
average = 0.1
[[training.phases]]
epochs = 6
learning_rate = 0.03
label_smoothing = 0.0
[[training.phases]]
epochs = 1
learning_rate = 0.003
encoder_stage = "stride16"
[decoding]
beam_size = 2
max_length = 6
min_length = 4
"""
STAGES = """
name = "everything"
[[stages]]
name = "seeing"
command = "fit-concepts"
recipe = "concepts.toml"
[[stages]]
name = "saying"
command = "fit"
recipe = "captions.toml"
of = ["seeing"]
[[stages]]
name = "again"
command = "fit"
recipe = "captions.toml"
of = ["saying"]
set = ["name=again", "seed=2", "training.phases[0].epochs=1"]
[[stages]]
name = "mean"
command = "average"
of = ["saying", "again"]
[[stages]]
name = "rounded"
command = "quantize"
of = ["mean"]
[[stages]]
name = "sure"
command = "calibrate"
of = ["rounded"]
arguments = ["--agreement", "1", "--good-cider", "0.05"]
[[stages]]
name = "served"
command = "export"
of = ["sure"]
arguments = ["--bits", "8"]
"""

SHORT = (
    STAGES[: STAGES.index('[[stages]]\nname = "again"')]
    + """
[[stages]]
name = "rounded"
command = "quantize"
of = ["saying"]
"""
)
WORDED = (
    SHORT[: SHORT.index('[[stages]]\nname = "rounded"')]
    + """
[[stages]]
name = "worded"
command = "add-class-words"
of = ["saying"]
arguments = ["--classifier", "CLASSIFIER", "--names", "NAMES", "--rarer-than", "10"]
[[stages]]
name = "served"
command = "export"
of = ["worded"]
"""
)
QUICK = (
    "data.val_annotations=train.json",
    "data.val_images=train",
    "saying.training.phases[0].epochs=2",
    "saying.training.images_per_batch=5",
)  # fewer steps, and no validation photos of their own


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many as calibration needs."""
    folder = tmp_path_factory.mktemp("photos")
    write_coco(folder, "train", range(14))
    write_coco(folder, "val", range(20, 66))
    return folder


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    folder = tmp_path / "recipes"
    folder.mkdir()
    for name, text in (("concepts", CONCEPTS), ("captions", CAPTIONS), ("all", STAGES)):
        (folder / f"{name}.toml").write_text(text)
    return folder


Start = Callable[..., int]


@pytest.fixture
def start(recipes: Path, photos: Path, tmp_path: Path) -> Start:
    """What starts all stages, or those of another file, in the folder of runs of a name."""

    def run(runs: str = "runs", *overrides: str, file: str = "all.toml") -> int:
        places = (f"data.root={photos}", f"runs={tmp_path / runs}", f"cache={photos / 'cache'}")
        sets = [part for text in (*places, *overrides) for part in ("--set", text)]
        return main(["all", "--recipe", str(recipes / file), *sets])

    return run


@pytest.fixture
def quick(recipes: Path, start: Start) -> Start:
    """The same of three stages that take little time."""
    (recipes / "short.toml").write_text(SHORT)
    return lambda runs="runs", *overrides: start(runs, *QUICK, *overrides, file="short.toml")


def made(folder: Path) -> dict[str, str]:
    """Return what the stages made: hashes of all weights, by file."""
    files = [*folder.glob("*/best.safetensors"), *folder.glob("everything/*.safetensors")]
    return {str(file.relative_to(folder)): weights_sha256(load_file(file)) for file in files}


@pytest.fixture(scope="module")
def undisturbed_once() -> dict[str, str]:
    """What an undisturbed run made, filled by the first test that asks."""
    return {}


@pytest.fixture
def undisturbed(quick: Start, tmp_path: Path, undisturbed_once: dict[str, str]) -> dict[str, str]:
    if not undisturbed_once:
        assert quick("whole") == 0
        undisturbed_once |= made(tmp_path / "whole")
    assert len(undisturbed_once) == 3
    return undisturbed_once


def test_stages_are_the_commands_one_by_one(
    start: Start, recipes: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start() == 0
    told = capsys.readouterr().out
    assert "stage 1 of 7, seeing (fit-concepts): begins" in told
    sure = tmp_path / "runs" / "everything" / "sure.safetensors"
    assert f"stage 6 of 7, sure (calibrate): made {sure}, 0.0 MB" in told

    one = tmp_path / "one"
    shared = [f"data.root={photos}", f"runs={one}", f"cache={photos / 'cache'}"]

    def fit(command: str, recipe: str, *overrides: str) -> list[str]:
        return [command, "--recipe", str(recipes / recipe), *(p for o in (*shared, *overrides) for p in ("--set", o))]

    best = {name: str(one / name / "best.safetensors") for name in ("words", "captions", "again")}
    other = ["name=again", "seed=2", "training.phases[0].epochs=1", f"start_from={best['captions']}"]
    (one / "everything").mkdir(parents=True)
    mean, rounded, calibrated, served = (
        str(one / "everything" / f"{name}.safetensors") for name in ("mean", "rounded", "sure", "served")
    )
    val = ["--annotations", str(photos / "val.json"), "--images", str(photos / "val"), "--beam-size", "2"]
    lines = [
        fit("fit-concepts", "concepts.toml"),
        fit("fit", "captions.toml", f"encoder_weights={best['words']}"),
        fit("fit", "captions.toml", *other),
        ["average", best["captions"], best["again"], "--name", "everything", "--out", mean],
        ["quantize", mean, "--out", rounded],
        [
            "calibrate",
            "--checkpoint",
            rounded,
            *val,
            "--max-length",
            "6",
            "--min-length",
            "4",
            "--agreement",
            "1",
            "--good-cider",
            "0.05",
        ],
    ]
    lines[-1] += ["--out", calibrated]
    for line in lines:
        assert main(line) == 0
    assert run_captioner(["export", "--checkpoint", calibrated, "--bits", "8", served]) == 0
    assert made(one) == made(tmp_path / "runs")
    assert len(made(one)) == 7
    found = load_checkpoint(sure)
    assert found.calibration == load_checkpoint(calibrated).calibration
    assert [one["name"] for one in found.provenance["ingredients"]] == ["captions", "again"]
    assert found.provenance["ingredients"][0]["encoder"]["name"] == "words"


def test_a_stage_adds_class_words(
    start: Start, recipes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Words are counted in the captions that the run learnt from: "dog" nine times, "girl" six."""
    torch.manual_seed(0)
    classifier, names = tmp_path / "classifier.safetensors", tmp_path / "names.txt"
    weights = build_encoder(EncoderConfig("tiny")).pretrained_state()
    save_file(weights | {"fc.weight": torch.randn(3, 32), "fc.bias": torch.randn(3)}, classifier)
    names.write_text("a dog\na girl\nsomething unknown\n")
    text = WORDED.replace("CLASSIFIER", str(classifier)).replace("NAMES", str(names))
    (recipes / "worded.toml").write_text(text)
    assert start("runs", *QUICK, file="worded.toml") == 0
    assert "2 words of 2 classes" in capsys.readouterr().out
    found = load_checkpoint(tmp_path / "runs" / "everything" / "served.safetensors").class_words
    assert found is not None
    assert [word.text for word in found.vocabulary.words] == ["dog", "girl"]
    (recipes / "worded.toml").write_text(text.replace('"10"', '"9"'))
    assert start("runs", *QUICK, file="worded.toml") == 0
    found = load_checkpoint(tmp_path / "runs" / "everything" / "served.safetensors").class_words
    assert found is not None
    assert [word.text for word in found.vocabulary.words] == ["girl"]


def test_what_is_done_is_skipped(
    quick: Start, tmp_path: Path, undisturbed: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick() == 0
    runs = tmp_path / "runs"
    written = {file: file.stat().st_mtime_ns for file in runs.rglob("*")}
    capsys.readouterr()
    assert quick() == 0
    assert capsys.readouterr().out.count("is done already") == 3
    assert {file: file.stat().st_mtime_ns for file in runs.rglob("*")} == written
    (runs / "everything" / "rounded.safetensors").unlink()
    assert quick() == 0
    assert "stage 3 of 3, rounded (quantize): begins" in capsys.readouterr().out
    assert made(runs) == undisturbed
    record = json.loads((runs / "everything" / "rounded.json").read_text())
    digests = [sha256(runs / name) for name in ("captions/best.safetensors", "everything/rounded.safetensors")]
    expected = {"command": "quantize", "arguments": [], "inputs": {"saying": digests[0]}, "made": digests[1]}
    assert record == expected


def test_stopped_at_every_few_steps_it_makes_the_same(
    quick: Start,
    tmp_path: Path,
    undisturbed: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By Ctrl-C: the step in work is finished, the state is saved, and the same command goes on."""
    learn, done = Run.step, itertools.count(1)

    def step(self: Run[Any], batch: Any) -> float:
        if next(done) % 2 == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return learn(self, batch)

    monkeypatch.setattr(Run, "step", step)
    statuses = [quick() for _ in range(7)]
    assert 4 <= statuses.count(130) < 7
    assert statuses == sorted(statuses, reverse=True)
    assert set(statuses) == {0, 130}
    assert "saying (fit): stopped; the same command goes on from here" in capsys.readouterr().out
    assert made(tmp_path / "runs") == undisturbed


class Killed(BaseException):
    """What ends a process wherever it is."""


def test_killed_at_every_few_files_it_makes_the_same(
    quick: Start, tmp_path: Path, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt dies at a file that it was about to put in its place, a later one each time."""
    move = captioner.files.move
    left = [0]

    def dying(*arguments: Any, **options: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        move(*arguments, **options)

    monkeypatch.setattr("captioner.files.move", dying)
    for attempt in range(100):
        left[0] = attempt
        try:
            assert quick() == 0
        except Killed:
            continue
        break
    assert attempt > 5
    assert made(tmp_path / "runs") == undisturbed


def test_what_began_differently_is_not_gone_on_with(
    quick: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick() == 0
    capsys.readouterr()
    assert quick("runs", "saying.training.phases[0].epochs=3", "seed=4") == 1
    told = capsys.readouterr().err
    assert "stage seeing: the run in" in told
    assert "began differently: seed was 1, not 4" in told
    assert quick("runs", "saying.training.phases[0].epochs=3") == 1
    assert "stage saying: " in (told := capsys.readouterr().err)
    assert "training.phases[0].epochs was 2, not 3. Go on as it began" in told
    shutil.rmtree(tmp_path / "runs" / "words")
    assert quick("runs", "seeing.seed=5") == 1
    assert "stage saying: the run in" in (told := capsys.readouterr().err)
    assert "began differently: seeing has made another file since" in told


def stages(recipes: Path, *overrides: str) -> dict[str, Stage]:
    return {stage.recipe.name: stage for stage in plan(recipes / "all.toml", overrides)}


def test_values_reach_the_stages_that_have_them(recipes: Path) -> None:
    found = stages(
        recipes,
        "data.root=there",
        "seed=7",
        "again.seed=8",
        "encoder_weights=file.safetensors",
        "training.phases[1].epochs=5",
        "words.most=9",
        "name=mine",
        "runs=elsewhere",
    )
    seeing: ConceptRecipe = found["seeing"].read()
    saying: Recipe = found["saying"].read()
    again: Recipe = found["again"].read(with_start=False)
    assert {one.data.root for one in (seeing, saying, again)} == {"there"}
    assert (seeing.seed, saying.seed, again.seed) == (7, 7, 8)
    assert (seeing.encoder_weights, seeing.words.most) == ("file.safetensors", 9)
    assert saying.encoder_weights == "elsewhere/words/best.safetensors"
    assert again.name == "again"
    assert saying.training.phases[1].epochs == again.training.phases[1].epochs == 5
    assert again.training.phases[0].epochs == 1
    assert found["again"].starts == ('start_from="elsewhere/captions/best.safetensors"',)
    assert found["mean"].made == Path("elsewhere/mine/mean.safetensors")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epocs=3", r"--set training.epocs=3: no stage has such a key, .*did you mean training.epochs"),
        ("zzz=3", "none is called zzz; the stages are seeing, saying, again, mean, rounded, sure, served"),
        ("mean.seed=3", "stage mean is of average, which has no recipe"),
        ("saying=3", "saying is a stage; write it as saying.key=value"),
        ("saying.words.most=3", "words: there is no such key"),
        ("saying.training.phases[0].epochs=0", "phase epochs is 0; it must be between 1 and"),
        ("again.name=captions", "stage again would train in runs/captions, which is the folder of stage saying"),
        ("name=words", "stage seeing would train in runs/words, which is the folder of the stages themselves"),
        ("data.root", "write it as key.sub=value"),
    ],
)
def test_bad_overrides_are_refused_before_anything_runs(recipes: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(recipes / "all.toml", [override])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('command = "average"', 'command = "averge"', "stages.3.command: Input should be 'fit-concepts', "),
        ('name = "mean"', 'name = "again"', "two stages are called again"),
        ('name = "mean"', 'name = "data"', "a stage is called data, which --set could not tell from a key of a recipe"),
        (
            'of = ["mean"]',
            'of = ["sure"]',
            "stage rounded: of names sure, which is no stage before it; those are seeing",
        ),
        ('of = ["mean"]', "of = []", "stage rounded: of names 0 stages; quantize takes 1"),
        ('of = ["mean"]', 'of = ["seeing"]', "seeing is of fit-concepts; quantize goes on from fit, average, join"),
        ('of = ["saying"]', 'of = ["saying", "seeing"]', "saying and seeing cannot both be what it starts from"),
        ('recipe = "concepts.toml"', "", "stage seeing: fit-concepts needs a recipe"),
        ('of = ["mean"]', 'of = ["mean"]\nset = ["a=1"]', "quantize has no recipe to set; it takes arguments"),
        ('of = ["seeing"]', 'of = ["seeing"]\narguments = ["-x"]', "fit has no arguments; set changes its recipe"),
        ('of = ["seeing"]', 'of = ["seeing"]\noff = 1', "stages.1.off: there is no such key; did you mean of"),
        ("concepts.toml", "nothing.toml", "nothing.toml: not a readable recipe"),
        ("concepts.toml", "captions.toml", "captions.toml: this is a recipe of fit, since it has model"),
    ],
)
def test_bad_recipes_of_stages_are_refused(recipes: Path, old: str, new: str, message: str) -> None:
    (recipes / "all.toml").write_text(STAGES.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        plan(recipes / "all.toml")


def test_bad_arguments_are_refused_before_anything_runs(
    start: Start, recipes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (recipes / "all.toml").write_text(STAGES.replace("--good-cider", "--good-cidre"))
    with pytest.raises(SystemExit):
        start()
    assert (
        "stage sure: captioner train calibrate: error: unrecognized arguments: --good-cidre" in capsys.readouterr().err
    )
    assert not (tmp_path / "runs" / "words").exists()
