"""The lifecycle of a service: load the model, reload it when there is a new one, end without losing a request."""

import gc
import logging
import queue
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from PIL import Image

from captioner.errors import CaptionerError, CheckpointError
from captioner.header import SHIPPED
from captioner.predictor import CaptionPredictor
from service.errors import DrainingError
from service.inference.engine import Engine
from service.inference.jobs import Captioning, Model
from service.inference.worker import batch_sizes
from service.server import stop_server
from service.settings import Settings


def freeze_objects() -> None:
    """Let the garbage collector leave alone all that lives now.

    Now and then it looks at every object that there is: with torch loaded nearly 400,000, which takes it a quarter of a
    second, and nothing else runs meanwhile. To be called when a model has begun to answer: what comes and goes with
    requests is little beside what is there by then. What was set aside before is looked at once more, so that nothing
    stays of a model that has been replaced.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def unfreeze_objects() -> None:
    """Let the collector look at everything again, as libraries expect when the interpreter ends."""
    gc.unfreeze()


logger = logging.getLogger(__name__)
Mark = tuple[int, int, int]


def checkpoint_path(settings: Settings) -> Path:
    """Return the file of the model."""
    return settings.checkpoint or SHIPPED


def load_model(settings: Settings) -> Model:
    """Load the model that the settings name, and log where it computes.

    Raises:
        CaptionerError: If the file cannot be used, or if the device is not there.
        OSError: If it cannot be read.
    """
    path = checkpoint_path(settings)
    predictor = CaptionPredictor.from_checkpoint(path, threads=settings.inference_threads, device=settings.device)
    logger.info("the model runs on %s", predictor.place, extra={"device": predictor.place.split()[0]})
    _load_answers(predictor, path, settings)
    return Model(predictor)


def _load_answers(predictor: CaptionPredictor, path: Path, settings: Settings) -> None:
    """Let a model answer questions, too; a model of another encoder than the shipped one need not.

    Raises:
        CheckpointError: If the settings name a file of answers that cannot be used.
    """
    try:
        predictor.load_answers(settings.answers, path)
    except CheckpointError as error:
        if settings.answers is not None:
            raise
        logger.info("questions are not answered: %s", error)


def warm_up(engine: Engine, model: Model, settings: Settings) -> None:
    """Let a model caption a batch of every size, each between two batches of those that wait.

    The first batch of a size is slow, since libraries then choose how to compute it. A predictor whose
    ``compiles_sizes`` is false has none that do; it captions one photo.

    Raises:
        Exception: Whatever the model raises, if it does not work.
    """
    task = Captioning(settings.options())
    picture = model.prepare(Image.new("RGB", (64, 64)))
    sizes = batch_sizes(settings.max_batch)
    for size in sizes if model.predictor.compiles_sizes else sizes[:1]:
        answers = engine.call(partial(task.run, model.predictor, [picture] * size, [task] * size))
        if len(answers) != size:
            raise ValueError(f"the model returned {len(answers)} answers to {size} photos")


class FileWatch:
    """Tells when a file has become another one and does not change any more.

    Args:
        path: The file, which may be replaced, or be gone for a while.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._seen = self._mark()

    def remember(self) -> None:
        """Take the file as it is for the one that is known."""
        self._known = self._seen = self._mark()

    def is_new(self) -> bool:
        """Return whether the file is another one than is known, and the same as at the last look.

        What changes from look to look is still being written.
        """
        last, self._seen = self._seen, self._mark()
        return self._seen is not None and self._seen == last and self._seen != self._known

    def _mark(self) -> Mark | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns


DONE, CUT_OFF, FAILED = 0, 1, 2  # exit statuses
SENDING_SECONDS = 1  # for answers on their way to clients, even if the time to drain is over
JOIN_SECONDS = 1
STOPPING = (signal.SIGTERM, signal.SIGINT)
RELOADING = tuple(filter(None, [getattr(signal, "SIGHUP", None)]))  # which Windows does not have


