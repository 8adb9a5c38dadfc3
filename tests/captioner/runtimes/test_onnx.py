"""Exported models against torch: every encoder, decoder, cell and way to see the image; all that a predictor says."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from PIL import Image
from safetensors.numpy import load_file
from torch import nn

from captioner.calibration import Calibration
from captioner.cells import CELLS
from captioner.checkpoint import Checkpoint, copy_with_calibration, load_checkpoint, save_checkpoint
from captioner.config import DecoderConfig, EncoderConfig, ImageConfig, ModelConfig
from captioner.decoders import DECODERS
from captioner.decoding import DecodingOptions
from captioner.encoders import ENCODERS
from captioner.errors import CheckpointError, OptionError
from captioner.header import BLOCK, LARGEST, read_header
from captioner.model import CaptionModel
from captioner.predictor import CaptionPredictor
from captioner.runtimes.export import export_checkpoint
from captioner.runtimes.graphs import EXACT, IntegerMatrices
from captioner.runtimes.onnx import OnnxRuntime
from captioner.runtimes.padding import fold_padding
from captioner.runtimes.tracing import _means, export_graph
from captioner.runtimes.weights import in_blocks
from captioner.tokenizers import CharacterTokenizer, Tokenizer, WordTokenizer
from captioner.types import Caption
from tests.conftest import WORDS
from tests.support.networks import calibrate

FAMILY = list(product(DECODERS, CELLS, ("every_step", "initial_state", "first_input")))
TINY = EncoderConfig("tiny")
SMALL = DecoderConfig(embedding_size=8, hidden_size=12, attention_size=6, layers=2)
TIMM = ("timm:resnet18", "timm:convnext_atto")
SEARCHES = {
    "greedy": DecodingOptions(beam_size=1, max_length=8),
    "beam": DecodingOptions(beam_size=4, num_captions=4, max_length=8),
    "diverse": DecodingOptions(beam_size=6, groups=3, num_captions=4, max_length=8),
    "sample": DecodingOptions(search="sample", num_captions=3, max_length=8, seed=3),
    "beginning": DecodingOptions(beam_size=3, num_captions=2, max_length=8, beginning="two dog"),
}


def build(decoder: DecoderConfig, encoder: EncoderConfig = TINY, tokenizer: Tokenizer | None = None) -> Checkpoint:
    torch.manual_seed(0)
    tokenizer = tokenizer or WordTokenizer(WORDS)
    model = CaptionModel(ModelConfig(ImageConfig(size=64), encoder, decoder), len(tokenizer))
    calibrate(model.encoder)
    for parameter in model.decoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return Checkpoint(model, tokenizer, {"name": "small", "version": "7"})


def exported(checkpoint: Checkpoint, folder: Path, bits: int = 32) -> Path:
    save_checkpoint(checkpoint, folder / "plain.safetensors")
    export_checkpoint(folder / "plain.safetensors", folder / "exported.safetensors", bits)
    return folder / "exported.safetensors"


def both(file: Path) -> tuple[CaptionPredictor, CaptionPredictor]:
    torch_predictor = CaptionPredictor.from_checkpoint(file, runtime="torch", threads=1)
    return torch_predictor, CaptionPredictor.from_checkpoint(file, runtime="onnx", threads=1)


def assert_same(expected: list[list[Caption]], found: list[list[Caption]], within: float = 1e-4) -> None:
    for theirs, ours in zip(expected, found, strict=True):
        assert [one.text for one in ours] == [one.text for one in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert_same_numbers(one, other, within)


def assert_same_numbers(one: Caption, other: Caption, within: float) -> None:
    assert one.log_prob == pytest.approx(other.log_prob, abs=within)
    assert [word.log_prob for word in one.words] == pytest.approx([word.log_prob for word in other.words], abs=within)
    assert (one.finished, one.needs_review) == (other.finished, other.needs_review)
    assert one.confidence == pytest.approx(other.confidence, abs=within)
    assert (one.attention is None) == (other.attention is None)
    if one.attention is not None and other.attention is not None:
        np.testing.assert_allclose(one.attention, other.attention, atol=within)
    assert list(one.activations or {}) == list(other.activations or {})
    for name, values in (one.activations or {}).items():
        np.testing.assert_allclose(values, (other.activations or {})[name], atol=within)


@pytest.fixture(scope="module", params=FAMILY, ids="-".join)
def member(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    name, cell, condition = request.param
    config = replace(SMALL, name=name, cell=cell, condition=condition, residual=True)
    return both(exported(build(config), tmp_path_factory.mktemp("member")))


def test_every_decoder_says_the_same_in_both(
    member: tuple[CaptionPredictor, CaptionPredictor], pictures: list[Image.Image]
) -> None:
    theirs, ours = member
    for options in SEARCHES.values():
        assert_same(theirs.captions(pictures, options), ours.captions(pictures, options))
    inside, expected = (one.captions(pictures[:2], SEARCHES["beam"], activations=True) for one in (ours, theirs))
    assert_same(expected, inside)
    texts = ["a dog", "Two children run on the grass!", "the wombat's ball"]
    scored, expected = ([[one] for one in predictor.scores(pictures[:3], texts)] for predictor in (ours, theirs))
    assert_same(expected, scored)
    assert ours.attends == theirs.attends


@pytest.mark.parametrize(
    "decoder",
    [
        replace(SMALL, tied=True, embedding_size=12),
        replace(SMALL, members=3),
        replace(SMALL, name="conditioned", members=2, cell="gru"),
    ],
    ids=["tied", "ensemble", "blind ensemble"],
)
def test_tied_matrices_and_ensembles(decoder: DecoderConfig, tmp_path: Path, pictures: list[Image.Image]) -> None:
    theirs, ours = both(exported(build(decoder), tmp_path))
    options = SEARCHES["beam"]
    assert_same(
        theirs.captions(pictures, options, activations=True), ours.captions(pictures, options, activations=True)
    )


def test_branches_and_characters(tmp_path: Path, pictures: list[Image.Image]) -> None:
    encoder = EncoderConfig("tiny", branches=2, branch_stage="stride8")
    decoder = replace(SMALL, members=2, reads=(1, 0))
    theirs, ours = both(exported(build(decoder, encoder, CharacterTokenizer(list("abcde "))), tmp_path))
    options = replace(SEARCHES["beam"], num_captions=2)
    assert_same(theirs.captions(pictures, options), ours.captions(pictures, options))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(name for name in ENCODERS if name != "tiny"), *TIMM])
def test_every_encoder_sees_the_same_in_both(name: str, tmp_path: Path, pictures: list[Image.Image]) -> None:
    theirs, ours = both(exported(build(SMALL, EncoderConfig(name)), tmp_path))
    expected, found = theirs.encode(pictures[:3]), ours.encode(pictures[:3])
    assert (found.rows, found.cols) == (expected.rows, expected.cols)
    assert expected.grid is not None
    for one, other in ((found.vector, expected.vector.numpy()), (found.grid, expected.grid.numpy())):
        assert one is not None
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * float(np.abs(other).max()))


def test_an_encoder_may_give_its_vector_alone(tmp_path: Path, pictures: list[Image.Image]) -> None:
    config = replace(SMALL, name="conditioned")
    theirs, ours = both(exported(build(config, EncoderConfig("tiny", outputs="vector")), tmp_path))
    assert_same(theirs.captions(pictures), ours.captions(pictures))
    assert ours.encode(pictures[:1]).grid is None


@pytest.mark.parametrize(("size", "count"), [(14, 7), (4, 7), (9, 7), (5, 2)])
def test_pools_are_matrices(size: int, count: int) -> None:
    maps = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    pooled = _means(size, count) @ maps @ _means(size, count).t()
    torch.testing.assert_close(pooled, nn.AdaptiveAvgPool2d(count)(maps))


@pytest.fixture(scope="module")
def integers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose decoder multiplies integers, large enough that rounding does not change what it says."""
    decoder = DecoderConfig(embedding_size=64, hidden_size=96, attention_size=32, tied=False)
    checkpoint = build(decoder)
    for parameter in checkpoint.model.decoder.parameters():
        nn.init.normal_(parameter, std=0.15)
    return exported(checkpoint, tmp_path_factory.mktemp("integers"), bits=8)


