"""Beam search, with one group of beams or several, and the pool of the hypotheses that ended."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from captioner.decoding.consensus import consensus
from captioner.decoding.options import DecodingOptions, Task
from captioner.decoding.rows import IMPOSSIBLE, POSSIBLE, Rows
from captioner.types import BoolArray, FloatArray, Hypothesis, IntArray

BLOCK = 64  # numbers of which the largest is looked at first


class End(NamedTuple):
    """Where a hypothesis ended.

    Attributes:
        score: What it is ranked by.
        slot: The slot that held it.
        length: Its tokens before ``<END>``.
        log_prob: Natural-log probability of ``<END>``.
    """

    score: float
    slot: int
    length: int
    log_prob: float


class Pool:
    """The best hypotheses of one image that ended, each once."""

    def __init__(self, options: DecodingOptions) -> None:
        self._options = options
        self._ends: list[End] = []  # best first
        self._most = options.beam_size if options.consensus else options.num_captions
        self._seen: set[tuple[int, ...]] = set()

    def add(self, total: float, tokens: Sequence[int], slot: int, end: float) -> None:
        """Take in a hypothesis that ended.

        Args:
            total: Its natural-log probability, and the bonus of a wanted word that it has.
            tokens: Its tokens before ``<END>``.
            slot: The slot that holds them.
            end: The log-probability of ``<END>`` alone.
        """
        if tuple(tokens) in self._seen:
            return
        self._seen.add(tuple(tokens))
        score = self._options.score(total, len(tokens) + 1)
        self._ends.append(End(score, slot, len(tokens), end))
        self._ends.sort(key=lambda entry: entry.score, reverse=True)  # of equals, the one that was first
        del self._ends[self._most :]

    def floor(self, shortest: int, longest: int) -> float:
        """Return the log-probability above which a hypothesis is one of the best ``num_captions``.

        Args:
            shortest: Its fewest tokens, ``<END>`` included.
            longest: Its most tokens.
        """
        if len(self._ends) < self._options.num_captions:
            return -np.inf
        score = self._ends[self._options.num_captions - 1].score
        length = longest if score < 0 else shortest  # with a bonus totals may be above zero, which length makes less
        return float(score * length**self._options.length_penalty)

    def best(self) -> list[End]:
        """Return what ended, best first."""
        return self._ends


class Beams(NamedTuple):
    """What is live after a step; all are ``[B, K]``, or ``[B, K / G]`` of one group, or fewer than K.

    Attributes:
        scores: Log-probabilities of the hypotheses, and the bonus of those that have a wanted word.
        tokens: Their last tokens.
        log_probs: The log-probabilities of these.
        parents: The slots that they extend.
    """

    scores: FloatArray
    tokens: IntArray
    log_probs: FloatArray
    parents: IntArray


class BeamSearch:
    """Beam search over a batch of images, K live beams each, in G groups of K / G (Vijayakumar et al. 2018).

    The groups take turns at every step. A candidate's log-probability is lowered by ``diversity`` for each beam of the
    earlier groups of its image that lives on by the same token at this step (Hamming diversity); that steers which
    candidates a group takes, and is then forgotten: hypotheses are compared and returned with the model's own
    log-probabilities. ``<END>`` is no word to be different from.

    A candidate that ends leaves its group for the pool of its image; the K / G best of the others live on. A beam is
    open if it would enter the best ``num_captions`` of the pool were it to end, for certain, ``lookahead`` tokens on:
    with the next one, or with one after it where the length penalty is above 0.5. Other beams are dropped, and an
    image without an open one is done, and leaves the batch. (Groups keep their beams until then, since later groups are
    steered by all beams of earlier ones.) Where the length penalty is 0 that is the result of searching on to the
    maximum length: whatever a beam becomes is less probable still, and so is what takes its place. Where it is above,
    a caption is given up that would enter only by being longer, more tokens, nearly certain, of a beam that was no
    better yet. (transformers, by default, judges by the present length as well.) A beam that lacks a wanted word counts
    as if it had the bonus.

    A caption that several groups find is returned once. With one group this is beam search as ever. All of that ranks;
    which of the captions of an image's pool is its first, the others' agreement decides
    (:mod:`captioner.decoding.consensus`), unless ``consensus`` is 0.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.options = task.options
        self.width = self.options.beam_size // self.options.groups
        self.rows = Rows(task, self.options.groups)  # the beams of a group are alike before the first word
        self.pools = [Pool(self.options) for _ in range(task.batch_size)]
        self._found: list[list[Hypothesis]] = [[] for _ in range(task.batch_size)]

    def run(self) -> list[list[Hypothesis]]:
        """Search, and return the best hypotheses of every image."""
        longest = self.options.max_length
        scores = self.rows.begin()  # [B, G]
        for length in range(len(self.task.beginning), longest + 1):
            live = self._advance(scores, self.rows.score())
            open_ = self._open(live) if length < longest else np.zeros(live.scores.shape, dtype=np.bool_)
            going: BoolArray = np.any(open_, axis=1)  # [B]
            self._finish(~going, scores)
            if not going.any():
                break
            live = self._narrow(live, open_, going)
            self.rows.write(live.tokens, live.log_probs, live.parents)
            scores = live.scores
        return self._found

    def _advance(self, scores: FloatArray, log_probs: FloatArray) -> Beams:
        """Extend all beams by one token, group after group.

        Args:
            scores: ``[B, K]``, log-probabilities of the live hypotheses.
            log_probs: ``[B, K, V]``, of their next tokens.
        """
        if self.options.groups == 1:
            return self._advance_group(0, scores, log_probs, None)
        groups = []
        taken = np.zeros_like(log_probs[:, 0])  # [B, V], how many beams of earlier groups live on by each token
        images = np.arange(len(scores))[:, None]
        width = scores.shape[1] // self.options.groups  # 1 at first
        for first in range(0, scores.shape[1], width):
            group = slice(first, first + width)
            penalties = self.options.diversity * taken if first else None
            beams = self._advance_group(first, scores[:, group], log_probs[:, group], penalties)
            np.add.at(taken, (images, beams.tokens), (beams.scores > POSSIBLE).astype(taken.dtype))
            groups.append(beams)
        return Beams(*(np.concatenate(parts, axis=1) for parts in zip(*groups, strict=True)))

    def _advance_group(
        self, first: int, scores: FloatArray, log_probs: FloatArray, penalties: FloatArray | None
    ) -> Beams:
        """Extend one group: scores ``[B, K / G]``, log-probabilities ``[B, K / G, V]``, penalties ``[B, V]``."""
        images, width, vocabulary = log_probs.shape
        rows = np.arange(images)[:, None]
        totals = scores[:, :, None] + log_probs  # [B, K / G, V]
        if self.rows.wanted is not None:
            self.rows.wanted.favour(totals, self.rows.written[:, first : first + width])
        steered = (totals if penalties is None else totals - penalties[:, None]).reshape(images, -1)
        index = best_of(steered, min(2 * self.width, steered.shape[1]))  # at most half of these end, or one per beam
        tokens = index % vocabulary
        parents = index // vocabulary
        candidates = Beams(totals[rows, parents, tokens], tokens, log_probs[rows, parents, tokens], parents + first)
        ends = tokens == self.task.special.eos_id
        if ends.any():
            self._end(ends & (candidates.scores > POSSIBLE), candidates)
        order = np.argsort(ends, axis=1, kind="stable")  # the others first, the best first as they are
        order = order[:, : min(self.width, index.shape[1] - width)]
        return Beams(*(column[rows, order] for column in candidates))  # type: ignore[arg-type]

    def _end(self, ends: BoolArray, candidates: Beams) -> None:
        """Put the candidates marked ``[B, 2K / G]`` into the pools of their images."""
        places = ends.nonzero()[0].tolist()
        scores, _, log_probs, parents = (column[ends].tolist() for column in candidates)
        for place, score, log_prob, slot in zip(places, scores, log_probs, parents, strict=True):
            pool = self.pools[self.rows.images[place]]
            pool.add(score, self.rows.written[place, slot].tolist(), slot, log_prob)

    def _open(self, live: Beams) -> BoolArray:
        """Tell which live beams ``[B, K]`` would enter the best captions of their images by ending soon."""
        written = self.rows.written.shape[2] + 1  # with the tokens just found
        lengths = written + 1, min(written + self.options.lookahead, self.options.max_length + 1)
        floors = [self.pools[image].floor(*lengths) for image in self.rows.images.tolist()]
        reach = live.scores
        if self.rows.wanted is not None:
            reach = reach + self.rows.wanted.ahead(self.rows.written, live.parents, live.tokens)
        return reach > np.array(floors)[:, None]

    def _narrow(self, live: Beams, open_: BoolArray, going: BoolArray) -> Beams:
        """Let images leave that do not go on; return the beams of the others, without those that nothing needs."""
        if not going.all():
            self.rows.keep(np.flatnonzero(going))
            live = Beams(*(column[going] for column in live))  # type: ignore[arg-type]
        if self.options.groups > 1 or open_[going].all():
            return live
        most = int(open_.sum(axis=1).max())  # they are sorted, and all images have as many
        if self.rows.wanted is not None:
            most = live.scores.shape[1]  # open ones stand anywhere
        live = live._replace(scores=np.where(open_[going], live.scores, np.float32(IMPOSSIBLE)))
        return Beams(*(column[:, :most] for column in live))  # type: ignore[arg-type]

    def _finish(self, done: BoolArray, scores: FloatArray) -> None:
        """Note the best hypotheses of images that are done, given the scores ``[B, K]`` of all beams."""
        for place in np.flatnonzero(done).tolist():
            image = self.rows.images[place]
            self._found[image] = self._best(place, self.pools[image], scores[place].tolist())

    def _best(self, place: int, pool: Pool, live: list[float]) -> list[Hypothesis]:
        """Rank an image's pool, the others' choice first, and fill it up with beams cut at the maximum length."""
        read, wanted = self.rows.trellis.read, self.options.num_captions
        ends = pool.best()
        found = [read(place, end.slot, end.length, end.log_prob) for end in ends]
        if self.options.consensus and len(found) > 1:
            tokens, scores = [one.tokens for one in found], [end.score for end in ends]
            found.insert(0, found.pop(consensus(tokens, scores, self.options.consensus)))
        if len(found) >= wanted:
            return found[:wanted]
        cut: dict[tuple[int, ...], Hypothesis] = {}  # by tokens, since several groups may hold the same
        slots = (slot for slot, score in enumerate(live) if score > POSSIBLE)
        for slot in sorted(slots, key=live.__getitem__, reverse=True):
            hypothesis = read(place, slot, self.options.max_length)
            cut.setdefault(hypothesis.tokens, hypothesis)
        return [*found, *cut.values()][:wanted]


