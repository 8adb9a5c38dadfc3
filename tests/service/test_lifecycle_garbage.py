"""What the garbage collector looks at while the service runs."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from service.lifecycle import freeze_objects, unfreeze_objects

pytestmark = pytest.mark.slow


class Knot:
    """Something that refers to itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def looking_again() -> Iterator[None]:
    yield
    unfreeze_objects()
    assert gc.get_freeze_count() == 0


def test_what_lives_is_not_looked_at_again() -> None:
    kept = Knot()
    freeze_objects()
    assert all(found is not kept for found in gc.get_objects())
    assert gc.get_freeze_count() > 1000


def test_what_was_replaced_goes_the_next_time() -> None:
    old = Knot()
    seen = weakref.ref(old)
    freeze_objects()
    del old
    gc.collect()
    assert seen() is not None
    freeze_objects()
    assert seen() is None
