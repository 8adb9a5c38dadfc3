"""WebDataset shards, written by tarfile alone."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.data import CaptionedImage


def write_tar(path: Path, members: Mapping[str, bytes | str]) -> Path:
    """Write a tar file with such members."""
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def write_shards(images: Sequence[CaptionedImage], folder: Path, name: str, each: int = 5) -> None:
    """Write photos and captions into shards, as img2dataset would."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(images), each):
        members: dict[str, bytes | str] = {}
        for image in images[start : start + each]:
            key = f"{image.image_id:06}"
            told = json.dumps({"image_id": image.image_id, "caption": list(image.captions)})
            members |= {f"{key}.png": image.path.read_bytes(), f"{key}.json": told}
        write_tar(folder / f"{name}-{start:04}.tar", members)
