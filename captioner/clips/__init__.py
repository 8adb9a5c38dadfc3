"""Moving pictures: what a file says before it is decoded, its shots, frames of each, and captions as subtitles."""

from captioner.clips.options import ClipLimits, WatchOptions
from captioner.clips.reading import Clip, read_clip
from captioner.clips.shots import Shot
from captioner.clips.webvtt import Cue, Review, webvtt

__all__ = ["Clip", "ClipLimits", "Cue", "Review", "Shot", "WatchOptions", "read_clip", "webvtt"]
