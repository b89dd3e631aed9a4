"""The containers that libsndfile knows, by its names for them: which of them kws reads, and why not the others.

kws reads only what it can check: a file that was cut, or that holds more than its header says, must be noticed.
"""

READ = {
    "WAV": "the length of its chunk data",
    "WAVEX": "the length of its chunk data",
    "RF64": "the length in its chunk ds64",
    "W64": "the length of its chunk data",
    "AIFF": "the length of its chunk SSND",
    "AU": "the length in its head",
    "CAF": "the length of its chunk data",
    "NIST": "sample_count in its head",
    "HTK": "the number of samples in its head, which the decoder compares",
    "FLAC": "the number of samples in its STREAMINFO, against what is decoded",
    "OGG": "its last page, which says that it is the last",
    "MP3": "the frames in its Xing header, against what is decoded",
}
"""Format -> how kws knows that a file is complete."""

REFUSED = {
    "AVR": "Audio Visual Research, of the Atari",
    "IRCAM": "IRCAM, Berkeley, CARL",
    "MAT4": "GNU Octave 2.0, Matlab 4.2",
    "MAT5": "GNU Octave 2.1, Matlab 5.0",
    "MPC2K": "Akai MPC 2000",
    "PAF": "Ensoniq PARIS",
    "PVF": "Portable Voice Format",
    "RAW": "no header",
    "SD2": "Sound Designer II",
    "SDS": "MIDI Sample Dump Standard",
    "SVX": "Amiga IFF, 8SVX",
    "VOC": "Creative Voice",
    "WVE": "Psion Series 3",
    "XI": "FastTracker 2",
}
"""Format -> what it is. Old formats, whose files do not state their length, or state it where no decoder checks it."""


def refusal(name: str) -> str:
    """Return why a file of this format is not read, and what to do; "" where it is.

    >>> refusal("VOC")
    'is in the format VOC (Creative Voice), which kws does not read; convert it to WAV or FLAC'
    >>> refusal("WAV")
    ''
    """
    if name in READ:
        return ""
    what = f" ({REFUSED[name]})" if name in REFUSED else ""
    return f"is in the format {name}{what}, which kws does not read; convert it to WAV or FLAC"
