"""``captioner serve``, which is ``python -m service``, too: serve, load the model meanwhile, and stop when told to."""

import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from captioner.errors import CaptionerError
from captioner.header import read_header
from captioner.malloc import keep_freed_memory
from service.app import add_observability, create_app
from service.inference.engine import Engine
from service.inference.jobs import Model
from service.lifecycle import FAILED, Lifecycle
from service.observability.logs import start_logging
from service.observability.metrics import Metrics
from service.server import addresses, open_server
from service.settings import Settings, add_flags, read_settings, settings_from, warn_of_misspelt

logger = logging.getLogger("service")
# After how long a thread that computes in Python gives way to another, in seconds. The model's thread asks for its turn
# after each of the hundreds of operations of a search; with the usual 0.005 it would often wait longer than it works.
SWITCH_SECONDS = 0.0005


def add_arguments(parser: ArgumentParser) -> None:
    """Add a flag for each setting."""
    add_flags(parser)


def run(arguments: Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM, and return the exit status."""
    return _serve(partial(settings_from, vars(arguments)))


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line, serve until Ctrl-C or SIGTERM, and return the exit status."""
    keep_freed_memory()
    return _serve(partial(read_settings, argv))


def _serve(read: Callable[[Mapping[str, str]], Settings]) -> int:
    sys.setswitchinterval(SWITCH_SECONDS)
    metrics = Metrics()
    try:
        settings = read(os.environ)
        start_logging(settings)
        warn_of_misspelt(os.environ)
        read_header(settings.checkpoint)  # so that a wrong name is told at once
        engine = Engine(settings, metrics)
        app = create_app(engine, settings)
        add_observability(app, metrics, settings)
        server = open_server(app, settings)
    except (CaptionerError, OSError) as error:
        print(f"captioner: {error}", file=sys.stderr)
        return FAILED
    lifecycle = Lifecycle(engine, server, settings, announce=lambda model: announce(model, addresses(server), settings))
    status = lifecycle.run()
    if not lifecycle.is_over:
        _leave_at_once(status)
    return status


def announce(model: Model, urls: Sequence[str], settings: Settings) -> None:
    """Tell the log that photos can be captioned now; and whoever started the service by hand, where."""
    shown = [f"{url}{settings.prefix}" for url in urls]
    logger.info(
        "ready: %s %s answers at %s",
        model.name,
        model.version,
        " ".join(shown),
        extra={"event": "ready", "model": model.name, "version": model.version, "sha256": model.sha256, "urls": shown},
    )
    if settings.log_format == "text":
        print(f"Captioner is ready with {model.name} {model.version}:", *shown, flush=True)


def _leave_at_once(status: int) -> None:
    """Leave while a thread is in the midst of the model, for which the interpreter would wait or crash."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
