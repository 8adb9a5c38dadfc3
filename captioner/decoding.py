"""Search for captions: greedy and beam search, batched over images, on nothing but a decoder's ``step``."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captioner.errors import OptionError
from captioner.types import AnyDecoder, Hypothesis

MAX_BEAM_SIZE = 50
MAX_LENGTH = 100
IMPOSSIBLE = -1e9  # below every real log-probability, yet safe to add to: -inf minus -inf is not a number


@dataclass(frozen=True)
class DecodingOptions:
    """How to search.

    Attributes:
        beam_size: K, hypotheses kept per image, 1 to 50; 1 is greedy search.
        num_captions: How many of the best captions to return, 1 to ``beam_size``.
        max_length: Most words of a caption, 1 to 100.
        length_penalty: Exponent a of the score ``log_prob / length ** a`` by which hypotheses are ranked, 0 to 2 (Wu et
            al. 2016 in its simplest form), where the length counts ``<END>``; 0 ranks by probability, more prefers
            longer captions.
    """

    beam_size: int = 5
    num_captions: int = 1
    max_length: int = 20
    length_penalty: float = 0.5

    def __post_init__(self) -> None:
        _check_range("beam_size", self.beam_size, 1, MAX_BEAM_SIZE)
        _check_range("num_captions", self.num_captions, 1, self.beam_size, " (the beam size)")
        _check_range("max_length", self.max_length, 1, MAX_LENGTH)
        _check_range("length_penalty", self.length_penalty, 0, 2)


def _check_range(name: str, value: float, low: int, high: int, why: str = "") -> None:
    if not low <= value <= high:
        raise OptionError(f"{name} is {value}; it must be between {low} and {high}{why}")


@dataclass(frozen=True)
class SpecialTokens:
    """The ids that search must know.

    Attributes:
        bos_id: Fed at the first step.
        eos_id: Ends a caption.
        banned: Ids that are never generated (padding, ``<START>``, ``<UNK>``).
    """

    bos_id: int
    eos_id: int
    banned: tuple[int, ...] = ()


@torch.inference_mode()
def search(
    decoder: AnyDecoder, memory: Any, batch_size: int, special: SpecialTokens, options: DecodingOptions
) -> list[list[Hypothesis]]:
    """Find the best captions of every image of a batch.

    Args:
        decoder: What scores the next token.
        memory: What ``decoder.prepare`` returned for the images.
        batch_size: B, how many images the memory holds.
        special: The ids of the special tokens.
        options: How to search.

    Returns:
        For each image its ``num_captions`` best hypotheses, best first; fewer only if the vocabulary does not have as
        many sequences. Hypotheses that ended come before those cut at the maximum length.
    """
    if options.beam_size == 1:
        return _greedy(decoder, memory, batch_size, special, options.max_length)
    return _BeamSearch(decoder, memory, batch_size, special, options).run()


def _log_probs(logits: Tensor, special: SpecialTokens) -> Tensor:
    """Return natural-log probabilities ``[R, V]``, with the banned ids made impossible.

    They are normalised over the whole vocabulary, so that a log-probability means the same as in training.
    """
    log_probs = logits.float().log_softmax(dim=-1)
    log_probs[:, list(special.banned)] = IMPOSSIBLE
    return log_probs


@dataclass(frozen=True)
class _Node:
    """One token of one sequence: it extends slot ``parent`` of the step before."""

    step: int
    parent: int
    token: int
    log_prob: float


class _Trellis:
    """The steps of a search, from which any hypothesis is read back along its parents."""

    def __init__(self) -> None:
        self._attention: list[Tensor | None] = []  # per step [B, K, L], indexed by the slot that was extended
        self._nodes: list[list[list[_Node]]] = []  # per step, image and slot

    def look(self, attention: Tensor | None, batch_size: int) -> None:
        """Note where the slots looked (``[B * K, L]``) when the tokens of this step were scored."""
        self._attention.append(
            None if attention is None else attention.float().reshape(batch_size, -1, attention.shape[1]).cpu()
        )

    def extend(self, parents: Tensor, tokens: Tensor, log_probs: Tensor) -> None:
        """Add the step's nodes; all arguments are ``[B, K]``."""
        step = len(self._nodes)
        columns = zip(parents.tolist(), tokens.tolist(), log_probs.tolist(), strict=True)
        self._nodes.append([[_Node(step, *node) for node in zip(*image, strict=True)] for image in columns])

    def node(self, step: int, image: int, slot: int) -> _Node:
        """Return the node that a step put into a slot."""
        return self._nodes[step][image][slot]

    def read(self, image: int, last: _Node, finished: bool) -> Hypothesis:
        """Read the hypothesis that ends in a node."""
        path = [last]
        while path[-1].step > 0:
            path.append(self.node(path[-1].step - 1, image, path[-1].parent))
        path.reverse()
        maps = [attention[image, node.parent] for node in path if (attention := self._attention[node.step]) is not None]
        return Hypothesis(
            tokens=tuple(node.token for node in path),
            token_logprobs=tuple(node.log_prob for node in path),
            attention=torch.stack(maps) if maps else None,
            finished=finished,
        )


