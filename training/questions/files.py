"""Questions and answers in the JSON of VQA v2: a file of questions and a file of annotations.

Goyal et al. 2017 ("Making the V in VQA Matter"). VQA v2 names no photo files: they are COCO's, by ``data_subtype`` and
``image_id``. Files that are made here list theirs under ``images``, as COCO's files of captions do.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.files import write_whole
from training.data import CaptionedImage
from training.errors import DataError
from training.questions.balance import Asked

ENOUGH = 0.3  # share of the answers that makes an answer right: 3 of VQA's 10


@dataclass(frozen=True)
class PhotoQuestion:
    """A question about a photo, and what people answered.

    Attributes:
        question_id: Its id in its file.
        photo: The photo's file, relative to the folder of photos.
        kind: By which scores are told apart: ``answer_type`` of the file.
        text: The question.
        answers: What was answered, each as often as it was.
    """

    question_id: int
    photo: str
    kind: str
    text: str
    answers: tuple[str, ...]

    def scores(self) -> dict[str, float]:
        """Return how right each answer is, from 0 to 1, after VQA: fully if three of ten people gave it.

        Antol et al. 2015, ``min(n / 3, 1)``; of fewer answers the same share is enough.
        """
        enough = ENOUGH * len(self.answers)
        return {answer: min(count / enough, 1.0) for answer, count in Counter(self.answers).items()}


def write_questions(
    asked: Sequence[Asked], images: Sequence[CaptionedImage], folder: Path, paths: tuple[Path, Path], subtype: str
) -> None:
    """Write questions and their answers.

    Args:
        asked: The questions; their ids are those of their photos, and their place among them.
        images: The photos; those without a question are left out.
        folder: What the names of their files are relative to.
        paths: The file of questions, and that of annotations.
        subtype: What the photos are called together: "train", "val".
    """
    head = {"info": {"description": "Questions made from captions"}, "data_type": "captions", "data_subtype": subtype}
    used = {one.image_id for one in asked}
    photos = [
        {"id": image.image_id, "file_name": _file_name(image, folder)} for image in images if image.image_id in used
    ]
    questions, annotations = [], []
    for number, one in enumerate(asked):
        ids = {"image_id": one.image_id, "question_id": number}
        questions.append({**ids, "question": one.question.text})
        annotations.append({**ids, **_annotation(one)})
    task = {"task_type": "Open-Ended", "questions": questions, "images": photos}
    write_whole(paths[0], json.dumps({**head, **task}) + "\n")
    write_whole(paths[1], json.dumps({**head, "annotations": annotations}) + "\n")


def _file_name(image: CaptionedImage, folder: Path) -> str:
    path = image.path
    return path.relative_to(folder).as_posix() if isinstance(path, Path) else path.member


def _annotation(asked: Asked) -> dict[str, Any]:
    question = asked.question
    return {
        "question_type": " ".join(question.text.split()[:3]),
        "answer_type": question.kind,
        "multiple_choice_answer": question.answer,
        "answers": [
            {"answer_id": number, "answer": answer, "answer_confidence": "yes"}
            for number, answer in enumerate(question.answers, 1)
        ],
    }


def read_questions(questions: Path, annotations: Path) -> list[PhotoQuestion]:
    """Read a pair of files; questions without an annotation are left out.

    Raises:
        DataError: If one cannot be read, or is no such file.
    """
    asked, answered = _load(questions, "questions"), _load(annotations, "annotations")
    try:
        answers = {one["question_id"]: one for one in answered["annotations"]}
        names = {one["id"]: one["file_name"] for one in asked.get("images", ())}
        return [
            _question(one, answers[one["question_id"]], names, asked)
            for one in asked["questions"]
            if one["question_id"] in answers
        ]
    except (KeyError, TypeError) as error:
        raise DataError(f"{questions}, {annotations}: not a pair of files of VQA v2: {error!r}") from None


def _question(
    one: Mapping[str, Any], answer: Mapping[str, Any], names: Mapping[int, str], head: Mapping[str, Any]
) -> PhotoQuestion:
    photo = names.get(one["image_id"]) or f"COCO_{head['data_subtype']}_{one['image_id']:012d}.jpg"
    given = tuple(found["answer"] for found in answer["answers"]) or (answer["multiple_choice_answer"],)
    return PhotoQuestion(one["question_id"], photo, answer["answer_type"], one["question"], given)


def _load(path: Path, key: str) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not a readable JSON file: {error}") from None
    if not isinstance(values, dict) or not isinstance(values.get(key), list):
        raise DataError(f"{path}: it has no list {key}; a file of VQA v2 has one")
    return values
