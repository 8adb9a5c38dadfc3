import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pycocoevalcap.eval
import pytest
from pycocoevalcap.eval import COCOEvalCap
from pycocotools.coco import COCO

from captioner.decoding import DecodingOptions
from captioner.types import Caption
from training.data import CaptionedImage
from training.evaluation import ptb
from training.evaluation.diversity import wording
from training.evaluation.evaluate import Evaluation
from training.evaluation.metrics import MetricError, MetricReport, corpus_bleu, score_captions
from training.evaluation.ptb import ptb_tokenize_python

Ngrams = Counter[tuple[str, ...]]

REFERENCES = {
    7: ["A brown dog runs across the wet grass .", "a dog is running", "The dog's out for a run, isn't it?"],
    3: ["Two kids sit on a red bench.", "Two children are sitting on a bench .", "kids on a bench eat ice cream"],
    9: ["A man surfs a big wave", "The surfer rides a wave .", "A surfer on a wave, at 5 p.m."],
    4: ["Three dogs play with a red ball", "Dogs playing on the grass .", "three brown dogs and a ball"],
}
CANDIDATES = {
    3: "Two children sit on a red bench .",
    4: "a dog plays with a ball on the grass",
    7: "a brown dog runs , and runs , across the grass .",
    9: "a man rides a horse",
}


def scored(candidates: Mapping[int, str], references: Mapping[int, Sequence[str]]) -> MetricReport:
    return score_captions(candidates, references, engine="python")


def words(caption: str) -> list[str]:
    return ptb_tokenize_python([caption])[0].split()


def ngrams(caption: str, order: int) -> Ngrams:
    tokens = words(caption)
    return Counter(tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1))


def brute_force_bleu(order: int) -> float:
    """Papineni et al. (2002), equations 1 and 2: clipped precisions, geometric mean, brevity penalty."""
    product, lengths = 1.0, (0, 0)
    for size in range(1, order + 1):
        right = total = 0
        for image, candidate in CANDIDATES.items():
            guess, truths = ngrams(candidate, size), [ngrams(text, size) for text in REFERENCES[image]]
            right += sum(min(count, max(truth[ngram] for truth in truths)) for ngram, count in guess.items())
            total += guess.total()
        product *= right / total
    for image, candidate in CANDIDATES.items():
        length = len(words(candidate))
        closest = min((len(words(text)) for text in REFERENCES[image]), key=lambda size: (abs(size - length), size))
        lengths = (lengths[0] + length, lengths[1] + closest)
    return float(product ** (1 / order) * min(1.0, math.exp(1 - lengths[1] / lengths[0])))


def common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    if not left or not right:
        return 0
    if left[-1] == right[-1]:
        return 1 + common_subsequence(left[:-1], right[:-1])
    return max(common_subsequence(left[:-1], right), common_subsequence(left, right[:-1]))


def brute_force_rouge(candidate: str, references: Sequence[str]) -> float:
    """Lin (2004), equation 4, with the best precision and the best recall over the references and beta 1.2."""
    guess, truths = words(candidate), [words(text) for text in references]
    common = [common_subsequence(guess, truth) for truth in truths]
    precision = max(common) / len(guess)
    recall = max(count / len(truth) for count, truth in zip(common, truths, strict=True))
    return (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)


def numpy_cider() -> dict[int, float]:
    """CIDEr-D of Vedantam et al. (2015), equations 1 to 6, with one dense tf-idf vector per caption and n-gram size."""
    scores = dict.fromkeys(REFERENCES, 0.0)
    for size in range(1, 5):
        documents = [set().union(*(ngrams(text, size) for text in texts)) for texts in REFERENCES.values()]
        axis = sorted(set().union(*documents, *(ngrams(text, size) for text in CANDIDATES.values())))
        frequency = np.array([sum(ngram in document for document in documents) for ngram in axis])
        inverse = np.log(len(documents)) - np.log(np.maximum(1, frequency))
        for image, texts in REFERENCES.items():
            guess = np.array([ngrams(CANDIDATES[image], size)[ngram] for ngram in axis]) * inverse
            for text in texts:
                truth = np.array([ngrams(text, size)[ngram] for ngram in axis]) * inverse
                scale = np.linalg.norm(guess) * np.linalg.norm(truth)
                cosine = np.minimum(guess, truth) @ truth / scale if scale else 0.0
                difference = len(words(CANDIDATES[image])) - len(words(text))
                scores[image] += 10 * cosine * math.exp(-(difference**2) / (2 * 6.0**2)) / (4 * len(texts))
    return scores


