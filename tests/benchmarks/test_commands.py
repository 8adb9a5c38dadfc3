"""Every command of ``python -m benchmarks`` runs, on a tiny model and tiny counts; no test asks how fast."""

import json
import shutil
import subprocess
import zipfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.__main__ import COMMANDS, main
from benchmarks.bulk.program import BulkProgram, WrongRowsError
from benchmarks.commands import compare, gpu, install, start
from benchmarks.commands.memory import PARTS
from benchmarks.photos import made_up
from benchmarks.service.interfaces import INTERFACES
from benchmarks.service.program import ROOT, Server, model_flags, serving
from benchmarks.training.runs import PHASES
from benchmarks.training.shapes import Shapes, write_shapes
from tests.support.pictures import small_photos

pytestmark = pytest.mark.slow
Found = dict[str, Any]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Let commands choose how many threads there are, but only for themselves."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def server(small_checkpoint_file: Path) -> Iterator[Server]:
    with serving([*model_flags(small_checkpoint_file, "auto", 1), "--log-level", "error"]) as running:
        yield running


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    write_shapes(tmp_path / "shapes", Shapes(train=6, val=4, size=64))
    return tmp_path / "shapes"


def measured(tmp_path: Path, *words: object, status: int = 0) -> Found:
    """Run a command; return what it wrote as JSON."""
    file = tmp_path / "found.json"
    assert main([*map(str, words), "--json", str(file)]) == status
    found: Found = json.loads(file.read_text())
    assert found["benchmark"] == words[0]
    return found


def named(found: Found) -> dict[str, Found]:
    return {row["name"]: row for row in found["rows"]}


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"python -m benchmarks {command}" in capsys.readouterr().out


def test_every_command_is_tested_here() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f'"{name}"' not in tested] == []


