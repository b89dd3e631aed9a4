"""``kws listen``: runs the microphone through the pipeline and shows every event, until it is stopped."""

import math
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from kws.audio import SAMPLE_RATE_HZ, Steady
from kws.detector.decision import SCORE_ONE, Detection
from kws.detector.model_file import KwsModel
from kws.detector.pipeline import Pipeline
from kws.detector.thresholds import Thresholds, levels_q15
from kws.live.events import (
    Detected,
    JsonLines,
    Level,
    Listening,
    Overflow,
    Peak,
    PlainLines,
    Silence,
    Summary,
    View,
    wall_clock,
)
from kws.live.microphone import Block, Microphone
from kws.live.terminal import QUIETEST_DBFS, Terminal
from kws.system.tables import Console

LEVEL_EVERY_S = 0.1
"""How often the level is measured and shown."""

SILENT_S, SILENT_LATER_S = 5.0, 60.0
"""A working microphone gives some noise within the first time; one with a noise gate may be silent for the second."""


def listen(
    model: KwsModel,
    device: str | int | None = None,
    as_json: bool = False,
    engine: str = "auto",
    thresholds: float | Mapping[str, float] | Thresholds | None = None,
    seconds: float | None = None,
    levels: bool = False,
    out: TextIO | None = None,
    channel: int | None = None,
) -> Summary:
    """Listen and report to ``out`` (standard output) for ``seconds`` of sound, or until SIGINT or SIGTERM.

    ``as_json`` writes JSON lines (``kws.live.events``; ``levels`` adds level events); otherwise a terminal gets a
    live display and anything else plain sentences. ``thresholds`` (0..1) replace the model's own; ``channel`` is one
    of the device's, counted from 1, in place of their mean.

    Raises:
        KwsError: there is no such device, it is busy or disappears (see ``kws.live.microphone``).
    """
    limits_q15 = levels_q15(model.detector.phrases, model.thresholds, thresholds)
    pipeline = Pipeline(model, engine, limits_q15)
    with Microphone(device, channel) as microphone, _until_signal(microphone.stop):
        with make_view(sys.stdout if out is None else out, as_json, levels) as view:
            view.show(
                Listening(
                    phrases=model.detector.phrases,
                    device=microphone.name,
                    rate_hz=microphone.rate_hz,
                    channels=microphone.channels,
                    engine=pipeline.engine,  # "auto" would say little in a log
                    thresholds=tuple(round(limit / SCORE_ONE, 6) for limit in limits_q15),
                )
            )
            meter = _Meter(model.detector.phrases, limits_q15)
            session = _Session(pipeline, view, seconds, meter, microphone.name)
            for block in microphone.blocks():
                session.take(block, microphone.overflow_s)
                if session.finished:
                    break
            session.finish()
        # The bars are cleared; the summary is the last line that stays.
        summary = session.summary(microphone.overflow_s)
        view.show(summary)
        return summary


def make_view(out: TextIO, as_json: bool, levels: bool) -> View:
    """Return what shows the events on ``out``: JSON lines, a live display in a terminal, else plain lines."""
    if as_json:
        return JsonLines(out, levels)
    console = Console(file=out)
    return Terminal(console) if console.is_terminal and not console.is_dumb_terminal else PlainLines(out)