def _greedy(
    decoder: AnyDecoder, memory: Any, batch_size: int, special: SpecialTokens, max_length: int
) -> list[list[Hypothesis]]:
    trellis = _Trellis()
    state = decoder.begin(memory)
    tokens = torch.full((batch_size,), special.bos_id, device=decoder.device)
    stay = torch.zeros(batch_size, 1, dtype=torch.long)
    ends: dict[int, _Node] = {}
    for length in range(max_length + 1):
        step = decoder.step(tokens, memory, state)
        state = step.state
        best, tokens = _log_probs(step.logits, special).max(dim=-1)  # [B], [B]
        trellis.look(step.attention, batch_size)
        trellis.extend(stay, tokens[:, None], best[:, None])
        for image in (tokens == special.eos_id).nonzero().flatten().tolist():
            ends.setdefault(image, trellis.node(length, image, 0))
        if len(ends) == batch_size:
            break
    cuts = (trellis.node(max_length - 1, image, 0) for image in range(batch_size) if image not in ends)
    last = {image: ends.get(image) or next(cuts) for image in range(batch_size)}
    return [[trellis.read(image, node, finished=image in ends)] for image, node in last.items()]


class _BeamSearch:
    """Beam search over a batch of images, K live beams each.

    A candidate that ends leaves the beam for its image's pool; the K best of the others live on. An image is done when
    nothing that still lives can enter the best ``num_captions`` of its pool, so that stopping early changes no result.
    """

    def __init__(
        self, decoder: AnyDecoder, memory: Any, batch_size: int, special: SpecialTokens, options: DecodingOptions
    ) -> None:
        self.decoder = decoder
        self.memory = memory
        self.batch_size = batch_size
        self.special = special
        self.options = options
        self.trellis = _Trellis()
        self.pools: list[list[tuple[float, _Node]]] = [[] for _ in range(batch_size)]

    def run(self) -> list[list[Hypothesis]]:
        """Search, and return the best hypotheses of every image."""
        beams, longest = self.options.beam_size, self.options.max_length
        device = self.decoder.device
        state = self.decoder.begin(self.memory, beams)
        tokens = torch.full((self.batch_size * beams,), self.special.bos_id, device=device)
        first_rows = torch.arange(self.batch_size, device=device)[:, None] * beams  # [B, 1]
        scores = torch.full((self.batch_size, beams), IMPOSSIBLE, device=device)  # [B, K], summed log-probabilities
        scores[:, 0] = 0.0  # all beams are alike before the first word: let one of them speak
        previous = scores
        for length in range(longest + 1):
            step = self.decoder.step(tokens, self.memory, state)
            log_probs = _log_probs(step.logits, self.special).view(self.batch_size, beams, -1)  # [B, K, V]
            self.trellis.look(step.attention, self.batch_size)
            previous, (scores, parents, words) = scores, self._advance(length, scores, log_probs)
            if length == longest or self._done(scores):
                break
            state = step.state.select((first_rows + parents).flatten())
            tokens = words.flatten()
        return [self._best(image, previous[image].tolist()) for image in range(self.batch_size)]

    def _advance(self, length: int, scores: Tensor, log_probs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Extend the beams by one token; return the live ones' scores, parents and tokens, each ``[B, K]``."""
        vocabulary = log_probs.shape[2]
        totals = (scores[:, :, None] + log_probs).flatten(1)  # [B, K * V]
        beams = self.options.beam_size
        best, index = totals.topk(min(2 * beams, totals.shape[1]))  # at most K of these 2K end
        parents, tokens = index // vocabulary, index % vocabulary
        token_logprobs = log_probs.flatten(1).gather(1, index)
        ends = tokens == self.special.eos_id
        for image, column in (ends & (best > IMPOSSIBLE / 2)).nonzero().tolist():
            node = _Node(length, int(parents[image, column]), self.special.eos_id, float(token_logprobs[image, column]))
            self.pools[image].append((self._score(float(best[image, column]), length + 1), node))
        live, order = best.masked_fill(ends, 2 * IMPOSSIBLE).topk(beams)
        parents, tokens, token_logprobs = (x.gather(1, order) for x in (parents, tokens, token_logprobs))
        self.trellis.extend(parents, tokens, token_logprobs)
        return live, parents, tokens

    def _score(self, log_prob: float, length: int) -> float:
        return float(log_prob / length**self.options.length_penalty)

    def _done(self, scores: Tensor) -> bool:
        """Tell whether no live beam of any image can still enter its best captions."""
        reachable = (self._score(best, self.options.max_length + 1) for best in scores[:, 0].tolist())
        wanted = self.options.num_captions
        for pool, bound in zip(self.pools, reachable, strict=True):
            if len(pool) < wanted or sorted(score for score, _ in pool)[-wanted] < bound:
                return False
        return True

    def _best(self, image: int, live: list[float]) -> list[Hypothesis]:
        """Rank an image's pool, and fill it up with beams that were cut at the maximum length."""
        wanted = self.options.num_captions
        pool = sorted(self.pools[image], key=lambda entry: entry[0], reverse=True)[:wanted]
        found = [self.trellis.read(image, node, finished=True) for _, node in pool]
        for slot, score in enumerate(live[: wanted - len(found)]):
            if score > IMPOSSIBLE / 2:
                cut = self.trellis.node(self.options.max_length - 1, image, slot)
                found.append(self.trellis.read(image, cut, finished=False))
        return found
