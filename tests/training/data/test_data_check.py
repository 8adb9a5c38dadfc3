"""The check finds what was made wrong, counts right, and says what to do."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.tokenizers import TOKENIZERS, WordTokenizer
from tests.support.pictures import noise_image
from training.__main__ import main
from training.data import CaptionSource
from training.data.check.check import CheckOptions, check, parts_of_file
from training.data.check.words import Lengths, count_words, coverage, unknown, vocabulary
from training.recipe import Recipe

ROWS = [
    ("a.png", "a dog runs", "train"),
    ("a.png", "a dog runs", "train"),
    ("a.png", "", "train"),
    ("b.png", "a dog jumps over the big red ball", "train"),
    ("copy of b.png", "a dog", "train"),
    ("none.png", "", "train"),
    ("cut.png", "Dog", "train"),
    ("leak of a.png", "the dog runs", "val"),
    ("missing.png", "a cat", "val"),
]


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """A table in which everything is wrong once."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, names in enumerate(
        [("a.png", "leak of a.png"), ("b.png", "copy of b.png"), ("none.png",), ("extra.png",)]
    ):
        for name in names:
            noise_image(seed).save(folder / name)
    (folder / "cut.png").write_bytes((folder / "b.png").read_bytes()[:90])
    lines = ["file,caption,split", *(",".join(row) for row in ROWS)]
    (tmp_path / "captions.csv").write_text("\n".join(lines))
    return tmp_path


