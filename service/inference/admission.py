"""How many photos may be on their way through the model, and when to come again if there are too many."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import BusyError, DrainingError

MOST_RETRY_SECONDS = 60
STOPPING_RETRY_SECONDS = 5  # until another one serves
SMOOTHING = 0.8  # how much of the time per photo is still believed after a new batch


class Admission:
    """A number of places, each held by a photo from before it is decoded until its answer is known.

    Args:
        places: How many there are.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0
        self._closed = False
        self._seconds_per_photo = 0.0
        self._changed = threading.Condition()

    @property
    def taken(self) -> int:
        """How many places are held."""
        return self._taken

    @contextmanager
    def admit(self, photos: int = 1) -> Iterator[None]:
        """Hold places.

        Raises:
            BusyError: If fewer are free.
            DrainingError: If there are none any more.
        """
        with self._changed:
            self.check_open()
            if self._taken + photos > self._places:
                raise BusyError(
                    f"{self._taken} photos already wait for the model, and at most {self._places} may; "
                    "try again in a moment",
                    self.retry_after(),
                )
            self._taken += photos
        try:
            yield
        finally:
            with self._changed:
                self._taken -= photos
                self._changed.notify_all()

    def learn(self, photos: int, seconds: float) -> None:
        """Hear how long the model took for a batch."""
        known, new = self._seconds_per_photo, seconds / photos
        self._seconds_per_photo = SMOOTHING * known + (1 - SMOOTHING) * new if known else new

    def retry_after(self) -> int:
        """Return in how many seconds those who hold a place now will have been answered."""
        return min(max(math.ceil(self._taken * self._seconds_per_photo), 1), MOST_RETRY_SECONDS)

    @property
    def is_closed(self) -> bool:
        """Whether no more places are given out."""
        return self._closed

    def check_open(self) -> None:
        """Make sure that places are still given out.

        Raises:
            DrainingError: If they are not.
        """
        if self._closed:
            raise DrainingError("the service is about to stop and takes no more requests", STOPPING_RETRY_SECONDS)

    def close(self) -> None:
        """Give out no more places."""
        with self._changed:
            self._closed = True

    def wait_until_empty(self, seconds: float) -> bool:
        """Wait until no place is held, for so long at most; return whether that came true."""
        with self._changed:
            return self._changed.wait_for(lambda: self._taken == 0, seconds)