class _Session:
    """The session so far: counts samples, detections, latencies, levels."""

    def __init__(self, pipeline: Pipeline, view: View, seconds: float | None, meter: "_Meter", device: str) -> None:
        self._pipeline = pipeline
        self._view = view
        self._left = sys.maxsize if seconds is None else round(seconds * SAMPLE_RATE_HZ)
        self._samples = 0
        self._lost_s = 0.0
        self._latencies_ms: list[float] = []
        self._meter = meter
        self._device, self._steady, self._is_silent = device, Steady(), False

    @property
    def finished(self) -> bool:
        """Whether ``seconds`` of sound have been processed."""
        return self._left <= 0

    def take(self, block: Block, lost_s: float) -> None:
        """Process one block and show its events."""
        samples = block.samples[: self._left]
        self._left -= len(samples)
        self._samples += len(samples)
        for detection in self._pipeline.push(samples):
            self._report(detection, block)
        self._show_peaks(self._pipeline.settled)
        if lost_s > self._lost_s:
            self._lost_s = lost_s
            self._view.show(Overflow(time_s=self._time_s, lost_s=round(lost_s, 3)))
        self._watch(samples)
        if self._view.levels:
            self._meter.take(samples, self._pipeline.scores)
            if self._meter.seconds >= LEVEL_EVERY_S:
                self._view.show(self._meter.read(self._time_s))

    def finish(self) -> None:
        """Show the peaks of detections whose refractory period the end cuts short."""
        self._show_peaks(self._pipeline.finish())

    def _show_peaks(self, settled: list[Detection]) -> None:
        for one in settled:
            highest = one.score if one.peak is None else one.peak
            self._view.show(Peak(phrase=one.phrase, time_s=round(one.time_s, 4), peak=round(highest, 6)))

    def summary(self, lost_s: float) -> Summary:
        """Return the closing figures."""
        latencies = self._latencies_ms
        return Summary(
            seconds=self._time_s,
            detections=len(latencies),
            lost_s=round(lost_s, 3),
            latency_ms_median=round(statistics.median(latencies), 1) if latencies else None,
            latency_ms_max=round(max(latencies), 1) if latencies else None,
        )

    def _watch(self, samples: NDArray[np.int16]) -> None:
        """Report a silent device once, and again if it gives sound and falls silent once more."""
        self._steady.push(samples)
        unchanged_s = self._steady.samples / SAMPLE_RATE_HZ
        silent = unchanged_s >= (SILENT_S if self._steady.throughout else SILENT_LATER_S)
        if silent and not self._is_silent:
            self._view.show(Silence(self._time_s, round(unchanged_s, 2), self._device))
        self._is_silent = silent

    @property
    def _time_s(self) -> float:
        return round(self._samples / SAMPLE_RATE_HZ, 4)

    def _report(self, detection: Detection, block: Block) -> None:
        # The deciding sample is this much older than the newest one that the device had given.
        captured_at_s = block.captured_at_s - (block.end_s - detection.time_s)
        latency_ms = 1000 * (time.monotonic() - captured_at_s)
        self._latencies_ms.append(latency_ms)
        self._view.show(
            Detected(
                phrase=detection.phrase,
                time_s=round(detection.time_s, 4),
                score=round(detection.score, 6),
                at=wall_clock(),
                latency_ms=round(latency_ms, 1),
            )
        )


class _Meter:
    """Energy and highest scores since the last reading."""

    def __init__(self, phrases: tuple[str, ...], limits_q15: tuple[int, ...]) -> None:
        self._phrases, self._limits = phrases, np.array(limits_q15)
        self._samples, self._energy = 0, 0.0
        self._scores = np.zeros(len(phrases), np.int64)

    @property
    def seconds(self) -> float:
        """How much sound this reading covers so far."""
        return self._samples / SAMPLE_RATE_HZ

    def take(self, samples: NDArray[np.int16], scores: NDArray[np.int32]) -> None:
        self._samples += len(samples)
        self._energy += float(np.square(samples.astype(np.float64)).sum())
        self._scores = np.maximum(self._scores, scores.max(axis=0, initial=0))

    def read(self, time_s: float) -> Level:
        closest = int(np.argmax(self._scores - self._limits))
        level = Level(
            time_s=time_s,
            dbfs=round(dbfs(self._energy / self._samples), 1),
            score=round(int(self._scores[closest]) / SCORE_ONE, 6),
            phrase=self._phrases[closest],
        )
        self._samples, self._energy = 0, 0.0
        self._scores[:] = 0
        return level


def dbfs(mean_square: float) -> float:
    """Return the level of int16 samples with this mean square, in dB of full scale; ``QUIETEST_DBFS`` for silence.

    >>> round(dbfs(16384.0**2), 2)
    -6.02
    >>> dbfs(0.0)
    -70.0
    """
    return max(QUIETEST_DBFS, 10 * math.log10(mean_square / 32768**2)) if mean_square > 0 else QUIETEST_DBFS


@contextmanager
def _until_signal(stop: Callable[[], None]) -> Iterator[None]:
    """In the block, SIGINT and SIGTERM call ``stop`` instead of killing (only the main thread may set that)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous: dict[int, Any] = {
        number: signal.signal(number, lambda *_: stop()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
