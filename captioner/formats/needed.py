"""What of a file is needed for its picture, and what its metadata say of the way up."""

from collections.abc import Sequence
from dataclasses import dataclass

MAX_BLOCKS = 8  # of metadata that are looked at for an orientation; files have one or two
MAX_BLOCK_BYTES = 2**18  # of a block that are looked at: its orientation stands near its beginning


@dataclass(frozen=True)
class Needed:
    """A file without what its picture does not need.

    Attributes:
        data: What the decoder is given.
        metadata: Blocks of EXIF and XMP, those to be trusted most first.
        padded: For a file whose end is missing: the same with more coded data before its end. If its pixels are
            those of ``data``, none of them depends on what follows, and so nothing of the picture was missing.
    """

    data: bytes
    metadata: Sequence[bytes] = ()
    padded: bytes | None = None