def test_stages(small_checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(tmp_path, "stages", "--checkpoint", small_checkpoint_file, "--rounds", 3, "--threads", 1)
    rows = named(found)
    assert rows["encode: the network"]["ratio"] == "1.00 (1.00 to 1.00)"
    assert {"plain search by torch, beam 5", "prepare the decoder", "search, beam 5"} < set(rows)
    assert all(row["fastest_ms"] <= row["median_ms"] <= row["p90_ms"] for row in rows.values())
    assert found["model"] == "small 7, by torch"
    assert "| bytes to caption, beam 5 " in capsys.readouterr().out


def test_throughput(small_checkpoint_file: Path, tmp_path: Path) -> None:
    chosen = ["--checkpoint", small_checkpoint_file, "--sizes", 3, "--beams", 1, 2, "--rounds", 2]
    rows = measured(tmp_path, "throughput", *chosen)["rows"]
    assert [(row["beams"], row["batch"]) for row in rows] == [(1, 1), (1, 3), (2, 1), (2, 3)]
    assert all(row["photos_per_second"] * row["median_ms"] == pytest.approx(1000) for row in rows)
    assert [row["of_one"] for row in rows if row["batch"] == 1] == [1, 1]


def test_bulk(small_checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = small_photos(tmp_path / "photos", 12)
    few = ["--rounds", 1, "--each", 8, "--workers", 1, "--counts", 40, "--kills", 1]
    found = measured(tmp_path, "bulk", "--photos", photos, "--checkpoint", small_checkpoint_file, *few)
    rows = named(found)
    assert rows["library, batches of 16, 1 thread"]["rate"] > 0
    assert rows["captioner bulk --engine local"]["cpu_ms"] != 0
    assert [(row["photos"], row["kills"], row["memory_mib"] > 10) for row in found["memory"]] == [(40, 0, True)]
    assert (found["kills"]["kills"], found["kills"]["ok"]) == (1, True)
    assert "every output is the undisturbed run's, byte for byte" in capsys.readouterr().out


def test_bulk_tells_when_a_photo_is_missing_or_twice(tmp_path: Path) -> None:
    photos = [tmp_path / f"{number}.png" for number in range(3)]
    program = BulkProgram(photos, tmp_path, [], 2)
    output = tmp_path / "out"
    output.mkdir()
    (tmp_path / "out.txt").write_text("what it said")
    rows = [json.dumps({"path": str(path)}) for path in photos]
    (output / "part-000000.jsonl").write_text("\n".join(rows[:2]) + "\n")
    with pytest.raises(WrongRowsError, match=r"2 rows of 3 photos; the program said:\nwhat it said"):
        program.require_each_once(output)
    (output / "part-000001.jsonl").write_text(rows[2] + "\n")
    program.require_each_once(output)
    (output / "part-000002.jsonl").write_text(rows[2] + "\n")
    with pytest.raises(WrongRowsError, match="4 rows of 3 photos"):
        program.require_each_once(output)


def test_capacity(small_checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--requests", 300, "--replicas", 1, "--loads", 0.5, 1.5, "--check", 0.3, "--check-loads", 0.5]
    found = measured(tmp_path, "capacity", *few, "--batch-seconds", "1:0.002", "16:0.016")
    half, over = found["rows"]
    assert half["rate"] == pytest.approx(500)
    assert half["refused"] == 0 < over["refused"]
    assert half["wait_ms"] < over["wait_ms"]
    answered = next(row for row in found["checks"] if row["name"].endswith("answered"))
    assert answered["simulated"] == answered["real"] > 0
    assert "a request in 1,000 is answered 503: from " in capsys.readouterr().out
    found = measured(tmp_path, "capacity", *few[:6], "--checkpoint", small_checkpoint_file, "--rounds", 1)
    assert list(found["batch_seconds"]) == ["1", "2", "3", "4", "6", "8", "12", "16"]


@pytest.mark.parametrize("words", [["--batch-seconds", "x"], ["--batch-seconds", "0:1"], ["--loads", "0"]])
def test_capacity_refuses_what_makes_no_sense(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert main(["capacity", *words]) == 1
    except SystemExit as error:
        assert error.code == 2  # noqa: PT017 - the parser ends so
    assert words[0] in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool on the PATH")
def test_files(small_checkpoint_file: Path, tmp_path: Path) -> None:
    found = measured(tmp_path, "files", "--checkpoint", small_checkpoint_file, "--count", 3, "--rounds", 1)
    kinds = ["write, sidecars", "write, embedded", "index", "write, done before", "index, done before"]
    assert [row["what"] for row in found["rows"]] == ["library", *kinds]
    assert found["rows"][0]["of_library"] == 1
    assert all(row["photos_per_second"] * row["median_ms"] == pytest.approx(1000) for row in found["rows"])


def test_start(small_checkpoint_file: Path, tmp_path: Path) -> None:
    found = measured(tmp_path, "start", "--checkpoint", small_checkpoint_file, "--rounds", 1)
    assert list(named(found)) == list(start.NAMES.values())
    assert all(row["fastest"] == row["median"] == row["p90"] > 0 for row in found["rows"])


def test_memory(small_checkpoint_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.commands.memory.MOST_GROWTH", 100.0)  # so few requests fill no heap
    found = measured(tmp_path, "memory", "--checkpoint", small_checkpoint_file, "--requests", 80)
    rows = found["rows"]
    assert [row["requests"] for row in rows] == [8 * part for part in range(PARTS + 1)]
    assert found["growth"] == pytest.approx(rows[-1]["resident_mib"] / rows[1]["resident_mib"] - 1)
    assert sum(found["statuses"].values()) == 80
    assert "500" not in found["statuses"]


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel of a package of one file, which needs nothing."""
    file = tmp_path / "heavy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("heavy/__init__.py", 5000 * "#")
        archive.writestr("heavy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: heavy\nVersion: 1.0\n")
        archive.writestr("heavy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("heavy-1.0.dist-info/RECORD", "")
    return file


def test_install(wheel: Path, tmp_path: Path) -> None:
    [row] = measured(tmp_path, "install", wheel)["rows"]
    assert row["seconds"] > 0
    assert row["megabytes"] > 1  # pip is there, too
    assert "pip " in row["largest"]


def test_what_is_installed_is_weighed_by_package(tmp_path: Path) -> None:
    packages = tmp_path / "lib/python3/site-packages"
    for name, size in (("one/a.py", 10), ("one/deep/b.py", 20), ("two.py", 5)):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_bytes(bytes(size))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").write_bytes(bytes(7))
    (tmp_path / "bin/python").symlink_to("tool")
    assert install.weigh(tmp_path) == {"one": (30, 2), "two.py": (5, 1), "bin": (7, 1)}


def test_what_cannot_be_installed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", str(tmp_path / "nothing.whl")]) == 1
    assert "nothing.whl" in capsys.readouterr().err


@pytest.mark.parametrize("interface", INTERFACES)
def test_service(
    small_checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], interface: str
) -> None:
    few = ["--clients", 1, 3, "--seconds", 2, "--times", 2, "--burst", 6, "--count", 4, "--threads", 1]
    found = measured(tmp_path, "service", "--checkpoint", small_checkpoint_file, "--interface", interface, *few)
    assert [row["clients"] for row in found["rows"]] == [1, 3]
    assert [row["wrong"] for row in found["rows"]] == [0, 0]
    burst = found["burst"]
    assert burst["captioned"] + burst["refused"] == 6
    assert burst["wrong"] == burst["failures"] == 0
    assert "A lone client waits" in capsys.readouterr().out


TINY = ["--encoder", "tiny", "--pixels", 64, "--units", 16]


def test_training(tmp_path: Path) -> None:
    found = measured(tmp_path, "training", *TINY, "--photos", 2, "--words", 20, "--rounds", 2)
    rows = named(found)
    assert list(rows) == ["encoding photos", *PHASES]
    assert rows["encoding photos"]["of"] == "photos"
    assert rows["cross-entropy on kept features"]["ratio"] == 1
    assert all(row["per_second"] * row["median_ms"] == pytest.approx(1000) for row in found["rows"])


@pytest.mark.parametrize("device", ["cuda", "quantum"])
def test_a_device_that_is_not_there_is_told(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for command in ("training", "gpu"):
        assert main([command, "--device", device]) == 1
        assert f"device is '{device}'" in capsys.readouterr().err


@pytest.fixture
def _without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let captions be scored in this process: starting Java for each epoch takes longer than learning it."""
    monkeypatch.setattr("training.evaluation.ptb._choose", lambda _: "python")


@pytest.mark.usefixtures("_without_java")
def test_gpu_on_the_cpu(tmp_path: Path, small_checkpoint_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "found.json"
    few = ["--train", 8, "--val", 4, "--epochs", 1, "--batches", 1, 2, "--rounds", 1]
    words = ["gpu", "--device", "cpu", *TINY, *few, "--checkpoint", small_checkpoint_file, "--json", file]
    status = main(list(map(str, words)))
    found = json.loads(file.read_text())
    checks = {one["name"]: one for one in found["checks"]}
    assert status == int(not all(one["ok"] for one in found["checks"]))  # one epoch learns too little for the first
    same = pytest.approx(0, abs=1e-3)  # several threads add up in any order
    assert checks["losses of a run that was resumed, relative to one that was not"]["value"] == same
    assert checks["first losses in float32, relative to the CPU's"]["value"] == same
    assert checks["captions of float32 equal to the CPU's"]["value"] == "100.0%"
    assert any(row["name"].startswith("captioning, batch of 2, beam 5") for row in found["rows"])
    assert "cpu" in capsys.readouterr().out.splitlines()[-1]


def test_gpu_leaves_out_what_does_not_fit_into_the_time(tmp_path: Path) -> None:
    arguments = Namespace(minutes=8.0, pixels=64, units=16, encoder="tiny")
    over = gpu.Clock(end=0.0)
    [row] = gpu.timings(tmp_path, arguments, torch.device("cpu"), over)
    assert row["name"] == "left out, for want of time"
    assert not list(tmp_path.iterdir())


def test_differences_are_relative() -> None:
    assert gpu.difference([1.0, 2.0, -4.0], [1.0, 1.5, -5.0]) == 0.25
    assert gpu.row("a", 0.2, 0.1)["ok"] is False
    assert gpu.row("a", 0.1, 0.1)["ok"] is True
    assert gpu.row("a", float("nan"), 0.1)["ok"] is False


@pytest.mark.filterwarnings("ignore")  # of transformers' own
def test_others(small_checkpoint_file: Path, tmp_path: Path) -> None:
    few = ["--layers", 1, "--tokens", 3, "--rounds", 1, "--beams", 2]
    found = measured(tmp_path, "others", "--checkpoint", small_checkpoint_file, *few)
    rows = named(found)
    assert list(rows) == ["ours", "ViT-GPT2", "BLIP-base"]
    assert rows["ours"]["ratio_median"] == 1
    assert rows["BLIP-base"]["ratio_median"] == pytest.approx(
        rows["BLIP-base"]["median_ms"] / rows["ours"]["median_ms"]
    )


def test_others_asks_for_what_it_needs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("benchmarks.commands.others.find_spec", lambda _: None)
    assert main(["others"]) == 1
    assert "pip install '.[benchmarks]'" in capsys.readouterr().err


def worktrees() -> str:
    command = ["git", "-C", str(ROOT), "worktree", "list"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def _in_git() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout")


@pytest.mark.usefixtures("_in_git")
def test_compare(small_checkpoint_file: Path, tmp_path: Path) -> None:
    few = ["--only", "photo", "service", "--rounds", 2, "--starts", 1, "--clients", 2, "--seconds", 2]
    found = measured(tmp_path, "compare", "HEAD", "--checkpoint", small_checkpoint_file, "--threads", 1, *few)
    rows = named(found)
    assert found["models"] == ["small 7", "small 7"]
    assert found["equal_captions"] == "8 of 8"
    assert {"encode, ms", "bytes to caption, beam 5, ms", "service, 2 clients, photos/s"} < set(rows)
    [service] = (row for name, row in rows.items() if name.startswith("service"))
    assert service["ratio_median"] == pytest.approx(service["this"] / service["other"])
    assert "/compare-" not in worktrees()  # whose other trees may go on meanwhile


@pytest.mark.usefixtures("_in_git")
def test_compare_with_an_unknown_revision(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "no-such-revision"]) == 1
    assert "no-such-revision" in capsys.readouterr().err


def test_starts_are_compared_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, str]] = []
    seconds = {"a": 1.0, "b": 4.0}

    def fake(kind: str, key: str) -> Any:
        def begin(options: object, photo: bytes, root: Path) -> dict[str, float | None]:
            calls.append((kind, root.name))
            return {key: seconds[root.name], "resident_mib": None}

        return begin

    monkeypatch.setattr(compare, "start_library", fake("library", "import_s"))
    monkeypatch.setattr(compare, "start_service", fake("service", "ready_s"))
    rows = compare.started([Path("a"), Path("b")], b"", {}, 2)
    assert [(row["name"], row["ratio_median"]) for row in rows] == [
        (start.NAMES["import_s"], 0.25),
        (start.NAMES["ready_s"], 0.25),
    ]
    assert calls[2:] == [("library", "a"), ("service", "a"), ("library", "b"), ("service", "b")] * 2


def test_answers(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "0.jpg").write_bytes(made_up(0, 80, 60))
    records = [tmp_path / f"{number}.jsonl" for number in range(2)]
    for record in records:
        words = ["answers", "record", "--photos", tmp_path, "--url", f"http://{server.netloc}", "--out", record]
        assert main(list(map(str, words))) == 0
    assert main(["answers", "compare", *map(str, records)]) == 0
    assert " 0 answered otherwise" in capsys.readouterr().out
    lines = records[1].read_text().splitlines()
    records[1].write_text("\n".join([lines[0].replace('"status": 200', '"status": 500'), *lines[1:]]))
    assert main(["answers", "compare", *map(str, records)]) == 1
    assert "1 answered otherwise\n  0.jpg" in capsys.readouterr().out


def test_fuzz(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", "--url", f"http://{server.netloc}", "--count", "10"]) == 0
    assert "0 failures; the service lives" in capsys.readouterr().out


def test_family(shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--annotations", str(shapes / "train.json"), "--images", str(shapes / "train")]
    assert main(["family", *data, "--encoders", "tiny", "--photos", "4", "--steps", "2"]) == 0
    out = capsys.readouterr().out
    assert "of 9 models learnt" in out
    assert "| tiny | top_down | lstm |" in out


RECIPE = """
name = "tiny"
encoder_weights = "random"
cache = "{folder}/cache"
[data]
root = "{folder}"
train_annotations = "train.json"
train_images = "train"
val_annotations = "val.json"
val_images = "val"
[tokenizer]
min_count = 1
[model]
image = {{ size = 64 }}
encoder = {{ name = "tiny" }}
decoder = {{ embedding_size = 16, hidden_size = 16, attention_size = 16 }}
"""


CONCEPTS = """
name = "words"
image = {{ size = 64 }}
encoder = {{ name = "tiny" }}
words = {{ least_photos = 1, agreement = 1 }}
training = {{ epochs = 1, images_per_batch = 2, encoder_stage = "stride16" }}
[data]
root = "{folder}"
train_annotations = "train.json"
train_images = "train"
val_annotations = "val.json"
val_images = "val"
"""


@pytest.mark.usefixtures("_without_java")
def test_ingredients(shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(folder=shapes))
    concepts = tmp_path / "concepts.toml"
    concepts.write_text(CONCEPTS.format(folder=shapes))
    words = [
        "--recipe",
        str(recipe),
        "--concepts",
        str(concepts),
        "--photos",
        "4",
        "--epochs",
        "3",
        "--out",
        str(tmp_path / "runs"),
    ]
    assert main(["ingredients", *words]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(lines) == 14  # the heading, eleven runs, and two more searches


def test_a_runtime_that_a_model_is_not_for_is_told(
    small_checkpoint_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stages", "--checkpoint", str(small_checkpoint_file), "--runtime", "onnx"]) == 1
    assert "no ONNX graphs" in capsys.readouterr().err
