"""The microphone: PortAudio through sounddevice, at any rate the device offers, as 16 kHz mono blocks.

The only module that uses sounddevice; tests replace ``load_driver`` by a fake.
"""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.audio import MIX, SAMPLE_RATE_HZ, Resampler, tell_mixed
from kws.errors import KwsError
from kws.system.quiet import quiet_libraries

BLOCK_MS = 20
"""Fixed, because PortAudio's own choice of block size loses samples on ALSA's pulse device."""

QUEUE_SECONDS = 5
"""How much sound may wait while the detector is behind; more is dropped and counted."""

FIRST_BLOCK_S, GONE_AFTER_S = 5.0, 2.0
"""How long a device may take to give its first block, and later the next one, before it counts as gone."""

_NOT_OFFERED = (-9994, -9997, -9998)  # paSampleFormatNotSupported, paInvalidSampleRate, paInvalidChannelCount
_UNAVAILABLE = -9985  # paDeviceUnavailable
_POLL_S = 0.1
_CLOSE_S = 1.0


@dataclass(frozen=True)
class Block:
    """Sound at 16 kHz mono, int16 [n]; the device had given ``end_s`` at ``captured_at_s`` of ``time.monotonic()``.

    With a rate to convert, the last samples before ``end_s`` are still in the resampler and come with the next block.
    """

    samples: NDArray[np.int16]
    end_s: float
    captured_at_s: float


def load_driver() -> Any:
    """Return the module sounddevice; ``KwsError`` when PortAudio is missing or cannot start."""
    try:
        import sounddevice
    except OSError as error:
        raise KwsError(
            "microphone: the PortAudio library is missing; install it (Debian, Ubuntu: apt install libportaudio2)"
        ) from error
    except Exception as error:
        # sounddevice starts PortAudio when it is imported, and its PortAudioError cannot be named before that.
        if type(error).__name__ != "PortAudioError":
            raise
        reason = str(error.args[0])
        raise KwsError(
            f"microphone: the sound system does not start ({reason}); check its configuration (on Linux: ALSA)"
        ) from error
    return sounddevice


def list_devices() -> list[str]:
    """Return one line per input device: number, name, host API, channels, rate; the default is marked with ``*``."""
    driver = load_driver()
    default = _default_index(driver)
    return [
        f"{'*' if device['index'] == default else ' '} {device['index']:2d}  {_full_name(driver, device)}  "
        f"({device['max_input_channels']} channels, {device['default_samplerate']:g} Hz)"
        for device in _inputs(driver)
    ]


def find_device(driver: Any, query: str | int | None) -> dict[str, Any]:
    """Return the input device of this number, name or part of a name (any case); None is the system's default."""
    inputs = _inputs(driver)
    if not inputs:
        raise KwsError("microphone: this machine has no input device; connect one and try again")
    if query is None:
        default = _default_index(driver)
        chosen = [device for device in inputs if device["index"] == default]
        return chosen[0] if chosen else inputs[0]
    text = str(query).strip().lower()
    if text.isdigit():
        chosen = [device for device in inputs if device["index"] == int(text)]
    else:
        chosen = [device for device in inputs if text == device["name"].lower()] or [
            device for device in inputs if text and text in _full_name(driver, device).lower()
        ]
    remedy = "see kws listen --list-devices"
    if not chosen:
        raise KwsError(f"microphone: no input device is called {str(query)!r}; {remedy}")
    if len(chosen) > 1:
        numbers = ", ".join(str(device["index"]) for device in chosen)
        raise KwsError(
            f"microphone: {str(query)!r} matches the devices {numbers}; give one of these numbers ({remedy})"
        )
    return chosen[0]


