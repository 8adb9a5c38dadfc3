"""Questions balanced against answers that need no photo."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated

from captioner.ranges import Range, check_ranges
from training.questions.rules import Question


@dataclass(frozen=True)
class Asked:
    """A question about one photo of many."""

    image_id: int
    question: Question


@dataclass(frozen=True)
class Balance:
    """What must hold of questions together.

    COCO-QA (Ren et al. 2015) leaves out rare answers, and the more of frequent ones the more frequent they are. Here
    that is done for each group of questions that ask the same, so that what is asked does not tell the answer.

    Attributes:
        least: An answer of fewer questions is left out, with its questions.
        ratio: In a group the most frequent answer may have at most this many times the questions of the next one; a
            group of one answer is left out.
    """

    least: Annotated[int, Range(1, 1_000_000)] = 10
    ratio: Annotated[float, Range(1, 1_000_000)] = 1.0

    def __post_init__(self) -> None:
        check_ranges(self, "")

    def apply(self, asked: Sequence[Asked], answers: Collection[str] | None = None) -> list[Asked]:
        """Return the questions that are kept, in their order; which ones depends on nothing but themselves.

        Args:
            asked: The questions.
            answers: Those that may be given, whose questions need not be ``least``; ``None`` lets ``least`` decide.
        """
        counts = Counter(one.question.answer for one in asked)
        known = {answer for answer, count in counts.items() if count >= self.least} if answers is None else set(answers)
        groups: dict[str, dict[str, list[Asked]]] = defaultdict(lambda: defaultdict(list))
        for one in asked:
            if one.question.answer in known:
                groups[one.question.group][one.question.answer].append(one)
        kept = {id(one) for by_answer in groups.values() for one in self._kept(by_answer)}
        return [one for one in asked if id(one) in kept]

    def _kept(self, by_answer: dict[str, list[Asked]]) -> list[Asked]:
        sizes = sorted(map(len, by_answer.values()), reverse=True)
        if len(sizes) < 2:
            return []
        most = max(1, int(self.ratio * sizes[1]))
        return [one for questions in by_answer.values() for one in sorted(questions, key=_lot)[:most]]


def _lot(asked: Asked) -> str:
    """Return what orders questions as if by chance."""
    return hashlib.sha256(f"{asked.image_id} {asked.question.group}".encode()).hexdigest()
