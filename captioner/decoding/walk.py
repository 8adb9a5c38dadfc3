"""Searches whose slots each follow one path: greedy search and sampling."""

from collections.abc import Callable

from torch import Tensor

from captioner.decoding.rows import Rows
from captioner.decoding.sampling import Sampler
from captioner.decoding.task import Task
from captioner.types import Hypothesis

Choose = Callable[[Tensor, int], Tensor]


def greedy(task: Task) -> list[list[Hypothesis]]:
    """Take the most probable token at every step."""
    return _walk(task, 1, lambda log_probs, length: log_probs.max(dim=2).indices)  # noqa: ARG005


def sample(task: Task) -> list[list[Hypothesis]]:
    """Draw every token at random.

    The ``num_captions`` samples of an image are independent of each other, so that a caption may occur several times;
    those that ended come first, then by their score.
    """
    return _walk(task, task.options.num_captions, Sampler(task.options, task.batch_size))


def _walk(task: Task, slots: int, choose: Choose) -> list[list[Hypothesis]]:
    """Write until all slots ended or are full.

    Args:
        task: What to search.
        slots: K, captions per image.
        choose: What picks tokens ``[B, K]``, given log-probabilities ``[B, K, V]`` and how many tokens stand before.
    """
    rows = Rows(task, slots)
    rows.begin()
    ends: dict[tuple[int, int], Hypothesis] = {}
    for length in range(len(task.beginning), task.options.max_length + 1):
        scored = rows.score()
        tokens = choose(scored, length)
        log_probs = scored.gather(2, tokens[:, :, None]).squeeze(2)  # [B, K]
        for image, slot in (tokens == task.special.eos_id).nonzero().tolist():
            if (image, slot) not in ends:
                ends[image, slot] = rows.trellis.read(image, slot, length, end=float(log_probs[image, slot]))
        if length == task.options.max_length or len(ends) == task.batch_size * slots:
            break
        rows.write(tokens, log_probs)
    return [
        _rank(task, [ends.get((image, slot)) or rows.trellis.read(image, slot, length) for slot in range(slots)])
        for image in range(task.batch_size)
    ]


def _rank(task: Task, found: list[Hypothesis]) -> list[Hypothesis]:
    return sorted(found, key=lambda h: (h.finished, task.options.score(h.log_prob, len(h.tokens))), reverse=True)
