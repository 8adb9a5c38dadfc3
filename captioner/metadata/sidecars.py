"""Captions in XMP files beside the photos, by either way to name them: a.jpg.xmp, and a.xmp as Adobe's programs do."""

import os
import time
from collections import Counter
from pathlib import Path

from captioner.errors import MetadataError
from captioner.files import rewriting
from captioner.metadata.record import Found, Record
from captioner.metadata.xmp import Packet

NAMINGS = ("auto", "full", "stem")
MAX_SIDECAR_BYTES = 16 * 2**20
LISTED = 10.0  # seconds for which the names of a folder are remembered


class Sidecars:
    """XMP files beside the photos.

    Args:
        naming: ``full`` is a.jpg.xmp, ``stem`` is a.xmp, ``auto`` whichever is there, or else a.jpg.xmp.
    """

    def __init__(self, naming: str = "auto") -> None:
        self._naming = naming
        self._listed: tuple[Path, float, Counter[str]] | None = None

    def path(self, photo: Path) -> Path:
        """Return the file of a photo's sidecar, which may not be there yet.

        Raises:
            MetadataError: If it would be another photo's, too.
        """
        full, stem = photo.with_name(f"{photo.name}.xmp"), photo.with_suffix(".xmp")
        if self._naming == "stem":
            if self._shares_stem(photo):
                raise MetadataError(f"{stem.name} would be that of another file, too; --naming full tells them apart")
            return stem
        if self._naming == "full" or full.exists() or not stem.exists() or self._shares_stem(photo):
            return full
        return stem

    def found(self, photo: Path) -> Found:
        """Return what a model wrote of a photo in its sidecar, and a person in a sidecar of either name.

        Raises:
            MetadataError: If there is one that cannot be read.
        """
        own = self._packet(self.path(photo))
        others = (photo.with_name(f"{photo.name}.xmp"), photo.with_suffix(".xmp"))
        packets = [own, *(self._packet(path) for path in others if path != self.path(photo))]
        person = next((text for packet in packets if packet is not None and (text := packet.person())), "")
        return Found(None if own is None else own.record(), person)

    def write(self, photo: Path, record: Record) -> None:
        """Write a caption into a photo's sidecar, in place of any other; make it if there is none.

        Raises:
            MetadataError: If there is one that cannot be read.
        """
        path = self.path(photo)
        packet = self._packet(path) or Packet()
        with rewriting(path) as partial:
            partial.write_bytes(packet.with_record(record).data)

    def remove(self, photo: Path) -> bool:
        """Take a model's caption out of a photo's sidecar, and the sidecar away if nothing else is in it.

        Raises:
            MetadataError: If there is one that cannot be read.
        """
        path = self.path(photo)
        packet = self._packet(path)
        bare = None if packet is None else packet.without_record()
        if bare is None or bare is packet:
            return False
        if bare.is_left_over:
            path.unlink()
        else:
            with rewriting(path) as partial:
                partial.write_bytes(bare.data)
        return True

    def _packet(self, path: Path) -> Packet | None:
        try:
            if path.stat().st_size > MAX_SIDECAR_BYTES:
                raise MetadataError(
                    f"{path.name} has more than {MAX_SIDECAR_BYTES // 2**20} MiB, which is what is allowed"
                )
            return Packet(path.read_bytes())
        except FileNotFoundError:
            return None
        except MetadataError as error:
            raise MetadataError(f"{path.name}: {error}") from None

    def _shares_stem(self, photo: Path) -> bool:
        """Whether another file than a sidecar differs from a photo in its ending alone."""
        folder, now = photo.parent, time.monotonic()
        if self._listed is None or self._listed[0] != folder or now - self._listed[1] > LISTED:
            names = (Path(name) for name in os.listdir(folder))
            stems = Counter(name.stem for name in names if name.suffix.lower() not in (".xmp", ".partial"))
            self._listed = (folder, now, stems)
        return self._listed[2][photo.stem] > 1