def best_of(values: FloatArray, count: int) -> IntArray:
    """Return where the largest numbers of each row ``[B, M]`` stand, ``[B, count]``, the largest first.

    Of equals the first comes first. The ``count``-th largest of the maxima of blocks is a bound that at least ``count``
    numbers reach; only those that reach it are sorted, which takes a third of the time of partitioning them all.
    """
    starts = np.arange(0, values.shape[1], BLOCK)
    if len(starts) <= count:
        return np.argsort(-values, axis=1, kind="stable")[:, :count]
    maxima = np.maximum.reduceat(values, starts, axis=1)  # [B, M / BLOCK]
    least = np.partition(maxima, -count, axis=1)[:, -count]  # [B]
    places, blocks = np.nonzero(maxima >= least[:, None])
    inside = starts[blocks, None] + np.arange(BLOCK)  # [blocks, BLOCK]
    reach = values[places[:, None], np.minimum(inside, values.shape[1] - 1)] >= least[places, None]
    found_blocks, offsets = np.nonzero(reach & (inside < values.shape[1]))
    rows, columns = places[found_blocks], inside[found_blocks, offsets]
    order = np.lexsort((columns, -values[rows, columns], rows))
    firsts = np.searchsorted(rows, np.arange(len(values)))
    found: IntArray = columns[order][firsts[:, None] + np.arange(count)]
    return found
