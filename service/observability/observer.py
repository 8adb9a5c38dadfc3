"""What the service tells of itself while it runs; whoever counts, times or logs implements this."""

from collections.abc import Sequence
from typing import Literal, Protocol

Reason = Literal["queue_full", "uploads_full", "deadline", "cancelled", "draining", "not_ready"]


class Observer(Protocol):
    """Hears what happens to requests on their way through the model. Called from several threads."""

    def queued(self, depth: int) -> None:
        """Hear how many requests wait, whenever that changes."""

    def batch(self, size: int, waited: Sequence[float], seconds: float) -> None:
        """Hear of a batch that the model has run.

        Args:
            size: How many photos it had.
            waited: How long each of them had waited for the model, in seconds.
            seconds: How long the model took.
        """

    def decoded(self, seconds: float) -> None:
        """Hear how long a photo took to decode."""

    def rejected(self, reason: Reason) -> None:
        """Hear that a request was given up before the model saw it."""

    def cache(self, hit: bool) -> None:
        """Hear whether an answer was found among those kept."""

    def ready(self, is_ready: bool) -> None:
        """Hear that the service became ready, or ceased to be."""

    def model(self, name: str, version: str, sha256: str) -> None:
        """Hear which model answers from now on."""

    def reloaded(self, succeeded: bool) -> None:
        """Hear that a new model was to take over, and whether it could."""


class Silence:
    """An observer that does nothing."""

    def queued(self, depth: int) -> None:
        """Do nothing."""

    def batch(self, size: int, waited: Sequence[float], seconds: float) -> None:
        """Do nothing."""

    def decoded(self, seconds: float) -> None:
        """Do nothing."""

    def rejected(self, reason: Reason) -> None:
        """Do nothing."""

    def cache(self, hit: bool) -> None:
        """Do nothing."""

    def ready(self, is_ready: bool) -> None:
        """Do nothing."""

    def model(self, name: str, version: str, sha256: str) -> None:
        """Do nothing."""

    def reloaded(self, succeeded: bool) -> None:
        """Do nothing."""
