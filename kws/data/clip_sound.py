"""A clip's sound and length, on the channel that its manifest chose: whoever listens to a clip reads it here."""

from kws.audio import Samples, declared_seconds, read_audio
from kws.data.manifest import Clip


def read_clip(clip: Clip) -> Samples:
    """Return the clip's sound, int16 [n] at 16 kHz.

    Raises:
        KwsError: as ``kws.audio.read_audio``.
    """
    return read_audio(clip.path, clip.channel)


def clip_seconds(clip: Clip) -> float:
    """Return the clip's length: the manifest's, or the file's own where that is empty.

    Raises:
        KwsError: as ``kws.audio.declared_seconds``.
    """
    return clip.duration_s if clip.duration_s > 0.0 else declared_seconds(clip.path, clip.channel)