def test_bleu_equals_brute_force() -> None:
    report = scored(CANDIDATES, REFERENCES)
    assert report.bleu == pytest.approx([brute_force_bleu(order) for order in range(1, 5)], abs=1e-7)
    assert 0 < report.bleu[3] < report.bleu[0] < 1


def test_rouge_equals_brute_force() -> None:
    expected = [brute_force_rouge(CANDIDATES[image], texts) for image, texts in REFERENCES.items()]
    assert scored(CANDIDATES, REFERENCES).rouge_l == pytest.approx(np.mean(expected), abs=1e-12)


def test_cider_equals_numpy() -> None:
    report, expected = scored(CANDIDATES, REFERENCES), numpy_cider()
    assert report.per_image_cider == pytest.approx(expected, abs=1e-9)
    assert report.cider == pytest.approx(np.mean(list(expected.values())), abs=1e-9)


def test_a_copied_reference_is_perfect() -> None:
    report = scored({image: texts[0] for image, texts in REFERENCES.items()}, REFERENCES)
    assert report.bleu == pytest.approx([1.0] * 4, abs=1e-6)
    assert report.rouge_l == pytest.approx(1.0)
    alone = scored(
        {1: "a red bird sings", 2: "two cats sleep here"}, {1: ["A red bird sings."], 2: ["two cats sleep here"]}
    )
    assert alone.cider == pytest.approx(10.0)


def test_nothing_in_common_scores_nothing() -> None:
    report = scored(dict.fromkeys(REFERENCES, "purple submarine"), REFERENCES)
    assert [*report.bleu, report.rouge_l, report.cider] == pytest.approx([0.0] * 6, abs=1e-6)


def test_an_empty_candidate_scores_nothing() -> None:
    report = scored(dict.fromkeys(REFERENCES, " . "), REFERENCES)
    assert [*report.bleu, report.rouge_l, report.cider] == pytest.approx([0.0] * 6, abs=1e-6)


def test_document_frequencies_come_from_the_given_references() -> None:
    alone = scored({7: CANDIDATES[7]}, {7: REFERENCES[7]})
    assert alone.per_image_cider == {7: 0.0}
    assert scored(CANDIDATES, REFERENCES).per_image_cider[7] > 0


def test_counts_and_single_scores_add_up_to_the_whole() -> None:
    report = scored(CANDIDATES, REFERENCES)
    assert report.bleu_counts.shape == (4, 10)
    assert list(report.per_image_rouge_l) == list(report.per_image_cider) == list(REFERENCES)
    assert np.mean(list(report.per_image_rouge_l.values())) == pytest.approx(report.rouge_l)
    for row, (image, texts) in enumerate(REFERENCES.items()):
        alone = scored({image: CANDIDATES[image]}, {image: texts})
        np.testing.assert_array_equal(report.bleu_counts[row], alone.bleu_counts[0])
        assert alone.rouge_l == pytest.approx(report.per_image_rouge_l[image])
        lengths = [len(words(CANDIDATES[image])), *map(len, map(words, texts))]
        assert report.bleu_counts[row, 4] == report.bleu_counts[row, 8] == lengths[0]
        assert report.bleu_counts[row, 9] in lengths[1:]
    assert corpus_bleu(report.bleu_counts.sum(axis=0)) == pytest.approx(report.bleu)


def test_order_of_the_images_does_not_matter() -> None:
    ordered = scored(CANDIDATES, dict(sorted(REFERENCES.items())))
    report = scored(CANDIDATES, REFERENCES)
    assert report.per_image_cider == pytest.approx(ordered.per_image_cider)
    assert report.percent() == pytest.approx(ordered.percent())


