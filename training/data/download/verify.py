"""Whether a file that was downloaded is the right one."""

import hashlib
import zipfile
from pathlib import Path

from tqdm import tqdm

from training.data.download.archive import DAMAGED_ZIP
from training.data.download.remote import RemoteFile

CHUNK = 2**20


def problem_of(path: Path, file: RemoteFile, sha256: str = "") -> tuple[str, str]:
    """Compare a file with what is known of it: its size, its hash, or else the checksums inside of the zip file.

    Args:
        path: The file.
        file: What it should be.
        sha256: Its hash when it was verified before; empty if it never was.

    Returns:
        What is wrong with it, empty if nothing is; and its SHA-256.
    """
    size = path.stat().st_size
    if file.size and size != file.size:
        return f"it has {size} bytes, not {file.size}", ""
    hashes = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with (
        path.open("rb") as source,
        tqdm(desc=f"verifying {file.name}", total=size, unit="B", unit_scale=True, unit_divisor=1024) as bar,
    ):
        while chunk := source.read(CHUNK):
            for digest in hashes:
                digest.update(chunk)
            bar.update(len(chunk))
    found, md5 = (digest.hexdigest() for digest in hashes)
    if sha256:
        return ("" if found == sha256 else "it has changed since it was verified"), found
    if file.md5:
        return ("" if md5 == file.md5 else f"its MD5 is {md5}, not {file.md5}"), found
    return _damage(path), found


def _damage(path: Path) -> str:
    """Return what is damaged in a zip file, by its own checksums; empty if nothing is."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
    except DAMAGED_ZIP as error:
        return f"it is no whole zip file ({error})"
    return f"{member} in it is damaged" if member else ""
