"""The espeak-ng library through ctypes: opened afresh for every use, so that nothing is carried over.

espeak-ng keeps state between utterances (flutter, resonators, a random generator seeded by the clock), so the same
text would not give the same samples twice. Loading the library anew takes 0.3 ms and makes an utterance a pure
function of its text, voice and parameters, whatever came before and in whichever process.
"""

import _ctypes
import ctypes
import ctypes.util
import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.errors import KwsError

EVENT_WORD = 1
EVENT_END = 5
EVENT_PHONEME = 7
PARAMETER_RATE = 1
PARAMETER_PITCH = 3
PARAMETER_RANGE = 4
PARAMETER_WORD_GAP = 7
SYNTH_UTF8 = 0x01
SYNTH_SSML = 0x10
SYNTH_PHONEMES = 0x100
PHONEMES_MNEMONIC = ord("_") << 8
PHONEMES_IPA = 0x02 | ord("_") << 8
_SYNCHRONOUS = 2
_PHONEME_EVENTS = 0x0001
_DONT_EXIT = 0x8000
_LOCK = threading.Lock()

MISSING = (
    "espeak-ng, the speech synthesizer, is not installed; run pip install 'kws[synth]', "
    "or on Linux without a wheel apt-get install libespeak-ng1"
)


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


class _Voice(ctypes.Structure):
    """espeak_VOICE of speak_lib.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Event:
    """One event of an utterance: its kind, the text it belongs to (0-based), its sample, a phoneme's mnemonic."""

    kind: int
    position: int
    sample: int
    phoneme: str = ""


@dataclass(frozen=True)
class Accent:
    """A voice file of espeak-ng: language code ("en-us"), name, identifier ("gmw/en-US"), other codes ("en")."""

    language: str
    name: str
    identifier: str
    other_codes: tuple[str, ...] = ()


@lru_cache
def library_path() -> tuple[str, str | None]:
    """Return the path of the library and of its data (None: where the library expects it).

    Raises:
        KwsError: neither the espeakng_loader package nor a system library is there.
    """
    if importlib.util.find_spec("espeakng_loader") is not None:
        import espeakng_loader

        library = espeakng_loader.get_library_path()
        if Path(library).is_file():
            return str(library), str(espeakng_loader.get_data_path())
    installed = ctypes.util.find_library("espeak-ng")
    if installed is None:
        raise KwsError(MISSING)
    return installed, None


class Library:
    """An opened espeak-ng; made by ``opened`` only."""

    def __init__(self, handle: ctypes.CDLL, rate_hz: int) -> None:
        self._lib = handle
        self.rate_hz = rate_hz

    def set_voice(self, identifier: str) -> None:
        """Choose accent and variant, such as "gmw/en-US+Alex"."""
        if self._lib.espeak_SetVoiceByName(identifier.encode()) != 0:
            raise KwsError(f"espeak-ng has no voice {identifier!r}; kws synth --list-voices names those it has")

    def set_parameter(self, parameter: int, value: float) -> None:
        """Set one of the PARAMETER_ numbers to an absolute value."""
        self._lib.espeak_SetParameter(parameter, round(value), 0)

    def synthesize(self, text: str, flags: int) -> tuple[NDArray[np.int16], list[Event]]:
        """Return int16 [n] at ``rate_hz`` and the events; raise ``KwsError`` when espeak-ng refuses."""
        parts: list[NDArray[np.int16]] = []
        events: list[Event] = []
        callback = _Callback(_collector(parts, events))
        self._lib.espeak_SetSynthCallback(callback)
        data = text.encode()
        if self._lib.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, SYNTH_UTF8 | flags, None, None) != 0:
            raise KwsError(f"espeak-ng could not synthesize {text!r}; try other words")
        self._lib.espeak_Synchronize()
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int16), events

    def phonemes(self, text: str, mode: int) -> str:
        """Return the phonemes, "_" between those of a word and blanks between words; mode is a PHONEMES_ number."""
        rest = ctypes.c_char_p(text.encode())
        function = self._lib.espeak_TextToPhonemes
        function.restype = ctypes.c_char_p
        clauses = []
        while rest.value:
            clause = function(ctypes.byref(rest), SYNTH_UTF8, mode)
            clauses.append((clause or b"").decode("utf-8", "replace"))
        return " ".join(clauses).strip()

    def accents(self) -> list[Accent]:
        """Return every voice file, in espeak-ng's order."""
        function = self._lib.espeak_ListVoices
        function.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        listed = function(None)
        accents: list[Accent] = []
        while listed[len(accents)]:
            voice = listed[len(accents)].contents
            code, *others = _codes(voice.languages) or [""]
            accents.append(Accent(code, voice.name.decode(), voice.identifier.decode(), tuple(others)))
        return accents

    def data_path(self) -> Path:
        """Return the folder of espeak-ng's data."""
        path = ctypes.c_char_p()
        self._lib.espeak_Info.restype = ctypes.c_char_p
        self._lib.espeak_Info(ctypes.byref(path))
        return Path((path.value or b"").decode())

    def version(self) -> str:
        """Return the version, such as "1.52.0"."""
        self._lib.espeak_Info.restype = ctypes.c_char_p
        text = (self._lib.espeak_Info(None) or b"unknown").decode()
        return str(text.split()[0])


def _codes(place: int | None) -> list[str]:
    """Return a voice's language codes: each follows a byte of priority and ends with a zero; a zero ends the list."""
    codes = []
    while place and ctypes.string_at(place, 1) != b"\0":
        code = ctypes.string_at(place + 1)
        codes.append(code.decode())
        place += len(code) + 2
    return codes


@contextmanager
def opened() -> Iterator[Library]:
    """Load espeak-ng with fresh state; one at a time in a process, because the library is not thread-safe."""
    path, data = library_path()
    with _LOCK:
        try:
            handle = ctypes.CDLL(path)
        except OSError as error:
            raise KwsError(f"{path}: cannot be loaded ({error}); {MISSING}") from error
        try:
            options = _PHONEME_EVENTS | _DONT_EXIT
            rate_hz = handle.espeak_Initialize(_SYNCHRONOUS, 0, data.encode() if data else None, options)
            if rate_hz <= 0:
                raise KwsError(f"{path}: espeak-ng does not start; reinstall it with its data files")
            _seed(handle)
            yield Library(handle, int(rate_hz))
            handle.espeak_Terminate()
        finally:
            _close(handle)


def _seed(handle: ctypes.CDLL) -> None:
    """Fix the random numbers of breath and whisper: espeak-ng's own generator and the C library's."""
    if hasattr(handle, "espeak_ng_SetRandSeed"):
        handle.espeak_ng_SetRandSeed(ctypes.c_long(1))
    if hasattr(handle, "srand"):
        handle.srand(1)


def _close(handle: ctypes.CDLL) -> None:
    close: Callable[[int], Any] = getattr(_ctypes, "dlclose", None) or getattr(_ctypes, "FreeLibrary")  # noqa: B009 - one of the two exists
    close(handle._handle)


def _collector(parts: list[NDArray[np.int16]], events: list[Event]) -> Callable[[Any, int, Any], int]:
    def collect(samples: Any, count: int, listed: Any) -> int:
        if samples and count > 0:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while listed[index].type:
            event = listed[index]
            phoneme = event.id.string.decode("utf-8", "replace") if event.type == EVENT_PHONEME else ""
            events.append(Event(event.type, max(0, event.text_position - 1), event.sample, phoneme))
            index += 1
        return 0

    return collect
