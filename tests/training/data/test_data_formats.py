"""Files of captions: every format to the same photos and captions, and errors that name the place."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from captioner.errors import ConfigError
from training.data.formats.annotations import Entry
from training.data.formats.table import FORMATS, read_entries, unlisted_captions
from training.errors import DataError

CAPTIONS = {
    "a dog.jpg": ["A dog , running", 'The "big" dog .', "Ein Hund läuft"],
    "b/2.png": ["two | children; play"],
    "c.jpg": ["a man", "a man"],
}
Writer = Callable[[dict[str, list[str]]], str]


def coco(photos: dict[str, list[str]]) -> str:
    images = [{"id": 70 + index, "file_name": name} for index, name in enumerate(photos)]
    pairs = [(70 + index, caption) for index, texts in enumerate(photos.values()) for caption in texts]
    annotations = [{"id": n, "image_id": image, "caption": caption} for n, (image, caption) in enumerate(pairs)]
    return json.dumps({"info": {}, "images": images[::-1], "annotations": annotations[::-1]})


def karpathy(photos: dict[str, list[str]]) -> str:
    images = []
    for index, (name, texts) in enumerate(photos.items()):
        path = Path(name)
        image: dict[str, Any] = {"filename": path.name, "split": "train", "imgid": index}
        if path.parent != Path():
            image["filepath"] = str(path.parent)
        images.append({**image, "sentences": [{"tokens": text.split(), "raw": text} for text in texts]})
    return json.dumps({"images": images, "dataset": "toy"})


def token(photos: dict[str, list[str]]) -> str:
    lines = [f"{name}#{n}\t{text}" for name, texts in photos.items() for n, text in enumerate(texts)]
    return "\r\n".join(sorted(lines, reverse=True)) + "\r\n\r\n"


def piped(photos: dict[str, list[str]]) -> str:
    lines = [f"{name}| {n}| {text}" for name, texts in photos.items() for n, text in enumerate(texts)]
    return "\n".join(["image_name| comment_number| comment", *lines])


def table(delimiter: str, *header: str) -> Writer:
    def write(photos: dict[str, list[str]]) -> str:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows([name, text, "ignored"][: len(header)] for name, texts in photos.items() for text in texts)
        return text.getvalue()

    return write


def wide(photos: dict[str, list[str]]) -> str:
    rows = [[name, *texts, "", ""][:4] for name, texts in photos.items()]
    text = io.StringIO()
    csv.writer(text).writerows([["File Name", "caption_0", "caption_1", "caption_2"], *rows])
    return text.getvalue()


def jsonl(photos: dict[str, list[str]]) -> str:
    return "\n".join(json.dumps({"image": name, "text": text}) for name, texts in photos.items() for text in texts)


def jsonl_lists(photos: dict[str, list[str]]) -> str:
    return "\n".join(json.dumps({"captions": texts, "file_name": name}) for name, texts in photos.items())


def json_list(photos: dict[str, list[str]]) -> str:
    items = [{"image": name, "caption": text, "image_id": f"x_{name}"} for name, ts in photos.items() for text in ts]
    return json.dumps(items, indent=1)


def json_list_of_lists(photos: dict[str, list[str]]) -> str:
    return json.dumps([{"image": name, "caption": texts} for name, texts in photos.items()])


WRITERS: list[tuple[str, Writer]] = [
    ("json-list", json_list),
    ("json-list", json_list_of_lists),
    ("coco", coco),
    ("karpathy", karpathy),
    ("flickr-token", token),
    ("flickr30k-csv", piped),
    ("csv", table(",", "file", "caption")),
    ("csv", table(";", "Image_Path", "Comment", "author")),
    ("csv", table("\t", "photo", "description")),
    ("csv", table("|", "image-name", "sentence")),
    ("csv", wide),
    ("jsonl", jsonl),
    ("jsonl", jsonl_lists),
]


def captions_of(entries: list[Entry]) -> dict[str, list[str]]:
    return {entry.file: list(entry.captions) for entry in entries}


@pytest.mark.parametrize(("name", "write"), WRITERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_format_says_the_same(name: str, write: Writer, encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "captions"
    file.write_bytes(write(CAPTIONS).encode(encoding))
    assert captions_of(read_entries(file)) == CAPTIONS
    assert read_entries(file) == read_entries(file, name)
    recognising = [known for known, entry in FORMATS.items() if captions_of_or_none(file, known) == CAPTIONS]
    assert name in recognising


def captions_of_or_none(file: Path, name: str) -> dict[str, list[str]] | None:
    try:
        return captions_of(read_entries(file, name))
    except DataError:
        return None


def test_every_format_is_tested() -> None:
    assert {name for name, _ in WRITERS} == set(FORMATS)


names = st.text("abc1._-", min_size=1, max_size=6).map(lambda name: f"{name}.jpg")
texts = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=12).filter(str.strip)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(names, st.lists(texts, min_size=1, max_size=3), min_size=1, max_size=4))
def test_any_caption_survives_every_format(
    tmp_path_factory: pytest.TempPathFactory, photos: dict[str, list[str]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    expected = {name: [text.strip() for text in texts] for name, texts in photos.items()}
    for _, write in WRITERS:
        if write is not wide:
            file.write_text(write(photos), encoding="utf-8")
            assert captions_of(read_entries(file)) == expected


def test_coco_is_read_as_pycocotools_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "captions.json"
    content = json.loads(coco(CAPTIONS))
    content["annotations"] += [{"id": 99, "image_id": 12345, "caption": "of a photo that is not listed"}]
    content["images"] += [{"id": 3, "file_name": "without.jpg"}]
    file.write_text(json.dumps(content))
    oracle = COCO(str(file))
    assert {entry.image_id: entry.file for entry in read_entries(file)} == {
        image_id: image["file_name"] for image_id, image in oracle.imgs.items()
    }
    for entry in read_entries(file):
        annotations = sorted(oracle.imgToAnns[entry.image_id], key=lambda annotation: annotation["id"])
        assert list(entry.captions) == [annotation["caption"] for annotation in annotations]


@pytest.mark.parametrize("annotation_ids", [[7, 3, 5, 1], ["b", "a", "d", "c"], None])
def test_ids_that_are_texts_or_missing_are_read_as_pycocotools_reads_them(
    annotation_ids: list[Any] | None, tmp_path: Path
) -> None:
    images = [{"id": "b-2", "file_name": "b.jpg"}, {"id": 3, "file_name": "c.jpg"}, {"id": "3", "file_name": "a.jpg"}]
    owners, texts = ["b-2", "3", "b-2", "unknown"], ["one", "two", "three", "four"]
    annotations = [{"image_id": owner, "caption": text} for owner, text in zip(owners, texts, strict=True)]
    for annotation, number in zip(annotations, annotation_ids or [], strict=False):
        annotation["id"] = number
    (tmp_path / "c.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    first = ["three", "one"] if annotation_ids == [7, 3, 5, 1] else ["one", "three"]
    assert read_entries(tmp_path / "c.json") == [
        Entry("c.jpg", (), image_id=3),
        Entry("a.jpg", ("two",), text_id="3"),
        Entry("b.jpg", tuple(first), text_id="b-2"),
    ]
    assert unlisted_captions(tmp_path / "c.json") == ["'unknown': four"]
    if annotation_ids:
        oracle = COCO(str(tmp_path / "c.json"))
        for entry in read_entries(tmp_path / "c.json"):
            found = oracle.imgToAnns[entry.text_id or entry.image_id]
            assert sorted(item["caption"] for item in found) == sorted(entry.captions)


def test_lists_keep_their_ids(tmp_path: Path) -> None:
    items = [
        {"image": "val2014/x.jpg", "caption": " a dog ", "image_id": "coco_1"},
        {"image": "y.jpg", "caption": ["b", "c"], "img_id": 4, "split": "val"},
        {"image": "val2014/x.jpg", "caption": "runs", "image_id": "coco_1"},
        {"image": "z.jpg", "caption": []},
    ]
    (tmp_path / "l.json").write_text(json.dumps(items))
    assert read_entries(tmp_path / "l.json") == [
        Entry("val2014/x.jpg", ("a dog", "runs"), text_id="coco_1"),
        Entry("y.jpg", ("b", "c"), "val", 4),
        Entry("z.jpg", ("",)),
    ]


def test_karpathy_ids_and_folders_are_coco_s(tmp_path: Path) -> None:
    image = {"filename": "x.jpg", "filepath": "val2014", "split": "restval", "imgid": 0, "cocoid": 391895}
    (tmp_path / "d.json").write_text(json.dumps({"images": [{**image, "sentences": [{"raw": " a man "}]}]}))
    assert read_entries(tmp_path / "d.json") == [Entry("val2014/x.jpg", ("a man",), "restval", 391895)]


def test_a_table_may_say_the_split(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,caption,split\na.jpg,x,train\nb.jpg,y,val\na.jpg,z,train\n")
    assert read_entries(tmp_path / "t.csv") == [Entry("a.jpg", ("x", "z"), "train"), Entry("b.jpg", ("y",), "val")]


def test_commas_in_the_last_cell_need_no_quotes(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,caption\na.jpg,A dog, a cat, and a bird\n")
    assert captions_of(read_entries(tmp_path / "t.csv")) == {"a.jpg": ["A dog, a cat, and a bird"]}


def test_the_flickr30k_line_without_its_second_bar(tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    file.write_text("image_name| comment_number| comment\n2199200615.jpg| 3| A\n2199200615.jpg| 4   A dog runs .\n")
    assert captions_of(read_entries(file)) == {"2199200615.jpg": ["A", "A dog runs ."]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        (
            "a.jpg a dog\n",
            r"no known format of captions; it has the first line 'a.jpg a dog'(?s:.*)coco: .*(?s:.*)csv: ",
        ),
        ('{"photos": []}', "a JSON object with the keys photos"),
        ('[{"file": 1}]', "no known format"),
        ('{"images": [\n{"id": }]}', "line 2, column 8: not valid JSON"),
        ('{"images": {}, "annotations": []}', "images: a list is expected; it is {}"),
        ('{"images": [4], "annotations": []}', r"images\[0\]: an object is expected; it is 4"),
        ('{"images": [{"id": 1}], "annotations": []}', r"images\[0\]: 'file_name' is missing; there are 'id'"),
        (
            '{"images": [{"id": 1.5, "file_name": "x"}], "annotations": []}',
            r"images\[0\]: 'id' must be of type int or str; it is 1\.5",
        ),
        ('[{"image": "a.jpg", "caption": "x"}, 4]', r", \[1\]: an object is expected; it is 4"),
        ('[{"image": "a.jpg", "caption": "x"}, {"image": "b.jpg"}]', r", \[1\]: it must have a text, or a list"),
        (
            '[{"image": "a.jpg", "caption": "x", "image_id": 1}, {"image": "a.jpg", "caption": "y", "image_id": "1"}]',
            r", \[1\]: a\.jpg has the id '1', but before 1",
        ),
        ('[{"image": "a.jpg", "caption": "x"},\n{"image": ]', "line 2, column 11: not valid JSON"),
        (
            '{"images": [{"id": 1, "file_name": "x"}, {"id": 1, "file_name": "y"}], "annotations": []}',
            r"images\[1\]: the id 1 is there twice",
        ),
        ('{"images": [], "annotations": [{"id": 1, "image_id": 1}]}', r"annotations\[0\]: 'caption' is missing"),
        ('{"images": [{"filename": "x", "sentences": ["a"]}]}', r"images\[0\].sentences: objects with 'raw'"),
        ('{"images": [{"filename": "x", "sentences": [{}]}]}', r"images\[0\].sentences\[0\]: 'raw' is missing"),
        (
            "a.jpg#0\ta dog\na.jpg a dog\n",
            "line 2: expected is NAME.jpg#0, a tab, and the caption; it is 'a.jpg a dog'",
        ),
        ("image_name| comment_number| comment\na.jpg\n", "line 2: expected is"),
        ("file,caption\na.jpg,x\n\nb.jpg\n", "line 4: it has 1 cells; the header has 2"),
        ("file,caption\n,x\n", "line 2: it names no photo"),
        ('file,caption\na.jpg,x\nb.jpg,"y\nc.jpg,z\n', "line 3: not readable as CSV"),
        ('file,caption\na.jpg,"x\ny"\nb.jpg\n', "line 4: it has 1 cells"),
        (
            "file,caption,split\na.jpg,x,train\na.jpg,y,val\n",
            "line 3: a.jpg is in split 'val', but before in split 'train'",
        ),
        ('{"file": "a.jpg", "caption": "x"}\n{"file": "a.jpg"}\n', "line 2: it must have a text, or a list of texts"),
        ('{"file": "a.jpg", "caption": "x"}\n{"caption": "x"}\n', "line 2: it must name a photo under one of: file, "),
        ('{"file": "a.jpg", "caption": "x"}\n[]\n', "line 2: an object is expected"),
        ('{"file": "a.jpg", "caption": "x"}\n{"file"\n', "line 2: not valid JSON"),
    ],
)
def test_errors_name_the_place(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_entries(file)
    assert str(caught.value).startswith(str(file))


def test_files_that_are_no_text_and_unknown_formats(tmp_path: Path) -> None:
    file = tmp_path / "captions.txt"
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_entries(file)
    file.write_bytes(b"file,caption\na.jpg,x\nb.jpg,caf\xe9\n")
    with pytest.raises(DataError, match="line 3: byte 0xe9 is not utf-8"):
        read_entries(file)
    with pytest.raises(ConfigError, match="unknown caption format 'tsv'; choose one of: coco, csv, "):
        read_entries(file, "tsv")
    file.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="line 1: the header 'a,b' must name a photo and a caption"):
        read_entries(file, "csv")
