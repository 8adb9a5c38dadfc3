"""Zip files: unpacked where they may be, whole, and only what is not there yet."""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from captioner.files import replacing, synchronise
from training.errors import DataError

CHUNK = 2**20
# All that zipfile raises of a file that is damaged, cut off, encrypted, or packed in a way that it does not know.
DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def unpack(path: Path, root: Path, select: str = "*", folder: str = "") -> dict[str, int]:
    """Unpack a zip file; what was unpacked before stays.

    A member gets its name only when it is whole. Once this returns, all files outlive a power cut; one before that may
    leave files of the right size and wrong content, so that what is there is compared with its checksum.

    Args:
        path: The zip file.
        root: Where to.
        select: Pattern of the members to unpack.
        folder: Where below the root they go, by their names alone; empty keeps the folders of the zip file.

    Returns:
        Size in bytes of each file, by its name relative to the root.

    Raises:
        DataError: If the zip file is damaged, has nothing that is asked for, or has a member that would lie outside of
            the root.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = dict(_members(archive, select, folder))
            if not members:
                raise DataError(f"{path}: no member of it is called {select}")
            with tqdm(desc=f"unpacking {path.name}", total=len(members), unit="file") as bar:
                for target, member in members.items():
                    _write(archive, member, root / target)
                    bar.update()
            synchronise(root / target for target in members)
    except DAMAGED_ZIP as error:
        raise DataError(f"{path}: damaged, or not a zip file that can be read ({error})") from None
    return {target: member.file_size for target, member in members.items()}


def _members(archive: zipfile.ZipFile, select: str, folder: str) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Return the selected files, each with where below the root it goes."""
    for member in archive.infolist():
        name = PurePosixPath(member.filename)
        if member.is_dir() or not fnmatchcase(member.filename, select):
            continue
        link = stat.S_ISLNK(member.external_attr >> 16)
        if link or name.is_absolute() or {"..", ""} & set(name.parts) or set("\\:") & set(member.filename):
            raise DataError(
                f"{archive.filename}: the member {member.filename!r} could lie outside of the folder; refused"
            )
        if not name.name.startswith("."):  # such as what macOS adds
            yield (f"{folder}/{name.name}" if folder else str(name)), member


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    if _is_whole(target, member):
        return
    with replacing(target, durable=False) as partial, archive.open(member) as source, partial.open("wb") as out:
        shutil.copyfileobj(source, out)  # reading to the end compares the member's checksum


def _is_whole(target: Path, member: zipfile.ZipInfo) -> bool:
    if not target.is_file() or target.stat().st_size != member.file_size:
        return False
    checksum = 0
    with target.open("rb") as file:
        while chunk := file.read(CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum == member.CRC