def test_what_the_report_says(capsys: pytest.CaptureFixture[str]) -> None:
    references: dict[int, Sequence[str]] = {**REFERENCES, 5: ("a cat", "one cat .")}
    report = scored({**CANDIDATES, 5: "A cat."}, references)
    assert (report.images, report.references_per_image) == (5, (2, 3))
    assert list(report.per_image_cider) == list(references)
    assert report.tokenization == ptb.tokenizer_name("python")
    percent = report.percent()
    assert list(percent) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
    assert percent["BLEU-4"] == pytest.approx(100 * report.bleu[3])
    assert percent["CIDEr"] == pytest.approx(100 * report.cider)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ({}, {}, "no images"),
        ({1: "a"}, {1: ["a"], 2: ["b"], 3: ["c"]}, "2 images have no candidate, for example image 2"),
        ({1: "a", 2: "b"}, {1: ["a"]}, "1 images have no references, for example image 2"),
        ({1: "a"}, {1: []}, "empty list of references, for example image 1"),
        ({1: "a"}, {1: "a dog"}, "one string in place of a list of references"),
        ({1: "a"}, {1: [" . "]}, "no reference has a word"),
    ],
)
def test_what_cannot_be_scored(candidates: dict[int, str], references: dict[int, Sequence[str]], message: str) -> None:
    with pytest.raises(MetricError, match=message):
        scored(candidates, references)


class Absent:
    """Stands for METEOR and SPICE, which take long and download; test_java_metrics.py beside this has them."""

    def compute_score(self, truths: Mapping[int, object], _: object) -> tuple[float, list[float]]:
        return 0.0, [0.0] * len(truths)

    def method(self) -> str:
        return "absent"


def coco_scores(results: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, float], dict[int, float]]:
    """Score a results file by COCO's own evaluation, as its server does."""
    truth = COCO()
    rows = [(image, text) for image, texts in sorted(REFERENCES.items()) for text in texts]
    truth.dataset = {
        "info": {},
        "images": [{"id": image} for image in sorted(REFERENCES)],
        "annotations": [{"image_id": image, "id": row, "caption": text} for row, (image, text) in enumerate(rows)],
    }
    truth.createIndex()
    monkeypatch.setattr(pycocoevalcap.eval, "Meteor", Absent)
    monkeypatch.setattr(pycocoevalcap.eval, "Spice", Absent)
    evaluation = COCOEvalCap(truth, truth.loadRes(str(results)))
    evaluation.evaluate()
    names = {"Bleu_1": "BLEU-1", "Bleu_2": "BLEU-2", "Bleu_3": "BLEU-3", "Bleu_4": "BLEU-4"}
    names |= {"ROUGE_L": "ROUGE-L", "CIDEr": "CIDEr"}
    scores = {ours: float(evaluation.eval[theirs]) for theirs, ours in names.items()}
    return scores, {image: float(found["CIDEr"]) for image, found in evaluation.imgToEval.items()}


def written(folder: Path) -> Path:
    """Write the candidates as ``evaluate --results`` does."""
    images = [CaptionedImage(image, folder, tuple(texts)) for image, texts in REFERENCES.items()]
    captions = [Caption(CANDIDATES[image.image_id], (), 0.0, None, True) for image in images]
    report, words = scored(CANDIDATES, REFERENCES), wording(["a"])
    found = Evaluation(images, captions, report, DecodingOptions(), "small 7", words, words)
    (folder / "results.json").write_text(json.dumps(found.results()))
    return folder / "results.json"


@pytest.mark.skipif(
    ptb.tokenizer_name() != ptb.tokenizer_name("java"), reason="COCO's own tokenizer needs java on the PATH"
)
@pytest.mark.skipif(
    not os.access(Path(ptb._jar() or ".").parent, os.W_OK), reason="COCO's own tokenizer writes beside its program"
)
@pytest.mark.parametrize("engine", ["java", "python"])
def test_same_numbers_as_cocos_own_pipeline(
    engine: ptb.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, per_image = coco_scores(written(tmp_path), monkeypatch)
    report = score_captions(CANDIDATES, REFERENCES, engine=engine)
    assert report.percent() == pytest.approx({name: 100 * score for name, score in expected.items()}, abs=1e-6)
    assert report.per_image_cider == pytest.approx(per_image, abs=1e-6)
