"""exiftool, which writes metadata into JPEG and PNG: one process for many photos."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from captioner.errors import ConfigError, MetadataError

PROGRAM = "exiftool"
MISSING = (
    "captions are written into JPEG and PNG by exiftool, which is not installed: apt-get install "
    "libimage-exiftool-perl on Debian and Ubuntu, brew install exiftool on macOS, https://exiftool.org elsewhere; "
    "without it there are sidecars (--sidecar xmp)"
)


def find_exiftool() -> str:
    """Return where exiftool is.

    Raises:
        ConfigError: If it is not installed.
    """
    found = shutil.which(PROGRAM)
    if found is None:
        raise ConfigError(MISSING)
    return found


class ExifTool:
    """A process of exiftool, begun when it is first needed; a context manager."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: TemporaryDirectory[str] | None = None
        self._count = 0

    def __enter__(self) -> "ExifTool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()  # it holds nothing that is not on the disk
            self._process.communicate()
        if self._folder is not None:
            self._folder.cleanup()

    def written(self, photo: Path, tags: Mapping[str, bytes]) -> bytes:
        """Return a photo with other metadata.

        Args:
            photo: The photo.
            tags: What tags shall hold, as exiftool calls them; nothing takes a tag away. ``XMP`` is the whole packet.

        Raises:
            ConfigError: If exiftool is not installed.
            MetadataError: If it cannot be done, with what exiftool says.
        """
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="captioner-")
        folder = Path(self._folder.name)
        output = folder / "written"  # not beside the photo: in names of outputs and values exiftool looks for codes
        answer = self._ask([*_values(tags, folder), "-o", str(output), str(photo.absolute())])
        if not output.exists():
            told = [line for line in answer.splitlines() if line.startswith("Error")]
            raise MetadataError(f"exiftool did not write it: {'; '.join(told) or answer.strip() or 'no reason told'}")
        data = output.read_bytes()
        output.unlink()
        return data

    def _ask(self, arguments: list[str]) -> str:
        """Let the process do something; return what it says."""
        if any(character in argument for argument in arguments for character in "\n\r"):
            raise MetadataError("a file with a line feed in its name is too much for exiftool")
        process = self._begun()
        self._count += 1
        lines = [*arguments, f"-execute{self._count}"]
        answer = list[str]()
        try:
            process.stdin.write(b"".join(os.fsencode(line) + b"\n" for line in lines))  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError:
            raise MetadataError("exiftool has ended") from None
        for line in process.stdout or ():
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if text.endswith(f"{{ready{self._count}}}"):
                return "\n".join(answer)
            answer.append(text)
        raise MetadataError(f"exiftool has ended: {'; '.join(answer)}")

    def _begun(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            options = ["-charset", "filename=UTF8"] if os.name == "nt" else []
            self._process = subprocess.Popen(  # noqa: S603 - the program that the operator installed
                [find_exiftool(), *options, "-stay_open", "True", "-@", "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        return self._process


def _values(tags: Mapping[str, bytes], folder: Path) -> Iterator[str]:
    """Yield the arguments that set tags, from files: an argument could not hold every text."""
    for number, (tag, value) in enumerate(tags.items()):
        file = folder / str(number)
        file.write_bytes(value)
        yield f"-{tag}<={file}" if value else f"-{tag}="