def test_integers_are_close_to_torch(integers: Path, pictures: list[Image.Image]) -> None:
    theirs, ours = both(integers)
    texts = ["a dog runs on the grass"] * len(pictures)
    pairs = list(zip(theirs.scores(pictures, texts), ours.scores(pictures, texts), strict=True))
    errors = [a.log_prob - b.log_prob for one, two in pairs for a, b in zip(one.words, two.words, strict=True)]
    assert 0 < float(np.abs(errors).max()) < 0.1


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize(("name", "cell"), list(product(DECODERS, CELLS)))
def test_every_decoder_multiplies_integers(
    name: str, cell: str, members: int, tmp_path: Path, pictures: list[Image.Image]
) -> None:
    decoder = DecoderConfig(
        name=name, cell=cell, embedding_size=40, hidden_size=48, attention_size=32, members=members, layers=2
    )
    checkpoint = build(decoder, tokenizer=WordTokenizer([*WORDS, *(f"w{index}" for index in range(EXACT))]))
    for parameter in checkpoint.model.decoder.parameters():
        nn.init.normal_(parameter, std=0.15)
    file = exported(checkpoint, tmp_path, bits=8)
    theirs, ours = both(file)
    one, other = (predictor.score(pictures[0], "a dog runs on the grass") for predictor in (theirs, ours))
    errors = [a.log_prob - b.log_prob for a, b in zip(one.words, other.words, strict=True)]
    assert 0 < float(np.abs(errors).max()) < 0.1
    assert len(ours.captions(pictures)) == len(pictures)
    assert b"MatMulNBits" in file.read_bytes()