def run(folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
    arguments = ["--annotations", str(folder / "captions.csv"), "--images", str(folder / "photos")]
    status = main(["check", *arguments, "--json", str(folder / "out.json"), *more])
    return status, json.loads((folder / "out.json").read_text())


def found(report: dict[str, Any]) -> dict[tuple[str, str], tuple[str, int]]:
    """Return findings as (part, first words) -> (level, count)."""
    return {
        (Path(finding["part"]).name, " ".join(finding["what"].split()[:3])): (finding["level"], finding["count"])
        for finding in report["findings"]
    }


def test_everything_that_is_wrong_is_found(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, report = run(messy)
    assert status == 1
    assert found(report) == {
        ("train", "photos that cannot"): ("serious", 1),
        ("val", "missing photos"): ("serious", 1),
        ("train and val", "photos that are"): ("serious", 1),
        ("train", "words that the"): ("warning", 12),
        ("val", "words that the"): ("warning", 4),
        ("train", "photos that are"): ("warning", 1),
        ("train", "photos without a"): ("warning", 1),
        ("train", "photos with an"): ("warning", 1),
        ("train", "captions of one"): ("warning", 1),
        ("train", "captions that a"): ("note", 1),
        ("photos", "photos that no"): ("note", 1),
    }
    out = capsys.readouterr().out
    for finding in report["findings"]:
        assert finding["advice"]
        assert finding["what"] in out
        for example in finding["examples"]:
            assert example in out
    assert "a.png = leak of a.png" in out
    assert "extra.png" in out
    assert [finding["level"] for finding in report["findings"]] == 3 * ["serious"] + 6 * ["warning"] + 2 * ["note"]


def test_nothing_is_found_where_nothing_is_wrong(recipe: Recipe, dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    data = recipe.data
    lines = [
        f'{part}_{kind} = "{getattr(data, f"{part}_{kind}")}"'
        for part in ("train", "val")
        for kind in ("annotations", "images")
    ]
    path.write_text("\n".join(['name = "x"', "[data]", f'root = "{data.root}"', *lines]))
    out = tmp_path / "out.json"
    assert main(["check", "--recipe", str(path), "--set", "tokenizer.min_count=2", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["findings"] == []
    assert report["parts"]["train"]["photos"] == 14
    assert report["parts"]["train"]["captions"] == 42
    assert report["parts"]["val"]["coverage"][0] == {
        "min_count": 2,
        "size": 17,
        "unknown": 0,
        "tokens": 1.0,
        "types": 1.0,
    }
    assert main(["check", "--recipe", str(path), "--set", "data.max_tokens=5", "--json", str(out)]) == 0
    [finding] = [item for item in json.loads(out.read_text())["findings"] if "max_tokens" in item["what"]]
    limit = int(finding["advice"].split(" = ")[1].split(",")[0])
    assert main(["check", "--recipe", str(path), "--set", f"data.max_tokens={limit}", "--json", str(out)]) == 0
    assert not [item for item in json.loads(out.read_text())["findings"] if "max_tokens" in item["what"]]


def test_captions_of_photos_that_are_not_listed_are_counted(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    noise_image(1).save(tmp_path / "photos" / "0.jpg")
    annotations = [
        {"id": number, "image_id": image_id, "caption": text}
        for number, (image_id, text) in enumerate([(1, "a dog runs"), (12345, "left out"), ("1", "too")])
    ]
    content = {"images": [{"id": 1, "file_name": "0.jpg"}], "annotations": annotations}
    (tmp_path / "captions.csv").write_text(json.dumps(content))
    _, report = run(tmp_path)
    assert found(report)["captions.csv", "captions of photos"] == ("warning", 2)
    [finding] = [item for item in report["findings"] if item["what"].startswith("captions of photos")]
    assert finding["examples"] == ["12345: left out", "'1': too"]
    assert report["parts"]["data"]["captions"] == 1


@pytest.mark.parametrize("tokenizer", ["word", "character"])
def test_captions_in_scripts_without_spaces_are_told(tokenizer: str, tmp_path: Path) -> None:
    texts = [
        "一只棕色的狗在草地上奔跑",
        "茶色の犬が草の上を走る",
        "สุนัขสีน้ำตาลวิ่งบนสนามหญ้า",
        "一只 狗 在 跑",
        "개가 달린다",
        "कुत्ता दौड़ रहा है",
    ]
    rows = [f"{number}.jpg,{text}" for number, text in enumerate(texts)]
    (tmp_path / "captions.csv").write_text("\n".join(["file,caption", *rows]), encoding="utf-8")
    parts = parts_of_file(CaptionSource(tmp_path / "captions.csv", tmp_path))
    report = check(parts, CheckOptions(tokenizer=tokenizer, photos=False))
    counts = [finding.count for finding in report.findings if "without spaces" in finding.what]
    assert counts == ([3] if tokenizer == "word" else [])


def test_missing_photos_that_are_there_by_another_name_are_hinted_at(messy: Path) -> None:
    (messy / "photos" / "missing.png").unlink(missing_ok=True)
    noise_image(7).save(messy / "photos" / "Missing.PNG")
    _, report = run(messy)
    [finding] = [item for item in report["findings"] if item["what"] == "missing photos"]
    assert finding["examples"] == ["missing.png (did you mean 'Missing.PNG'?)"]


def test_chosen_splits_are_parts_of_their_own(messy: Path) -> None:
    status, report = run(messy, "--split", "val")
    assert list(report["parts"]) == ["val"]
    assert ("train and val", "photos that are") not in found(report)
    assert found(report)["val", "words that the"] == ("serious", 5)  # none is there often enough
    (messy / "lists").write_text("a.png\n")
    (messy / "others").write_text("leak of a.png\n")
    status, report = run(messy, "--split", "lists", "others")
    assert status == 1
    assert found(report)["lists and others", "photos that are"] == ("serious", 1)


def test_photos_that_are_not_opened_are_only_looked_for(messy: Path) -> None:
    _, report = run(messy, "--no-photos")
    assert ("val", "missing photos") in found(report)
    assert not {key for key in found(report) if key[1] in ("photos that cannot", "photos that are")}


def test_the_same_file_in_two_parts_is_leakage_even_unopened(messy: Path) -> None:
    (messy / "lists").write_text("a.png\nb.png")
    (messy / "others").write_text("b.png\n")
    _, report = run(messy, "--no-photos", "--split", "lists", "others")
    assert found(report)["lists and others", "photos that are"] == ("serious", 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--annotations", "x.csv"], "--annotations needs --images"),
        (["--annotations", "x.csv", "--images", ".", "--set", "a=1"], "--set changes a recipe"),
        (["--recipe", "x.toml", "--images", "."], "--images, --split and --format go with --annotations"),
        (["--annotations", "x.csv", "--images", "."], "x.csv: cannot be read"),
    ],
)
def test_arguments_that_do_not_go_together(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *arguments]) == 1
    assert message in capsys.readouterr().err


captions = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=7).map(" ".join), max_size=8)


@settings(deadline=None)
@given(captions, captions, st.integers(1, 3), st.integers(0, 4))
def test_coverage_is_what_the_tokenizer_knows(
    learnt: list[str], read: list[str], min_count: int, max_size: int
) -> None:
    tokenizer = WordTokenizer.learn(learnt, min_count, max_size)
    words = [word for text in read for word in tokenizer.split(text)]
    unknown_words = Counter(word for word in words if not tokenizer.knows(word))
    counts = count_words(learnt, tokenizer.split), count_words(read, tokenizer.split)
    result = coverage(*counts, min_count, max_size)
    assert vocabulary(counts[0], min_count, max_size) == list(tokenizer.vocabulary)
    assert result.size == len(tokenizer.vocabulary)
    assert result.unknown == unknown_words.total()
    assert result.tokens * max(len(words), 1) == pytest.approx(len(words) - unknown_words.total())
    assert result.types * max(len(set(words)), 1) == pytest.approx(len(set(words)) - len(unknown_words))
    assert Counter(dict(unknown(*counts, min_count, max_size))) == unknown_words


@pytest.mark.parametrize("name", list(TOKENIZERS))
@settings(deadline=None)
@given(texts=captions, limit=st.integers(1, 9), share=st.floats(0.01, 1))
def test_lengths_are_those_of_tokens(name: str, texts: list[str], limit: int, share: float) -> None:
    split = TOKENIZERS[name].split
    lengths = Lengths.of(texts, split, limit)
    expected = sorted(len(split(text)) for text in texts)
    assert sorted(lengths.counts.elements()) == expected
    assert lengths.cut == sum(length > limit for length in expected)
    assert lengths.longest == max(expected, default=0)
    assert lengths.mean * max(len(texts), 1) == pytest.approx(sum(expected))
    enough = lengths.covering(share)
    assert sum(length <= enough for length in expected) >= share * len(expected)
    assert not expected or sum(length < enough for length in expected) < share * len(expected)
    bins = lengths.bins(most=4)
    assert len(bins) <= 4
    assert sum(count for _, _, count in bins) == len(texts)
    assert all(high + 1 == low for (_, high, _), (low, _, _) in pairwise(bins))
