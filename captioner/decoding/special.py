"""The token ids that mean something to search."""

from dataclasses import dataclass


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
