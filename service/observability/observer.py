"""What the service tells of itself while it runs; whoever counts, times or logs derives from this."""

from collections.abc import Sequence
from typing import Literal

Reason = Literal["queue_full", "uploads_full", "deadline", "cancelled", "draining", "not_ready"]


class Observer:
    """Hears what happens to requests on their way through the model, and does nothing. Called from several threads."""

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
