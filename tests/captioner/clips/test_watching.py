"""Frames seen as one picture, in both runtimes: a still clip is its photo, and attention is over time and place."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner.__main__ import main
from captioner.clips import read_clip
from captioner.decoding import DecodingOptions
from captioner.errors import OptionError
from captioner.loading import RuntimeName
from captioner.predictor import CaptionPredictor
from captioner.runtimes.export import export_checkpoint
from tests.support.clips import animation
from tests.support.pictures import noise_image

pytestmark = pytest.mark.slow
RUNTIMES: Sequence[RuntimeName] = ("torch", "onnx")
PHOTOS = [noise_image(seed, 90, 70) for seed in (1, 2)]


@pytest.fixture(scope="module")
def exported(small_checkpoint_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "exported.safetensors"
    export_checkpoint(small_checkpoint_file, path)
    return path


@pytest.fixture(params=RUNTIMES)
def predictor(request: pytest.FixtureRequest, exported: Path) -> CaptionPredictor:
    return CaptionPredictor.from_checkpoint(exported, runtime=request.param)


def test_a_still_clip_has_the_photo_s_caption(predictor: CaptionPredictor) -> None:
    clip = read_clip(animation([PHOTOS[0]] * 6, [300] * 6, "PNG", disposal=1), shrink=predictor.prepare)
    [shot] = clip.shots
    [expected] = predictor.captions([PHOTOS[0]])[0]
    [found] = predictor.caption_frames(shot.frames)
    assert (found.text, found.log_prob, found.words) == (expected.text, expected.log_prob, expected.words)
    assert found.attention is not None
    assert expected.attention is not None
    assert np.array_equal(found.attention[:, 0], expected.attention)


def test_the_same_frame_several_times_has_the_photo_s_caption_too(predictor: CaptionPredictor) -> None:
    [expected] = predictor.captions([PHOTOS[0]])[0]
    [found] = predictor.caption_frames([PHOTOS[0]] * 3)
    assert found.text == expected.text
    assert found.log_prob == pytest.approx(expected.log_prob, abs=1e-3)
    assert expected.attention is not None
    assert found.attention is not None
    np.testing.assert_allclose(found.attention, np.stack([expected.attention] * 3, axis=1) / 3, atol=1e-5)


def test_attention_sums_to_one_over_time_and_place(predictor: CaptionPredictor) -> None:
    for caption in predictor.caption_frames(PHOTOS, DecodingOptions(num_captions=3, min_length=2)):
        assert caption.attention is not None
        assert caption.attention.shape[:2] == (len(caption.words), 2)
        np.testing.assert_allclose(caption.attention.sum(axis=(1, 2, 3)), 1, atol=1e-5)
        assert np.ptp(caption.attention.sum(axis=(2, 3)), axis=1).max() > 1e-4  # not the same in both frames


@pytest.mark.parametrize("count", [1, 2, 5])
def test_both_runtimes_agree_on_several_frames(exported: Path, count: int) -> None:
    frames: list[Image.Image] = [noise_image(seed, 64, 64) for seed in range(count)]
    options = DecodingOptions(num_captions=3)
    torch, onnx = (
        CaptionPredictor.from_checkpoint(exported, runtime=one).caption_frames(frames, options) for one in RUNTIMES
    )
    assert [one.text for one in onnx] == [one.text for one in torch]
    for ours, theirs in zip(onnx, torch, strict=True):
        assert ours.log_prob == pytest.approx(theirs.log_prob, abs=1e-3)
        assert ours.attention is not None
        assert theirs.attention is not None
        np.testing.assert_allclose(ours.attention, theirs.attention, atol=1e-4)


def test_two_photos_have_both_captions_at_their_times(predictor: CaptionPredictor) -> None:
    clip = read_clip(animation(PHOTOS, [1500, 1000], "PNG"), shrink=predictor.prepare)
    assert [(shot.start, shot.end) for shot in clip.shots] == [(0, 1.5), (1.5, 2.5)]
    texts = [predictor.caption_frames(shot.frames)[0].text for shot in clip.shots]
    assert texts == [predictor.caption(photo).text for photo in PHOTOS]


def test_no_frames_are_refused(predictor: CaptionPredictor) -> None:
    with pytest.raises(OptionError, match="at least one is needed"):
        predictor.caption_frames([])


def test_graphs_of_an_earlier_version_say_so() -> None:
    """The check reads the graph's own shapes; here a graph whose number of locations is fixed."""
    from captioner.runtimes.onnx import _check_locations  # noqa: PLC0415
    from captioner.types import Features  # noqa: PLC0415

    seen = Features(np.zeros((1, 3), np.float32), np.zeros((1, 8, 3), np.float32), 4, 2)
    _check_locations({"grid": ["rows", 8, 3]}, seen)
    _check_locations({"grid": ["rows", "locations", 3]}, seen)
    with pytest.raises(OptionError, match="captioner export makes new ones"):
        _check_locations({"grid": ["rows", 4, 3]}, seen)


@pytest.fixture
def clip_file(tmp_path: Path) -> Path:
    path = tmp_path / "two.png"
    path.write_bytes(animation(PHOTOS, [1500, 1000], "PNG"))
    return path


def watch(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main(["watch", *map(str, arguments)])
    return status, *capsys.readouterr()


def test_the_command_prints_lines_json_and_subtitles(
    exported: Path, clip_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = watch(capsys, clip_file, "--checkpoint", exported, "--min-length", 2)
    rows = [line.split("\t") for line in out.splitlines()]
    assert (status, [row[:2] for row in rows]) == (0, [["0.000", "1.500"], ["1.500", "2.500"]])
    told = json.loads(watch(capsys, clip_file, "--checkpoint", exported, "--min-length", 2, "--json")[1])
    assert [shot["caption"]["text"] for shot in told["shots"]] == [row[2] for row in rows]
    assert np.shape(told["shots"][0]["caption"]["attention"])[1:] == (1, 2, 2)
    assert told["clip"] == {"width": 90, "height": 70, "format": "PNG", "seconds": 2.5, "frames": 2}
    assert told["shots"][1]["frames"] == [1.5]
    subtitles = watch(capsys, clip_file, "--checkpoint", exported, "--min-length", 2, "--vtt")[1]
    assert subtitles.startswith(f"WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n{rows[0][2]}\n\n00:00:01.500")


def test_the_command_tells_what_is_wrong(clip_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(clip_file.read_bytes()[:300])
    status, _, told = watch(capsys, broken)
    assert (status, told.count("\n")) == (1, 1)
    assert "broken.png: the PNG clip is truncated" in told
    status, _, told = watch(capsys, clip_file, "--review", "omit")
    assert status == 2
    assert "it goes with --vtt" in told
    assert watch(capsys, clip_file, "--frames", 9)[0] == 2