class Lifecycle:
    """What happens in a service beside answering requests.

    Args:
        engine: Where the model runs.
        server: The web server of the application around the engine.
        settings: Which model, and how long things may take.
        announce: Called with the first model when it is ready.
        load: Returns the model that the settings name.
    """

    def __init__(
        self,
        engine: Engine,
        server: Any,
        settings: Settings,
        announce: Callable[[Model], None],
        load: Callable[[Settings], Model] = load_model,
    ) -> None:
        self._engine = engine
        self._server = server
        self._settings = settings
        self._announce = announce
        self._load = load
        self._watch = FileWatch(checkpoint_path(settings))
        # Simple queues, since a signal may come in the midst of anything, and theirs is the only put() that allows it.
        self._requests: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stops: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._status = DONE
        self._loader = threading.Thread(target=self._serve_models, name="loading", daemon=True)
        self._drainer = threading.Thread(target=self._drain, name="draining", daemon=True)

    def run(self) -> int:
        """Serve until told to stop, and return the exit status.

        SIGTERM and SIGINT stop the service, and a second one acts as usual; SIGHUP reloads the model.
        """
        old = {number: signal.signal(number, self._hear) for number in (*STOPPING, *RELOADING)}
        try:
            self._loader.start()
            self._drainer.start()
            self._server.run()
            self._drainer.join()
            self._loader.join(JOIN_SECONDS)
        finally:
            unfreeze_objects()
            for number, handler in old.items():
                signal.signal(number, handler)
        return self._status

    @property
    def is_over(self) -> bool:
        """Whether all has ended, so that nothing is torn from the midst of its work when the interpreter leaves."""
        return not self._loader.is_alive() and self._engine.is_over

    def reload(self) -> None:
        """Ask for the model to be loaded anew; the old one answers until the new one is ready."""
        self._requests.put("reload")

    def stop(self) -> None:
        """Ask for the end: what is accepted is finished, and nothing more is accepted."""
        self._stops.put("stop")

    def _hear(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature is the signal module's
        if number in STOPPING:
            signal.signal(number, signal.SIG_DFL)
            self.stop()
        else:
            self.reload()

    def _serve_models(self) -> None:
        """Load the model, and then every new one."""
        try:
            self._load_first()
        except DrainingError:  # told to stop before there was a model
            return
        except Exception as error:
            logger.error("no model, no service: %s", error, exc_info=_trace(error))
            self._status = FAILED
            self.stop()
            return
        while self._next_request() != "end":
            self._reload()

    def _load_first(self) -> None:
        self._watch.remember()
        model = self._load(self._settings)
        warm_up(self._engine, model, self._settings)
        freeze_objects()
        self._engine.use(model)
        self._announce(model)

    def _next_request(self) -> str:
        """Wait for what shall be done next with the model."""
        while True:
            try:
                return self._requests.get(timeout=self._settings.reload_seconds or None)
            except queue.Empty:
                if self._watch.is_new():
                    return "reload"

    def _reload(self) -> None:
        self._watch.remember()
        try:
            model = self._load(self._settings)
            warm_up(self._engine, model, self._settings)
        except DrainingError:
            return
        except Exception as error:
            self._engine.observer.reloaded(False)
            logger.error("the new model cannot be used, the old one stays: %s", error, exc_info=_trace(error))
            return
        self._engine.use(model)
        self._engine.observer.reloaded(True)
        freeze_objects()
        names = {"model": model.name, "version": model.version, "sha256": model.sha256}
        text = "a new model answers from now on: %s %s, sha256 %s"
        logger.info(text, *names.values(), extra={"event": "reloaded", **names})

    def _drain(self) -> None:
        """Once told to stop, finish what was accepted and close the server."""
        self._stops.get()
        logger.info("stopping: finishing what was accepted, refusing the rest")
        end = time.monotonic() + self._settings.drain_seconds
        if not self._engine.drain(self._settings.drain_seconds):
            logger.error("not all that was accepted was finished within %s seconds", self._settings.drain_seconds)
            self._status = CUT_OFF
        self._requests.put("end")
        stop_server(self._server, max(end - time.monotonic(), SENDING_SECONDS))
        logger.info("stopped")


def _trace(error: Exception) -> Exception | None:
    """Return an error if its traceback tells more than its message."""
    return None if isinstance(error, (CaptionerError, OSError)) else error
