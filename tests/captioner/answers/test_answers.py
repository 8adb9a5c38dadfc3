"""Questions about photos: the network against its equations, its file, its two runtimes, and the command."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioner.__main__ import main
from captioner.answers.checkpoint import AnswerModel, load_answers, save_answers
from captioner.answers.export import export_answers
from captioner.answers.header import AnswerConfig, encoder_sha256, identify_encoder
from captioner.answers.network import AnswerNetwork
from captioner.calibration import Calibration
from captioner.cells import CELLS
from captioner.checkpoint import Checkpoint, copy_with_calibration, load_checkpoint, save_checkpoint
from captioner.errors import CheckpointError, ConfigError, OptionError
from captioner.header import SHIPPED, CheckpointFile
from captioner.images import read_image
from captioner.predictor import CaptionPredictor
from captioner.runtimes.export import export_checkpoint
from captioner.types import Features
from tests.support.answers import ANSWERS, make_answers, write_answers

pytestmark = pytest.mark.slow
SMALL = AnswerConfig(embedding_size=6, hidden_size=10, attention_size=5, dropout=0.0)
QUESTIONS = ["how many dogs?", "what is the color", "dogs"]


def features(photos: int, seed: int = 0) -> Features:
    numbers = torch.Generator().manual_seed(seed)
    return Features(torch.randn(photos, 7, generator=numbers), torch.randn(photos, 6, 9, generator=numbers), 3, 2)


@pytest.fixture
def answers_file(small_checkpoint_file: Path, tmp_path: Path) -> Path:
    return write_answers(tmp_path / "answers.safetensors", small_checkpoint_file)


@pytest.mark.parametrize("cell", list(CELLS))
def test_reading_at_once_equals_reading_word_by_word(cell: str) -> None:
    network = AnswerNetwork(replace(SMALL, cell=cell), 9, 4, 7, 9).eval()
    tokens, lengths = torch.tensor([[4, 5, 6], [7, 8, 0], [4, 0, 0]]), torch.tensor([3, 2, 1])
    at_once = network.ask(tokens, lengths)
    for row, length in enumerate(lengths.tolist()):
        state = network.begin(1)
        for step in range(length):
            state = network.read(tokens[row : row + 1, step], state)
        torch.testing.assert_close(at_once[row], state[0][0], atol=1e-6, rtol=1e-5)


def test_looking_is_the_equations_of_stacked_attention() -> None:
    network = AnswerNetwork(SMALL, 9, 4, 7, 9).eval()
    question, seen = torch.randn(2, 10), features(2)
    logits, weights = network.look(question, seen)
    values = {name: value.detach().numpy() for name, value in network.state_dict().items()}

    def affine(name: str, x: np.ndarray) -> np.ndarray:
        found: np.ndarray = x @ values[f"{name}.weight"].T
        return found + values[f"{name}.bias"] if f"{name}.bias" in values else found

    q = question.numpy()
    grid = np.maximum(affine("project_grid", seen.require_grid().numpy()), 0)
    asking = q
    for hop in range(SMALL.hops):
        keys = affine(f"attentions.{hop}.key", grid)
        scores = affine(f"attentions.{hop}.score", np.tanh(keys + affine(f"attentions.{hop}.query", asking)[:, None]))
        share = np.exp(scores[..., 0]) / np.exp(scores[..., 0]).sum(axis=1, keepdims=True)
        asking = asking + (share[..., None] * grid).sum(axis=1)
    whole = np.maximum(affine("project_vector", seen.vector.numpy()), 0)
    joined = np.maximum(affine("seen", np.concatenate([asking - q, whole], axis=1)), 0)
    expected = affine("output", joined * np.maximum(affine("asked", q), 0))
    np.testing.assert_allclose(logits.detach().numpy(), expected, atol=1e-4)
    assert weights is not None
    np.testing.assert_allclose(weights.detach().numpy(), share, atol=1e-5)


def test_questions_share_their_photo() -> None:
    network = AnswerNetwork(SMALL, 9, 4, 7, 9).eval()
    question, seen, photos = torch.randn(3, 10), features(2), torch.tensor([1, 0, 1])
    shared, weights = network.look(question, seen, photos)
    alone, own = network.look(question, Features(seen.vector[photos], seen.require_grid()[photos], 3, 2))
    torch.testing.assert_close(shared, alone)
    assert weights is not None
    assert own is not None
    torch.testing.assert_close(weights, own)


def test_one_that_does_not_see_answers_the_same_of_any_photo() -> None:
    network = AnswerNetwork(replace(SMALL, sees=False), 9, 4, 7, 9).eval()
    question = torch.randn(2, 10)
    (one, weights), (other, _) = (network.look(question, features(2, seed)) for seed in (0, 1))
    assert weights is None
    assert torch.equal(one, other)


def test_a_file_holds_what_it_was_given(small_checkpoint_file: Path, answers_file: Path) -> None:
    model, loaded = make_answers(small_checkpoint_file), load_answers(answers_file)
    assert loaded.description == replace(model.description, tokenizer=loaded.description.tokenizer)
    assert loaded.description.tokenizer.vocabulary == model.description.tokenizer.vocabulary
    for name, value in model.network.state_dict().items():
        step = value.abs().amax(dim=-1, keepdim=True) / 127 if value.ndim == 2 else value.abs() / 512
        assert bool(((loaded.network.state_dict()[name] - value).abs() <= step + 1e-6).all()), name


def test_the_encoder_is_known_by_its_weights_alone(
    small_checkpoint: Checkpoint, small_checkpoint_file: Path, calibration: Calibration, tmp_path: Path
) -> None:
    known = identify_encoder(CheckpointFile.read(small_checkpoint_file))
    paths = {name: tmp_path / f"{name}.safetensors" for name in ("sure", "half", "int8", "drawn", "decoder", "encoder")}
    copy_with_calibration(small_checkpoint_file, paths["sure"], calibration)
    save_checkpoint(small_checkpoint, paths["half"], torch.float16)
    save_checkpoint(small_checkpoint, paths["int8"], torch.int8)
    export_checkpoint(paths["int8"], paths["drawn"])
    other = load_checkpoint(small_checkpoint_file)
    with torch.no_grad():
        dict(other.model.named_parameters())["decoder.output.bias"].add_(1)
    save_checkpoint(other, paths["decoder"])
    same = [path for name, path in paths.items() if name != "encoder"]
    assert all(identify_encoder(CheckpointFile.read(path)) == known for path in same)
    with torch.no_grad():
        next(other.model.encoder.parameters()).mul_(1.01)
    save_checkpoint(other, paths["encoder"])
    assert identify_encoder(CheckpointFile.read(paths["encoder"])).sha256 != known.sha256


def test_a_hash_is_of_names_shapes_and_values() -> None:
    weights = {"encoder.a": np.ones((2, 3), np.float32), "encoder.b": np.zeros(4, np.float32)}
    digest = encoder_sha256(weights)
    assert encoder_sha256(dict(reversed(weights.items()))) == digest
    assert encoder_sha256({**weights, "decoder.c": np.ones(3), "encoder.count": np.array(7)}) == digest
    assert encoder_sha256({**weights, "encoder.a": np.ones((3, 2), np.float32)}) != digest
    assert encoder_sha256({"encoder.z": weights["encoder.a"], "encoder.b": weights["encoder.b"]}) != digest


def test_another_encoder_is_refused(answers_file: Path, small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    predictor = CaptionPredictor.from_checkpoint()
    with pytest.raises(
        CheckpointError, match="it answers with an encoder mobilenet_v2 at 64 pixels; the captioner has"
    ):
        predictor.load_answers(answers_file)
    save_checkpoint(small_checkpoint, tmp_path / "same.safetensors")
    other = load_checkpoint(tmp_path / "same.safetensors")
    with torch.no_grad():
        next(other.model.encoder.parameters()).mul_(2)
    save_checkpoint(other, tmp_path / "other.safetensors")
    predictor = CaptionPredictor.from_checkpoint(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="goes with the captioner that it was trained on"):
        predictor.load_answers(answers_file, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="was replaced since it was loaded"):
        predictor.load_answers(answers_file, tmp_path / "same.safetensors")


def test_what_is_no_such_file_is_told(small_checkpoint_file: Path, answers_file: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a file that answers questions; it is a captioning model"):
        load_answers(small_checkpoint_file)
    with pytest.raises(CheckpointError, match="not a captioning model; it answers questions about photos"):
        load_checkpoint(answers_file)
    with pytest.raises(CheckpointError, match="no such checkpoint file"):
        load_answers(tmp_path / "none")
    with pytest.raises(ConfigError, match="network hops is 5; it must be between 1 and 4"):
        AnswerConfig(hops=5)


@pytest.mark.parametrize("cell", list(CELLS))
@pytest.mark.parametrize("sees", [True, False])
def test_graphs_answer_as_torch_does(
    cell: str, sees: bool, small_checkpoint_file: Path, pictures: list[Image.Image], tmp_path: Path
) -> None:
    path = write_answers(tmp_path / "plain", small_checkpoint_file, replace(SMALL, cell=cell, sees=sees))
    export_answers(path, tmp_path / "drawn")
    drawn = tmp_path / "captioner.safetensors"
    export_checkpoint(small_checkpoint_file, drawn)
    ours, theirs = (CaptionPredictor.from_checkpoint(drawn, runtime=name) for name in ("onnx", "torch"))
    for predictor in (ours, theirs):
        predictor.load_answers(tmp_path / "drawn", drawn)
    pairs = zip(*(one.answers(pictures[:3], QUESTIONS, 4) for one in (ours, theirs)), strict=True)
    for found, expected in pairs:
        assert found.question == expected.question
        assert {one.text for one in found.answers} == set(ANSWERS)
        assert sum(one.probability for one in found.answers) == pytest.approx(1, abs=1e-5)
        close = {one.text: one.probability for one in expected.answers}
        assert all(one.probability == pytest.approx(close[one.text], abs=1e-4) for one in found.answers)
        assert (found.attention is not None) == sees
        if found.attention is not None and expected.attention is not None:
            assert found.attention.shape == (2, 2)
            np.testing.assert_allclose(found.attention, expected.attention, atol=1e-4)
            assert found.attention.sum() == pytest.approx(1, abs=1e-5)


def test_a_question_is_answered_alike_in_any_batch(
    small_checkpoint_file: Path, answers_file: Path, pictures: list[Image.Image]
) -> None:
    predictor = CaptionPredictor.from_checkpoint(small_checkpoint_file)
    predictor.load_answers(answers_file, small_checkpoint_file)
    together = predictor.answers(pictures[:3], QUESTIONS)
    for picture, question, found in zip(pictures, QUESTIONS, together, strict=False):
        [alone] = predictor.answers([picture], [question])
        assert [one.text for one in alone.answers] == [one.text for one in found.answers]
        assert alone.answers[0].probability == pytest.approx(found.answers[0].probability, abs=1e-5)


def test_what_cannot_be_answered_is_told(
    small_checkpoint_file: Path, answers_file: Path, pictures: list[Image.Image]
) -> None:
    predictor = CaptionPredictor.from_checkpoint(small_checkpoint_file)
    with pytest.raises(OptionError, match="this model answers no questions"):
        predictor.answers(pictures[:1], ["what is this?"])
    assert not predictor.understands("how many dogs?")
    predictor.load_answers(answers_file, small_checkpoint_file)
    with pytest.raises(OptionError, match="has 0 words; it must have between 1 and 30"):
        predictor.answers(pictures[:1], ["?"])
    with pytest.raises(OptionError, match="has 31 words"):
        predictor.answers(pictures[:1], ["dogs " * 31])
    with pytest.raises(OptionError, match="num_answers is 21; it must be between 1 and 20"):
        predictor.answers(pictures[:1], ["dogs"], 21)
    [found] = predictor.answers(pictures[:1], ["how many blorf dogs"])
    assert found.unknown == ("blorf",)
    assert predictor.understands("how many dogs?")
    assert not any(map(predictor.understands, ("how many blorf dogs", "?", "dogs " * 31)))


def test_the_command(
    small_checkpoint_file: Path,
    answers_file: Path,
    pictures: list[Image.Image],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pictures[0].save(tmp_path / "photo.png")
    photo, models = str(tmp_path / "photo.png"), ["--checkpoint", str(small_checkpoint_file), "--answers"]
    ask = ["ask", photo, "how many dogs?", *models, str(answers_file)]
    assert main([*ask, "--num-answers", "2", "--heatmap", str(tmp_path / "looked.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.split("\t")[1] in ANSWERS for line in lines)
    with Image.open(tmp_path / "looked.png") as drawn_photo:
        assert drawn_photo.size == pictures[0].size
    assert main([*ask, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["questions"][0]["question"] == "how many dogs?"
    assert len(told["questions"][0]["attention"]) == 2
    drawn = tmp_path / "drawn.safetensors"
    assert main(["export", "--checkpoint", str(answers_file), str(drawn)]) == 0
    assert "from torch's" in capsys.readouterr().out
    assert main(["export", "--checkpoint", str(answers_file), str(drawn), "--bits", "8"]) == 2
    assert main([*ask[:3], *models, str(small_checkpoint_file)]) == 1
    assert "not a file that answers questions" in capsys.readouterr().err


@pytest.mark.skipif(not SHIPPED.is_file(), reason="the shipped model is not there")
def test_the_shipped_network_goes_with_the_shipped_captioner() -> None:
    predictor = CaptionPredictor.from_checkpoint()
    predictor.load_answers()
    photo = read_image((Path(__file__).parents[3] / "service/static/samples/dog.jpg").read_bytes())
    [found] = predictor.answers([photo], ["what animal is this?"])
    assert found.answers[0].text == "dog"
    assert found.attention is not None


def test_what_is_saved_is_small(small_checkpoint_file: Path, tmp_path: Path) -> None:
    model = make_answers(small_checkpoint_file, AnswerConfig(hidden_size=64))
    save_answers(AnswerModel(model.network, model.description), tmp_path / "x")
    parameters = sum(parameter.numel() for parameter in model.network.parameters())
    assert (tmp_path / "x").stat().st_size < 1.2 * parameters
