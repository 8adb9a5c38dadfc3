"""The errors that training raises."""

from captioner.errors import CaptionerError


class DataError(CaptionerError):
    """Annotations or photos that cannot be used."""


class TrainingError(CaptionerError):
    """A run that cannot go on, or cannot be resumed."""
