"""How well concepts are found: mean average precision."""

from torch import Tensor


def mean_average_precision(scores: Tensor, present: Tensor, least: int = 5) -> float:
    """Return the mean over concepts of the average precision.

    The average precision of a concept is the mean, over the photos that have it, of the precision among all photos
    that score at least as high (Everingham et al. 2010, without their interpolation).

    Args:
        scores: ``[I, K]``; photos are ranked by them, ties by their order.
        present: ``[I, K]``, true where a photo has a concept.
        least: Concepts of fewer photos do not count; 0 is returned if no concept is left.
    """
    ranked = present.gather(0, scores.argsort(dim=0, descending=True, stable=True)).double()
    found = ranked.cumsum(dim=0)
    ranks = found.new_ones(len(found)).cumsum(dim=0).unsqueeze(1)
    photos = ranked.sum(dim=0)
    counted = photos >= max(least, 1)
    averages = (found / ranks * ranked).sum(dim=0)[counted] / photos[counted]
    return float(averages.mean()) if len(averages) else 0.0
