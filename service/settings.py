"""The settings of the service: one table, filled from defaults, the environment and the command line."""

import argparse
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from captioner.commands.parser import CommandParser
from captioner.decoding import MAX_BEAM_SIZE, MAX_LENGTH, DecodingOptions
from captioner.devices import AUTO, check_device
from captioner.errors import ConfigError, OptionError
from captioner.ranges import Range, check_ranges, ranges_of
from service.prefix import PREFIX

logger = logging.getLogger(__name__)
VARIABLES = "CAPTIONER_"  # with which the names of environment variables begin
SPARE_THREADS = 8
LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


METAVARS: Mapping[Callable[[str], Any], str] = {int: "N", Path: "FILE", _truth: "true|false"}


def _row(meaning: str, read: Callable[[str], Any] = int, choices: Sequence[str] = ()) -> dict[str, Any]:
    return {"meaning": meaning, "read": read, "choices": tuple(choices)}


@dataclass(frozen=True)
class Settings:
    """How the service runs.

    Each field is also the environment variable ``CAPTIONER_<FIELD>`` and the flag ``--<field>`` of
    ``captioner serve``, whose ``--help`` prints this table.
    """

    host: str = field(default="127.0.0.1", metadata=_row("address to listen on; 0.0.0.0 is every one", str))
    port: Annotated[int, Range(0, 65535)] = field(
        default=8000, metadata=_row("port to listen on; 0 takes any free one")
    )
    prefix: str = field(
        default="", metadata=_row("path below which a proxy shows the service, such as /captions; empty is none", str)
    )
    checkpoint: Path | None = field(default=None, metadata=_row("the model's file; none is the shipped model", Path))
    answers: Path | None = field(
        default=None,
        metadata=_row(
            "the file that answers questions; none is the shipped one, if it goes with the model's encoder", Path
        ),
    )
    device: str = field(
        default=AUTO,
        metadata=_row("where the model computes: auto, cpu, cuda, cuda:N or mps; auto is a CUDA GPU or the CPU", str),
    )
    inference_threads: Annotated[int | None, Range(1, 1024)] = field(
        default=None, metadata=_row("CPU threads of the model; none is torch's choice, within the container's limit")
    )
    server_threads: Annotated[int, Range(SPARE_THREADS + 1, 1024)] = field(
        default=72, metadata=_row("threads that answer requests")
    )
    max_waiting: Annotated[int, Range(1, 1024 - SPARE_THREADS)] = field(
        default=64, metadata=_row("images that may be on their way through the model; more are answered 503")
    )
    max_batch: Annotated[int, Range(1, 256)] = field(
        default=16, metadata=_row("most images that the model looks at together; 1 is one by one")
    )
    max_wait_ms: Annotated[int, Range(0, 10_000)] = field(
        default=4, metadata=_row("milliseconds that a batch waits for more images; a lone one never waits")
    )
    max_decoding: Annotated[int, Range(1, 64)] = field(
        default=2, metadata=_row("images that are decoded at the same time")
    )
    deadline_seconds: Annotated[int, Range(1, 3600)] = field(
        default=30, metadata=_row("seconds after which a request is given up with a 504")
    )
    drain_seconds: Annotated[int, Range(0, 3600)] = field(
        default=25, metadata=_row("seconds to finish what was accepted, when the service is told to stop")
    )
    stuck_seconds: Annotated[int, Range(1, 3600)] = field(
        default=120, metadata=_row("seconds at one batch after which /livez says that the model is stuck")
    )
    reload_seconds: Annotated[int, Range(0, 3600)] = field(
        default=5, metadata=_row("seconds between looks whether the model's file is a new one; 0 is never")
    )
    max_upload_bytes: Annotated[int, Range(1024, 2**30)] = field(
        default=20 * 2**20, metadata=_row("most bytes of an uploaded image")
    )
    max_buffered_bytes: Annotated[int, Range(2048, 2**40)] = field(
        default=256 * 2**20,
        metadata=_row("most bytes of all uploads and answers on their way; more uploads are answered 503"),
    )
    beam_size: Annotated[int, Range(1, MAX_BEAM_SIZE)] = field(
        default=5, metadata=_row("beams of the search when a request does not say")
    )
    max_length: Annotated[int, Range(1, MAX_LENGTH)] = field(
        default=20, metadata=_row("most words of a caption when a request does not say")
    )
    metrics: bool = field(default=True, metadata=_row("whether /metrics answers, for Prometheus", _truth))
    metrics_key: bool = field(default=False, metadata=_row("whether /metrics asks for a key, as the rest does", _truth))
    tracing: bool = field(default=False, metadata=_row("whether traces are sent, by OpenTelemetry", _truth))
    log_format: str = field(default="text", metadata=_row("form of the log: text or json", str, LOG_FORMATS))
    log_level: str = field(
        default="info", metadata=_row("least event to log: debug, info, warning or error", str, LOG_LEVELS)
    )

    max_words: Annotated[int, Range(1, MAX_BEAM_SIZE * MAX_LENGTH)] = field(
        default=1000, metadata=_row("most words that a request may ask for")
    )
    max_images: Annotated[int, Range(1, 16)] = field(default=8, metadata=_row("most photos in one request"))
    cache_bytes: Annotated[int, Range(0, 2**40)] = field(
        default=0, metadata=_row("memory for answers that are kept; 0 keeps none")
    )
    cache_entries: Annotated[int, Range(1, 10**9)] = field(default=1000, metadata=_row("most answers that are kept"))
    corrections: Path | None = field(
        default=None, metadata=_row("folder of corrections that people send; none takes none", Path)
    )
    corrections_entries: Annotated[int, Range(1, 100_000)] = field(
        default=10_000, metadata=_row("most corrections that are kept; more are refused")
    )
    corrections_bytes: Annotated[int, Range(2**20, 2**40)] = field(
        default=2**30, metadata=_row("most bytes of their photos")
    )
    api_keys: Path | None = field(default=None, metadata=_row("file of hashes of the keys; none asks for no key", Path))
    rate_limit: str = field(default="", metadata=_row("such as 60/minute, of each client; empty is no limit", str))
    rate_limit_storage: str = field(default="memory://", metadata=_row("where requests are counted", str))
    trusted_proxies: Annotated[int, Range(0, 16)] = field(
        default=0, metadata=_row("reverse proxies in front, whose word on clients is taken")
    )
    cors_origins: str = field(default="", metadata=_row("sites whose pages may call, by commas; empty is none", str))
    url_hosts: str = field(default="", metadata=_row("hosts to fetch photos from, by commas; empty is none", str))
    url_schemes: str = field(default="https", metadata=_row("https, or https,http: how photos are fetched", str))
    url_seconds: Annotated[int, Range(1, 600)] = field(
        default=5, metadata=_row("most seconds that fetching a photo may take")
    )
    photo_index: Path | None = field(
        default=None, metadata=_row("index whose photos may be found and seen, of captioner index; none is off", Path)
    )

    def __post_init__(self) -> None:
        if not self.host:
            raise ConfigError("host is empty; it must be an address such as 127.0.0.1")
        check_ranges(self, narrower=self._narrower())
        for row in fields(self):
            _check_choice(row.name, getattr(self, row.name), row.metadata["choices"])
        _check_device(self.device)
        if self.prefix and not re.fullmatch(PREFIX, self.prefix):
            raise ConfigError(
                f"prefix is {self.prefix!r}; it must begin with a slash and end without one, such as /captions"
            )
        if self.metrics_key and self.api_keys is None:
            raise ConfigError("metrics_key is true, but api_keys names no file of keys")

    def _narrower(self) -> dict[str, Range]:
        """Return the ranges of settings that depend on other settings."""
        threads = f" (server_threads less {SPARE_THREADS}, which stay free to answer health checks and to refuse)"
        words = self.beam_size * self.max_length
        return {
            "max_waiting": Range(1, self.server_threads - SPARE_THREADS, threads),
            # At least one upload of the largest size can come, in base64 too.
            "max_buffered_bytes": Range(2 * self.max_upload_bytes, 2**40, " (twice max_upload_bytes)"),
            "max_words": Range(words, MAX_BEAM_SIZE * MAX_LENGTH, " (beam_size times max_length)"),
        }

    def options(self) -> DecodingOptions:
        """Return how to search when a request does not say."""
        return DecodingOptions(beam_size=self.beam_size, max_length=self.max_length)


