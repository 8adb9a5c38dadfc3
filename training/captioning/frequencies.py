"""How often tokens occur in captions."""

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor

from captioner.tokenizers import Tokenizer


def log_frequencies(tokenizer: Tokenizer, captions: Iterable[str]) -> Tensor:
    """Return the natural logarithms ``[V]`` of the tokens' shares of all that is predicted, one added to each count.

    As the output bias of a fresh decoder they save the first few hundred steps, which would learn little else.
    """
    counts = Counter(token for text in captions for token in (*tokenizer.encode(text), tokenizer.eos_id))
    shares = torch.tensor([counts[token] + 1.0 for token in range(len(tokenizer))])
    return (shares / shares.sum()).log()
