"""``python -m service``: load the model, then serve it."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from captioner.errors import CaptionerError
from captioner.predictor import CaptionPredictor
from service.app import create_app
from service.logs import start_logging
from service.metrics import Metrics
from service.server import addresses, open_server
from service.settings import read_settings
from service.telemetry import equip


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM, and return the exit status."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        settings = read_settings(argv, os.environ)
        start_logging(settings)
        predictor = CaptionPredictor.from_checkpoint(settings.checkpoint, threads=settings.inference_threads)
        metrics = Metrics()
        app = create_app(predictor, settings)
        equip(app, metrics, settings)
        server = open_server(app, settings)
        print("Captioner is ready:", *addresses(server), flush=True)
        server.run()
    except (CaptionerError, OSError) as error:
        print(f"captioner: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


def _stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is the signal module's
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