def test_a_batch_of_integers_gives_what_each_picture_gives_alone(integers: Path, pictures: list[Image.Image]) -> None:
    """But for numbers that the last bits of the encoder's make round to the other side."""
    _, ours = both(integers)
    for options in SEARCHES.values():
        free = replace(options, beginning="")
        assert_same(ours.captions(pictures, free), [ours.captions([one], free)[0] for one in pictures], within=5e-3)


def test_the_likeliest_words_are_scored_exactly() -> None:
    torch.manual_seed(0)
    layer, told = nn.Linear(40, 300), torch.randn(6, 40)
    model = export_graph(nn.Sequential(layer, nn.LogSoftmax(dim=1)), [told], ["told"], ["log_probs"])
    IntegerMatrices(model, ["0.weight"]).apply()
    integers, steps = in_blocks(layer.weight.detach().numpy())
    for one in model.graph.initializer:
        if one.name in ("0.weight.integers", "0.weight.scales"):
            one.CopyFrom(numpy_helper.from_array(integers if one.name.endswith("integers") else steps, one.name))
    [found] = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {"told": told.numpy()}
    )
    scores = layer(told).detach().numpy()
    order = np.argsort(-scores, axis=1)
    best, rest = (np.take_along_axis(scores - found, part, axis=1) for part in (order[:, :10], order[:, 2 * EXACT :]))
    assert best.std(axis=1).max() < 1e-5  # but for what all words of a row have in common, the sum of their chances
    assert rest.std(axis=1).min() > 1e-4


def test_a_matrix_in_blocks_is_rounded_to_the_nearest_step() -> None:
    matrix = np.random.default_rng(0).standard_normal((5, 2 * BLOCK + 3), dtype=np.float32)
    matrix[2] = 0
    integers, steps = in_blocks(matrix)
    assert integers.shape == (5, 3, BLOCK)
    restored = ((integers.astype(np.float32) - 128) * steps[:, :, None]).reshape(5, -1)
    half = np.repeat(steps, BLOCK, axis=1) / 2
    assert (np.abs(restored[:, : matrix.shape[1]] - matrix) <= 1.001 * half[:, : matrix.shape[1]]).all()
    assert not restored[:, matrix.shape[1] :].any()
    rounded = np.array([[-127, 0, 3], [5, 127, -1]], dtype=np.int8)
    integers, steps = in_blocks(rounded, np.array([0.5, 2], dtype=np.float32))
    assert (integers[:, 0, :3].astype(int) - 128).tolist() == rounded.tolist()
    assert steps.tolist() == [[0.5], [2.0]]


def test_what_is_rounded_in_blocks_is_stored_so(integers: Path, pictures: list[Image.Image]) -> None:
    """Either runtime multiplies by what ONNX Runtime made of half precision before."""
    tensors = load_file(integers)
    found = [name for name in tensors if name + LARGEST in tensors]
    assert "decoder.language.cells.0.input.weight" in found
    plain = load_checkpoint(integers.parent / "plain.safetensors").model.state_dict()
    restored = load_checkpoint(integers).model.state_dict()
    for name in found:
        assert tensors[name].dtype == np.int8
        expected, steps = in_blocks(plain[name].half().numpy())
        largest = np.maximum(tensors[name + LARGEST].astype(np.float32), np.finfo(np.float32).tiny)
        given, theirs = in_blocks(tensors[name], np.asarray(largest / np.float32(127), dtype=np.float32))
        assert np.array_equal(given, expected)
        assert np.array_equal(theirs, steps)
        numbers = (expected.astype(np.float32) - 128) * steps[:, :, None]
        assert np.array_equal(restored[name].numpy(), numbers.reshape(len(numbers), -1)[:, : restored[name].shape[1]])
    assert both(integers)[1].captions(pictures)


