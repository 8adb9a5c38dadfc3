"""Python's garbage collector, kept from looking at what stays."""

import gc


def set_aside() -> None:
    """Let the garbage collector leave alone all that lives now.

    Now and then it looks at every object that there is: with torch loaded nearly 400,000, which takes it a quarter of a
    second, and nothing else runs meanwhile. To be called when a model has begun to answer: what comes and goes with
    requests is little beside what is there by then. What was set aside before is looked at once more, so that nothing
    stays of a model that has been replaced.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def take_back() -> None:
    """Let the collector look at everything again, as libraries expect when the interpreter ends."""
    gc.unfreeze()