def _check_device(name: str) -> None:
    try:
        check_device(name)
    except OptionError as error:
        raise ConfigError(str(error)) from None


def _check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    if choices and value not in choices:
        raise ConfigError(f"{name} is {value!r}; it must be {' or '.join(choices)}")


DEFAULT_SETTINGS = Settings()


def read_settings(argv: Sequence[str] | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings; a flag wins over the environment, which wins over the default.

    Args:
        argv: The command line without the program's name; None means that of this process.
        environ: The environment variables.

    Raises:
        ConfigError: If a value does not fit, with the name of its source.
    """
    return settings_from(vars(_parser().parse_args(argv)), environ)


def settings_from(flags: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Read the settings from flags that are parsed already, as :func:`read_settings` does.

    Args:
        flags: The text of each flag by the name of its setting, ``None`` if it was not given.
        environ: The environment variables.

    Raises:
        ConfigError: If a value does not fit, with the name of its source.
    """
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


def warn_of_misspelt(environ: Mapping[str, str]) -> None:
    """Log a warning for each environment variable that looks like a setting and is none."""
    known = [row.name.upper() for row in fields(Settings)]
    given = [name.removeprefix(VARIABLES) for name in environ if name.startswith(VARIABLES)]
    for name in sorted(set(given) - set(known)):
        near = [f"{VARIABLES}{one}" for one in get_close_matches(name, known)]
        advice = f"did you mean {' or '.join(near)}?" if near else "python -m service --help lists the settings"
        logger.warning("%s%s is no setting and is ignored; %s", VARIABLES, name, advice)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m service", description="Serve captions and the web page.")
    add_flags(parser)
    return parser


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting."""
    parser.usage = "%(prog)s [--FLAG VALUE]..."  # all of them would fill the screen before any error
    for row in fields(Settings):
        parts = [*allowed_values(row.name), f"default: {default_value(row)}", f"or set {_variable(row.name)}"]
        text = f"{row.metadata['meaning']} ({'; '.join(parts)})"
        parser.add_argument(_flag(row.name), help=text, metavar=_metavar(row))


def allowed_values(name: str) -> list[str]:
    """Return the range of a setting as help and documentation show it; empty if it has none."""
    return [str(allowed)] if (allowed := ranges_of(Settings).get(name)) else []


def default_value(row: Field[Any]) -> str:
    """Return the default of a setting as it would be written."""
    if row.default is None or row.default == "":
        return "none"
    return str(row.default).lower() if row.type is bool else str(row.default)


def _metavar(row: Field[Any]) -> str:
    return "|".join(row.metadata["choices"]) or METAVARS.get(row.metadata["read"], "TEXT")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return VARIABLES + name.upper()


def _read(source: str, text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except ValueError:
        must = "true or false" if read is _truth else "a whole number"
        raise ConfigError(f"{source} is {text!r}; it must be {must}") from None
