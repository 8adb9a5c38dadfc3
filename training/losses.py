"""What training minimises."""

import torch
from torch import Tensor
from torch.nn import functional as F

from captioner.decoding import SpecialTokens
from training.inputs.chance import draw

IMPOSSIBLE = -1e9  # the logit of a token that is never drawn


def cross_entropy(logits: Tensor, targets: Tensor, pad_id: int, label_smoothing: float) -> Tensor:
    """Return the mean over all words of ``-sum_v q(v) log p(v)``, with q the smoothed target.

    With smoothing s, q puts ``1 - s + s/V`` on the target and ``s/V`` on every other token (Szegedy et al. 2016).

    Args:
        logits: ``[R, T, V]``.
        targets: ``[R, T]`` token ids; those equal to ``pad_id`` do not count.
        pad_id: The id of padding.
        label_smoothing: s, from 0 up to but not including 1.
    """
    return F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=pad_id, label_smoothing=label_smoothing
    )


def attention_penalty(attention: Tensor, read: Tensor) -> Tensor:
    """Return the doubly stochastic penalty ``sum_l (1 - sum_t a_tl)^2``, as a mean over captions and locations.

    Xu et al. 2015, eq. 14, which asks every location to be looked at about once in a caption.

    Args:
        attention: ``[R, T, L]`` weights.
        read: ``[R, T]``, true for the steps that belong to the caption.
    """
    looked = (attention * read.unsqueeze(2)).sum(dim=1)  # [R, L]
    return (1 - looked).square().mean()


def self_critical(log_probs: Tensor, rewards: Tensor, baselines: Tensor, length: float) -> Tensor:
    """Return the mean over captions of ``-(reward - baseline) * log p``, per word of a caption as long as people's.

    Its gradient is that of the expected reward, estimated from samples (Rennie et al. 2017, eq. 8), with the sign
    turned, over ``length``. Were it divided by the number of words that happen to be written, it would be another one,
    and parts of a batch, each with its own number, would not add up to the whole.

    Args:
        log_probs: ``[R, T]``, of the tokens of R sampled captions; zero after their ends.
        rewards: ``[R]``.
        baselines: ``[R]``, not a function of the same caption.
        length: Words of a reference caption, the same for all parts of a batch.
    """
    return -((rewards - baselines) * log_probs.sum(dim=1)).mean() / length


def mean_of_others(rewards: Tensor, each: int) -> Tensor:
    """Return for each of R samples the mean reward of its image's other samples (Luo 2020), ``[R]``.

    Args:
        rewards: ``[R]``, grouped by image.
        each: Samples per image, at least 2.
    """
    by_image = rewards.view(-1, each)
    others = (by_image.sum(dim=1, keepdim=True) - by_image) / (each - 1)
    return others.flatten()


def scheduled_inputs(tokens: Tensor, logits: Tensor, share: float, special: SpecialTokens, chance: Tensor) -> Tensor:
    """Return the next inputs ``[R]`` of scheduled sampling: the reference's, or by chance a word of the decoder's own.

    It never reads what it never reads when it captions: a banned token, or ``<END>``. Where it would end, the reference
    goes on.

    Args:
        tokens: ``[R]``, the reference's words.
        logits: ``[R, V]`` of the step before, which the decoder's words are drawn from.
        share: Probability of a word of its own (Bengio et al. 2015).
        special: The ids of the special tokens.
        chance: ``[R, 2]`` random numbers from 0 to 1: whether, and which.
    """
    banned = torch.tensor(special.banned, dtype=torch.long, device=logits.device)
    words = logits.detach().float().index_fill(1, banned, IMPOSSIBLE).softmax(dim=1)
    own = draw(words, chance[:, 1])
    return torch.where((chance[:, 0] < share) & (own != special.eos_id), own, tokens)