class Microphone:
    """An open input device; a context manager that runs it. ``blocks`` yields its sound until ``stop`` is called.

    ``overflow_s`` is how much sound was lost: dropped here because the detector was behind, or reported by PortAudio.
    ``channel`` is the one to use, counted from 1; ``MIX`` is the mean of all, and so is None, with a notice if there
    are more than two.

    Raises:
        KwsError: PortAudio is missing, there is no such device or channel, or it is busy, refuses every format, or
            disappears.
    """

    def __init__(self, device: str | int | None = None, channel: int | None = None) -> None:
        self._driver = load_driver()
        info = find_device(self._driver, device)
        self.name = str(info["name"])
        self.overflow_s = 0.0
        self._channel = self._offered(channel, int(info["max_input_channels"]))
        self._queue: queue.Queue[tuple[NDArray[np.int16], float]] = queue.Queue(QUEUE_SECONDS * 1000 // BLOCK_MS)
        self._stopped = threading.Event()
        self._finished = threading.Event()
        self._quiet = ExitStack()
        with quiet_libraries():
            self._stream, self.rate_hz, self.channels = self._open(info)
        if channel is None:
            tell_mixed(f"microphone {self.name}", self.channels)
        self._resampler = Resampler(self.rate_hz)

    def __enter__(self) -> "Microphone":
        """Start the device: sound is kept from here on."""
        self._quiet.enter_context(quiet_libraries())
        try:
            self._stream.start()
        except self._driver.PortAudioError as error:
            self.close()
            raise self._refused(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stop(self) -> None:
        """End ``blocks`` soon; may be called from a signal handler or another thread."""
        self._stopped.set()

    def close(self) -> None:
        """Release the device. A driver that hangs because the device is gone is abandoned after a second."""
        self._stopped.set()
        closer = threading.Thread(target=self._close_stream, daemon=True)
        closer.start()
        closer.join(_CLOSE_S)
        self._quiet.close()

    def blocks(self) -> Iterator[Block]:
        """Yield the sound as it comes; ends after ``stop``; ``KwsError`` when the device disappears."""
        frames = 0
        patience_s = FIRST_BLOCK_S
        last_block_at_s = time.monotonic()
        while not self._stopped.is_set():
            try:
                samples, captured_at_s = self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                if self._finished.is_set() or time.monotonic() - last_block_at_s > patience_s:
                    raise self._gone() from None
                continue
            frames += len(samples)
            yield Block(self._resampler.push(samples), frames / self.rate_hz, captured_at_s)
            # Counted from here: if the reader took long over the block, that is not the device's fault.
            last_block_at_s, patience_s = time.monotonic(), GONE_AFTER_S

    def _open(self, info: dict[str, Any]) -> tuple[Any, int, int]:
        """Open at the first rate and channel count that the device offers, 16 kHz first."""
        rates = dict.fromkeys((SAMPLE_RATE_HZ, round(info["default_samplerate"])))
        most = int(info["max_input_channels"])
        # Two channels are the usual microphone, and are mixed down; a virtual device may promise 32.
        counts = (self._channel, most) if self._channel else (min(2, most), 1, most)
        for rate_hz in rates:
            for channels in dict.fromkeys(counts):
                try:
                    return self._input_stream(info["index"], rate_hz, channels), rate_hz, channels
                except self._driver.PortAudioError as error:
                    if _code(error) not in _NOT_OFFERED:
                        raise self._refused(error) from error
                    refusal = error
        raise self._refused(refusal) from refusal

    def _offered(self, channel: int | None, most: int) -> int:
        if channel is not None and channel > most:
            has = "has one channel" if most == 1 else f"has {most} channels"
            raise KwsError(
                f"microphone: {self.name} {has}, so there is no channel {channel}; give --channel 1 to {most}, or mix"
            )
        return channel or MIX

    def _input_stream(self, index: int, rate_hz: int, channels: int) -> Any:
        return self._driver.InputStream(
            samplerate=rate_hz,
            blocksize=rate_hz * BLOCK_MS // 1000,
            device=index,
            channels=channels,
            dtype="int16",
            callback=self._take,
            finished_callback=self._finish,
        )

    def _take(self, data: NDArray[np.int16], frames: int, stream_time: Any, status: Any) -> None:
        """Copy one block out of PortAudio's thread: int16 [frames, channels]."""
        if status and status.input_overflow:
            # PortAudio does not say how much it lost; it is at least one block.
            self.overflow_s += frames / self.rate_hz
        age_s = float(stream_time.currentTime - stream_time.inputBufferAdcTime) - frames / self.rate_hz
        captured_at_s = time.monotonic() - (age_s if 0.0 < age_s < 1.0 else 0.0)
        try:
            mono = data[:, self._channel - 1].copy() if self._channel else mix_down(data)
            self._queue.put_nowait((mono, captured_at_s))
        except queue.Full:
            self.overflow_s += frames / self.rate_hz

    def _finish(self) -> None:
        self._finished.set()

    def _close_stream(self) -> None:
        try:
            self._stream.abort()
            self._stream.close()
        except self._driver.PortAudioError:
            return  # It is gone already; there is nothing to release.

    def _refused(self, error: Exception) -> KwsError:
        text = str(error).lower()
        if _code(error) == _UNAVAILABLE or "busy" in text:
            return KwsError(
                f"microphone: {self.name} is busy; close the program that uses it, or choose another device"
            )
        reason = str(error.args[0]) if error.args else type(error).__name__
        return KwsError(f"microphone: {self.name} cannot be opened ({reason}); choose another device")

    def _gone(self) -> KwsError:
        return KwsError(f"microphone: {self.name} stopped giving sound; check that it is plugged in and start again")


def mix_down(data: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the mean of the channels, rounded to nearest (ties to even): int16 [n, channels] -> int16 [n].

    >>> mix_down(np.array([[7, 7], [1, 2], [3, -8]], np.int16))
    array([ 7,  2, -2], dtype=int16)
    """
    if data.shape[1] == 1:
        return data[:, 0].copy()
    mean: NDArray[np.float64] = data.mean(axis=1)
    return np.rint(mean).astype(np.int16)


def _inputs(driver: Any) -> list[dict[str, Any]]:
    try:
        devices = list(driver.query_devices())
    except driver.PortAudioError as error:
        raise KwsError(
            f"microphone: the sound system cannot list its devices ({error.args[0]}); check its configuration"
        ) from error
    return [{"index": number, **device} for number, device in enumerate(devices) if device["max_input_channels"] > 0]


def _default_index(driver: Any) -> int:
    return int(driver.default.device[0])


def _full_name(driver: Any, device: dict[str, Any]) -> str:
    return f"{device['name']}, {driver.query_hostapis(device['hostapi'])['name']}"


def _code(error: Exception) -> int:
    return int(error.args[1]) if len(error.args) > 1 else 0
