"""Fixtures: a detector made by hand, not trained, with sound for it; a sounddevice that is not there; a seeded
generator and a DeepKWS-shaped graph with random weights.

The detector hears a 1 kHz tone and nothing else, so its detections can be counted.
"""

import importlib.util
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from numpy.typing import NDArray

from kws.detector.decision import SCORE_ONE, DetectorConfig
from kws.detector.model_file import KwsModel
from kws.frontend.config import FrontendConfig
from kws.graph.arithmetic import float32_exact, input_quant
from kws.graph.ir import Activation, Concat, Conv2D, Quant, QuantGraph, Reshape, Slice, State, Tensor
from tests.support.cost import Costs
from tests.support.order import long_files_first
from tests.support.warm import RunKws, WarmKws

# On CI the same examples every time, so that a red run is about the change; at home new ones are tried. A busy machine
# makes any one of them slow, which says nothing about the code.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.register_profile("home", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "home")


def pytest_configure(config: pytest.Config) -> None:
    """Let every run tell what it costs."""
    config.pluginmanager.register(Costs(collects=not hasattr(config, "workerinput")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long."""
    long_files_first(items)


@pytest.fixture(scope="session")
def kws() -> Iterator[RunKws]:
    """``kws("info", path, cwd=folder)``: the command in a process that starts at once (``tests/support/warm.py``)."""
    warm = WarmKws()
    yield warm.run
    warm.close()


TONE_BAND = 13
"""The default frontend's mel band in which 1 kHz is loudest."""

BURSTS_S = (0.8, 2.1, 3.05, 5.5, 6.65, 8.2, 10.9)
"""When the bursts of ``burst_sound`` start; each lasts 0.4 s."""


HIGH_BAND = 26
"""The band in which 3 kHz is loudest."""


def tone_graph(*tone_bands: int) -> QuantGraph:
    """One dense layer. A keyword's logit: (energy of its band - mean of the others, in log2) / 2 - 6; filler: 0."""
    bands, outputs = 40, 1 + len(tone_bands)
    features = Quant(float(np.float32(46 / 255)), -128)
    weight_scale = np.float32(1 / 234)
    weights = np.zeros((outputs, 1, 1, bands), np.int8)
    weights[1:] = -3
    for keyword, band in enumerate(tone_bands, 1):
        weights[keyword, 0, 0, band] = 117
    return QuantGraph(
        tensors=(
            Tensor("features", (1, bands), features),
            Tensor("map", (1, 1, bands), features),
            Tensor("logits", (1, 1, outputs), Quant(0.25, 0)),
        ),
        ops=(
            Reshape("features", "map"),
            Conv2D(
                "map",
                "logits",
                weights,
                np.full(outputs, weight_scale, np.float32),
                np.array([0] + len(tone_bands) * [round(-6 / (features.scale * float(weight_scale)))], np.int32),
            ),
        ),
        states=(),
        input="features",
        output="logits",
    )


@pytest.fixture(scope="session")
def tone_model() -> KwsModel:
    """The hand-made model; threshold 0.7, and 0.5 s between detections."""
    detector = DetectorConfig.single("beep", ("filler", "beep"), smooth_frames=10, max_frames=10, refractory_ms=500)
    return KwsModel(tone_graph(TONE_BAND), FrontendConfig(), detector, (round(0.7 * SCORE_ONE),))


@pytest.fixture(scope="session")
def two_tone_model() -> KwsModel:
    """The same for two phrases: "beep" at 1 kHz with threshold 0.7, "high chirp" at 3 kHz with 0.6."""
    phrases, keywords = ("beep", "high chirp"), ((1,), (2,))
    detector = DetectorConfig(phrases, ("filler", "beep", "high_chirp"), keywords, 10, 10, 500)
    thresholds = (round(0.7 * SCORE_ONE), round(0.6 * SCORE_ONE))
    return KwsModel(tone_graph(TONE_BAND, HIGH_BAND), FrontendConfig(), detector, thresholds)


MICRO = FrontendConfig.presets()["micro"]
MICRO_TONE_BAND = 12
"""The band of ESPHome's frontend in which 1 kHz is loudest."""


def micro_tone_graph(outputs: int = 2) -> QuantGraph:
    """Three frames a step, the last three before them as state; hears how far 1 kHz stands out in all six.

    A keyword's logit: (its band - mean of the others - 7) * 0.6, in units of a feature; the filler's: less that.
    """
    quant, weight_scale, logits = input_quant(MICRO), 0.6 / 6 / 117, Quant(float32_exact(0.05), 0)
    weights = np.full((outputs, 6, 1, 40), -3, np.int8)
    weights[..., MICRO_TONE_BAND] = 117
    weights[0] *= -1
    bias = np.full(outputs, round(-0.6 * 7.0 / (quant.scale * weight_scale)), np.int32)
    bias[0] *= -1
    return QuantGraph(
        tensors=(
            Tensor("features", (3, 40), quant),
            Tensor("past", (3, 40), quant),
            Tensor("window", (6, 40), quant),
            Tensor("next", (3, 40), quant),
            Tensor("map", (6, 1, 40), quant),
            Tensor("logits", (1, 1, outputs), logits),
        ),
        ops=(
            Concat(("past", "features"), "window"),
            Slice("window", "next", begin=3),
            Reshape("window", "map"),
            Conv2D("map", "logits", weights, np.full(outputs, weight_scale, np.float32), bias),
        ),
        states=(State("past", "next"),),
        input="features",
        output="logits",
    )


@pytest.fixture(scope="session")
def micro_tone_model() -> KwsModel:
    """A hand-made model for ESPHome, which hears 1 kHz; threshold 0.9, 3 probabilities, 0.5 s between detections."""
    detector = DetectorConfig.single("beep", ("filler", "beep"), smooth_frames=3, max_frames=1, refractory_ms=500)
    recipe = {"synthesis": {"language": "en-gb"}}
    return KwsModel(micro_tone_graph(), MICRO, detector, (round(0.9 * SCORE_ONE),), recipe=recipe)


def sound_with_bursts(starts_s: Sequence[float], seconds: float) -> NDArray[np.int16]:
    """Return soft noise with 0.4 s of 1 kHz at these times, and a 3 kHz tone of 0.4 s that is not to be found."""
    generator = np.random.default_rng(7)
    sound = generator.standard_normal(round(seconds * 16000)) * 20
    tones = [(start, 1000.0) for start in starts_s] + [(4.2, 3000.0)] * (seconds > 5)
    for start, hz in tones:
        burst = 6000 * np.sin(2 * np.pi * hz * np.arange(6400) / 16000)
        burst[:160] *= np.linspace(0, 1, 160)
        burst[-160:] *= np.linspace(1, 0, 160)
        first = round(start * 16000)
        sound[first : first + 6400] += burst[: len(sound) - first]
    return sound.round().astype(np.int16)


@pytest.fixture(scope="session")
def burst_sound() -> NDArray[np.int16]:
    """12 s with a burst at each of ``BURSTS_S``."""
    return sound_with_bursts(BURSTS_S, 12.0)


@pytest.fixture(scope="session")
def burst_times_s() -> tuple[float, ...]:
    """The starts of the bursts of ``burst_sound``."""
    return BURSTS_S


Refuse = Callable[[int, int], tuple[str, int] | None]


class PortAudioError(Exception):
    """sounddevice's exception: text, code."""


class FakeStream:
    """Plays the driver's blocks into the callback from a thread of its own, as fast as they are taken."""

    def __init__(self, driver: "FakeDriver", options: dict[str, Any]) -> None:
        self.driver, self.options = driver, options
        self.closed = False

    def start(self) -> None:
        if self.driver.start_error is not None:
            raise PortAudioError(*self.driver.start_error)
        if self.driver.synchronous:
            self._play()
        else:
            threading.Thread(target=self._play, daemon=True).start()

    def _play(self) -> None:
        stream_time = SimpleNamespace(currentTime=1.0, inputBufferAdcTime=1.0 - self.driver.adc_lag_s)
        for block in self.driver.sound:
            status = SimpleNamespace(input_overflow=self.driver.lossy)
            self.options["callback"](block, len(block), stream_time, status)
        if self.driver.ends:
            self.options["finished_callback"]()

    def abort(self) -> None:
        if self.driver.hangs:
            threading.Event().wait(30)

    def close(self) -> None:
        self.closed = True


class FakeDriver:
    """As much of the module sounddevice as kws uses."""

    PortAudioError = PortAudioError

    def __init__(self, names: Sequence[str] = ("Built-in Microphone",), channels: int = 1) -> None:
        self.default = SimpleNamespace(device=[0 if names else -1, -1])
        self.devices = [
            {"name": name, "hostapi": 0, "max_input_channels": channels, "default_samplerate": 48000.0}
            for name in names
        ]
        self.refuse: Refuse = lambda rate_hz, channels: None
        self.start_error: tuple[str, int] | None = None
        self.sound: list[NDArray[np.int16]] = []
        self.adc_lag_s = 0.0
        self.synchronous = self.lossy = self.ends = self.hangs = False
        self.opened: list[dict[str, Any]] = []

    def query_devices(self) -> list[dict[str, Any]]:
        return self.devices

    def query_hostapis(self, index: int) -> dict[str, Any]:
        return {"name": "ALSA"}

    def InputStream(self, **options: Any) -> FakeStream:  # noqa: N802  # sounddevice's name
        refusal = self.refuse(options["samplerate"], options["channels"])
        if refusal is not None:
            raise PortAudioError(*refusal)
        self.opened.append(options)
        return FakeStream(self, options)

    def play(self, samples: NDArray[np.int16], block: int = 320) -> None:
        """Give int16 [n] or [n, channels] as the device's sound."""
        data = samples[:, None] if samples.ndim == 1 else samples
        self.sound = [data[start : start + block] for start in range(0, len(data), block)]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    """One mono device, used by ``kws.live.microphone`` in place of sounddevice."""
    fake = FakeDriver()
    monkeypatch.setattr("kws.live.microphone.load_driver", lambda: fake)
    return fake


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(20140504)


@pytest.fixture(scope="session")
def deepkws_like_graph() -> Callable[..., QuantGraph]:
    """``deepkws_like_graph(rng, outputs=3, hidden=128)``: a DeepKWS-shaped graph with random weights."""
    return make_deepkws_like_graph


@pytest.fixture
def deepkws_graph(rng: np.random.Generator) -> QuantGraph:
    """41 stacked frames of 40 LFBE, 3 x 128, 3 outputs; random weights, input scale 0.16, zero point -128."""
    return make_deepkws_like_graph(rng)


@pytest.fixture(scope="session")
def small_graph() -> Callable[[int, int], QuantGraph]:
    """``small_graph(outputs, stride)``: DeepKWS with 16 units a layer that takes ``stride`` frames at a time."""

    def make(outputs: int, stride: int) -> QuantGraph:
        graph = make_deepkws_like_graph(np.random.default_rng(outputs), outputs, hidden=16)
        rows = {"features": stride, "frame": stride, "context": 41 - stride, "context_next": 41 - stride}
        tensors = tuple(replace(t, shape=(rows.get(t.name, t.shape[0]), *t.shape[1:])) for t in graph.tensors)
        ops = tuple(replace(op, begin=stride) if isinstance(op, Slice) else op for op in graph.ops)
        return replace(graph, tensors=tensors, ops=ops)

    return make


def make_deepkws_like_graph(rng: np.random.Generator, outputs: int = 3, hidden: int = 128) -> QuantGraph:
    """Scales are such that noise over the input's whole range neither saturates nor vanishes in any layer."""
    frames, bands = 41, 40
    lfbe = Quant(float32_exact(0.16), -128)
    relu = Quant(float32_exact(0.05), -128)
    tensors = (
        Tensor("features", (1, bands), lfbe),
        Tensor("frame", (1, 1, bands), lfbe),
        Tensor("context", (frames - 1, 1, bands), lfbe),
        Tensor("window", (frames, 1, bands), lfbe),
        Tensor("context_next", (frames - 1, 1, bands), lfbe),
        *(Tensor(f"hidden{layer}", (1, 1, hidden), relu) for layer in range(3)),
        Tensor("logits", (1, 1, outputs), Quant(float32_exact(0.12), 5)),
    )
    ops = (
        Reshape("features", "frame"),
        Concat(("context", "frame"), "window"),
        Slice("window", "context_next", 1),
        random_conv(rng, "window", "hidden0", (hidden, frames, 1, bands), lfbe, gain=0.05, activation="relu"),
        random_conv(rng, "hidden0", "hidden1", (hidden, 1, 1, hidden), relu, gain=1.5, activation="relu"),
        random_conv(rng, "hidden1", "hidden2", (hidden, 1, 1, hidden), relu, gain=1.5, activation="relu"),
        random_conv(rng, "hidden2", "logits", (outputs, 1, 1, hidden), relu, gain=1.5),
    )
    states = (State("context", "context_next"),)
    return QuantGraph(tensors, ops, states, "features", "logits", latency_frames=10)


def random_conv(
    rng: np.random.Generator,
    source: str,
    output: str,
    shape: tuple[int, int, int, int],
    quant: Quant,
    gain: float,
    activation: Activation = "none",
) -> Conv2D:
    """Zero-mean weights of standard deviation ``gain / sqrt(fan-in)``, quantized per channel."""
    weights = rng.normal(0.0, gain / np.sqrt(np.prod(shape[1:])), shape)
    weights -= weights.mean(axis=(1, 2, 3), keepdims=True)
    scales = (np.abs(weights).max(axis=(1, 2, 3)) / 127.0).astype(np.float32)
    quantized = np.clip(np.round(weights / scales[:, None, None, None]), -127, 127).astype(np.int8)
    bias = np.round(rng.normal(0.3, 0.3, shape[0]) / (quant.scale * scales.astype(np.float64))).astype(np.int32)
    return Conv2D(source, output, quantized, scales, bias, activation=activation)


@pytest.fixture(scope="session")
def random_graphs() -> st.SearchStrategy[QuantGraph]:
    """Small random graphs of every operator with extreme scales and zero points, to be drawn from ``st.data()``."""
    spec = importlib.util.spec_from_file_location("graph_conftest", Path(__file__).parent / "graph" / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    strategy: st.SearchStrategy[QuantGraph] = st.composite(module.draw_graph)()
    return strategy


@pytest.fixture(scope="session")
def load_benchmark() -> Callable[[str], ModuleType]:
    """``load_benchmark("instructions")`` is benchmarks/instructions.py, which no package holds."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "benchmarks" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
