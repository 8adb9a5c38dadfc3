"""Search for captions, batched over images, on nothing but a decoder's ``step``: beams, groups of beams, sampling."""

from captioner.decoding.options import (
    MAX_BEAM_SIZE,
    MAX_LENGTH,
    MAX_NGRAM_SIZE,
    MAX_SEED,
    DecodingOptions,
    SpecialTokens,
)
from captioner.decoding.search import search
from captioner.decoding.wanted import Wanted

__all__ = [
    "MAX_BEAM_SIZE",
    "MAX_LENGTH",
    "MAX_NGRAM_SIZE",
    "MAX_SEED",
    "DecodingOptions",
    "SpecialTokens",
    "Wanted",
    "search",
]
