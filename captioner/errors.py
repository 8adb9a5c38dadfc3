"""The errors that the library raises. Each message says what was wrong and what is allowed."""


class CaptionerError(Exception):
    """The parent of every error that this project raises on purpose."""


class ConfigError(CaptionerError):
    """A configuration or a name in it that the library does not know."""


class OptionError(CaptionerError):
    """An option of a call that lies outside what is allowed."""


class CheckpointError(CaptionerError):
    """A checkpoint file that is missing, damaged, or made for another format version."""


class ImageError(CaptionerError):
    """The parent of what can be wrong with an uploaded image."""


class InvalidImageError(ImageError):
    """The bytes claim to be an image of a supported format but cannot be decoded."""


class UnsupportedImageError(ImageError):
    """The bytes are not an image of a supported format."""


class ImageTooLargeError(ImageError):
    """The image has more bytes, pixels or side length than is allowed."""


class MetadataError(CaptionerError):
    """Metadata of a photo that cannot be read or written."""
