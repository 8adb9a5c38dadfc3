"""The settings of the service: one table, filled from defaults, the environment and the command line."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from captioner.decoding import DecodingOptions
from captioner.errors import ConfigError

PREFIX = "CAPTIONER_"
SPARE_THREADS = 8


def _row(meaning: str, read: Callable[[str], Any] = int) -> dict[str, Any]:
    return {"meaning": meaning, "read": read}


@dataclass(frozen=True)
class Settings:
    """How the service runs.

    Each field is also the environment variable ``CAPTIONER_<FIELD>`` and the flag ``--<field>`` of
    ``python -m service``, whose ``--help`` prints this table.
    """

    host: str = field(default="127.0.0.1", metadata=_row("address to listen on; 0.0.0.0 is every one", str))
    port: int = field(default=8000, metadata=_row("port to listen on; 0 takes any free one"))
    checkpoint: Path | None = field(default=None, metadata=_row("the model's file; none is the shipped model", Path))
    inference_threads: int | None = field(
        default=None, metadata=_row("CPU threads of the model; none is torch's choice")
    )
    server_threads: int = field(default=72, metadata=_row("threads that answer requests"))
    max_waiting: int = field(
        default=64, metadata=_row("images that may be on their way through the model; more are answered 503")
    )
    max_batch: int = field(default=8, metadata=_row("most images that the model looks at together; 1 is one by one"))
    max_wait_ms: int = field(
        default=4, metadata=_row("milliseconds that a batch waits for more images; a lone one never waits")
    )
    max_decoding: int = field(default=2, metadata=_row("images that are decoded at the same time"))
    deadline_seconds: int = field(default=30, metadata=_row("seconds after which a request is given up with a 504"))
    drain_seconds: int = field(
        default=25, metadata=_row("seconds to finish what was accepted, when the service is told to stop")
    )
    stuck_seconds: int = field(
        default=120, metadata=_row("seconds at one batch after which /livez says that the model is stuck")
    )
    reload_seconds: int = field(
        default=5, metadata=_row("seconds between looks whether the model's file is a new one; 0 is never")
    )
    max_upload_bytes: int = field(default=20 * 2**20, metadata=_row("most bytes of an uploaded image"))
    beam_size: int = field(default=5, metadata=_row("beams of the search when a request does not say"))
    max_length: int = field(default=20, metadata=_row("most words of a caption when a request does not say"))

    def __post_init__(self) -> None:
        if not self.host:
            raise ConfigError("host is empty; it must be an address such as 127.0.0.1")
        _check_range("port", self.port, 0, 65535)
        if self.inference_threads is not None:
            _check_range("inference_threads", self.inference_threads, 1, 1024)
        _check_range("server_threads", self.server_threads, SPARE_THREADS + 1, 1024)
        most_waiting = self.server_threads - SPARE_THREADS
        why = f" (server_threads less {SPARE_THREADS}, which stay free to answer health checks and to refuse)"
        _check_range("max_waiting", self.max_waiting, 1, most_waiting, why)
        _check_range("max_batch", self.max_batch, 1, 256)
        _check_range("max_wait_ms", self.max_wait_ms, 0, 10_000)
        _check_range("max_decoding", self.max_decoding, 1, 64)
        _check_range("deadline_seconds", self.deadline_seconds, 1, 3600)
        _check_range("drain_seconds", self.drain_seconds, 0, 3600)
        _check_range("stuck_seconds", self.stuck_seconds, 1, 3600)
        _check_range("reload_seconds", self.reload_seconds, 0, 3600)
        _check_range("max_upload_bytes", self.max_upload_bytes, 1024, 2**30)
        self.options()

    def options(self) -> DecodingOptions:
        """Return how to search when a request does not say.

        Raises:
            OptionError: If a default is out of range.
        """
        return DecodingOptions(beam_size=self.beam_size, max_length=self.max_length)


def _check_range(name: str, value: int, low: int, high: int, why: str = "") -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}; it must be between {low} and {high}{why}")


DEFAULT_SETTINGS = Settings()


def read_settings(argv: Sequence[str] | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings; a flag wins over the environment, which wins over the default.

    Args:
        argv: The command line without the program's name; None means that of this process.
        environ: The environment variables.

    Raises:
        ConfigError: If a value does not fit, with the name of its source.
        OptionError: If a default of the search is out of range.
    """
    flags = vars(_parser().parse_args(argv))
    values = {}
    for row in fields(Settings):
        for source, text in (
            (_flag(row.name), flags[row.name]),
            (_variable(row.name), environ.get(_variable(row.name))),
        ):
            if text is not None:
                values[row.name] = _read(source, text, row.metadata["read"])
                break
    return Settings(**values)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m service", description="Serve captions and the web page.")
    for row in fields(Settings):
        default = "none" if row.default is None else row.default
        text = f"{row.metadata['meaning']} (default: {default}; or set {_variable(row.name)})"
        parser.add_argument(_flag(row.name), help=text, metavar="N" if row.metadata["read"] is int else "TEXT")
    return parser


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _read(source: str, text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except ValueError:
        raise ConfigError(f"{source} is {text!r}; it must be a whole number") from None