def test_images_side_by_side_are_seen_as_alone(tmp_path: Path, pictures: list[Image.Image]) -> None:
    file = exported(build(SMALL), tmp_path)
    one, three = (CaptionPredictor.from_checkpoint(file, threads=threads) for threads in (1, 3))
    for count in (1, 2, 3, 5):
        images = (pictures * 2)[:count]
        expected, found = one.encode(images), three.encode(images)
        np.testing.assert_allclose(found.vector, expected.vector, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.require_grid(), expected.require_grid(), rtol=1e-4, atol=1e-5)


def test_convolutions_take_over_padding() -> None:
    torch.manual_seed(0)
    layers = [nn.ConstantPad2d((1, 2, 0, 3), 0.0), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(2, 3, 3, stride=2, padding=1)]
    network, pixels = (
        nn.Sequential(*layers, nn.ReLU(), nn.ZeroPad2d(1), nn.MaxPool2d(2)).eval(),
        torch.randn(1, 2, 9, 8),
    )
    model = export_graph(network, [pixels], ["pixels"], ["maps"])
    fold_padding(model)
    assert [node.op_type for node in model.graph.node].count("Pad") == 1  # that of the pool
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"pixels": pixels.numpy()})[0], network(pixels).detach(), atol=1e-5)


def test_one_file_serves_both(integers: Path, tmp_path: Path, pictures: list[Image.Image]) -> None:
    half = tmp_path / "half.safetensors"
    save_checkpoint(load_checkpoint(integers), half, torch.float16)
    plain = CaptionPredictor.from_checkpoint(half)  # has no graphs
    assert isinstance(CaptionPredictor.from_checkpoint(integers).runtime, OnnxRuntime)
    assert not isinstance(plain.runtime, OnnxRuntime)
    assert plain.captions(pictures[:1])[0][0].text == both(integers)[0].captions(pictures[:1])[0][0].text
    assert integers.stat().st_size < 2 * tmp_path.joinpath("half.safetensors").stat().st_size


def test_a_calibration_keeps_the_graphs(integers: Path, tmp_path: Path, calibration: Calibration) -> None:
    target = tmp_path / "calibrated.safetensors"
    copy_with_calibration(integers, target, calibration)
    predictor = CaptionPredictor.from_checkpoint(target, runtime="onnx")
    assert predictor.calibration == calibration
    assert read_header(target)["onnx"] == read_header(integers)["onnx"]


def test_an_export_can_be_exported_again(integers: Path, tmp_path: Path, pictures: list[Image.Image]) -> None:
    again = tmp_path / "again.safetensors"
    export_checkpoint(integers, again, bits=8)
    first, second = (CaptionPredictor.from_checkpoint(file, runtime="onnx") for file in (integers, again))
    assert_same(first.captions(pictures), second.captions(pictures))


def test_what_cannot_be_run_or_exported_is_refused(
    integers: Path, small_checkpoint_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match="has no ONNX graphs"):
        CaptionPredictor.from_checkpoint(small_checkpoint_file, runtime="onnx")
    with pytest.raises(OptionError, match="runtime is 'tensorrt'; it must be one of auto, onnx, torch"):
        CaptionPredictor.from_checkpoint(small_checkpoint_file, runtime="tensorrt")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="bits is 4; it must be one of 8, 32"):
        export_checkpoint(small_checkpoint_file, tmp_path / "x.safetensors", bits=4)
    monkeypatch.setattr("captioner.loading.find_spec", lambda _: None)
    with pytest.raises(OptionError, match=r"torch must be installed: pip install 'captioner\[torch\]'; or, where"):
        CaptionPredictor.from_checkpoint(small_checkpoint_file)


def test_graphs_of_another_version_are_refused(integers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("captioner.runtimes.onnx.GRAPH_VERSION", 3)
    with pytest.raises(CheckpointError, match="its ONNX graphs are of another version"):
        CaptionPredictor.from_checkpoint(integers, runtime="onnx")


def test_graphs_that_differ_from_torch_are_not_written(
    small_checkpoint_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("captioner.runtimes.export.FLOAT_ERROR", 0.0)
    with pytest.raises(CheckpointError, match="from torch"):
        export_checkpoint(small_checkpoint_file, tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())
