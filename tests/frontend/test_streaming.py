"""Streaming is the whole signal in pieces; frames are counted in one place; wrong input is refused in one sentence."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws import runtime
from kws.errors import KwsError
from kws.frontend import Frontend, FrontendConfig, Implementation, compute
from kws.frontend.framing import Framer, count_frames, frames_of
from kws.frontend.lfbe import bit_length

Samples = NDArray[np.int16]
CONFIG = FrontendConfig()
NATIVE = pytest.param("native", marks=pytest.mark.skipif(not runtime.available(), reason="not compiled"))
IMPLEMENTATIONS = ["numpy", NATIVE]
NOISE = np.random.default_rng(3).integers(-2000, 2000, 12000).astype(np.int16)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, len(NOISE)), max_size=30), stride=st.sampled_from([1, 2, -1]))
def test_any_chunking_gives_the_same_frames(implementation: Implementation, cuts: list[int], stride: int) -> None:
    samples = NOISE[::stride]  # not contiguous, too
    frontend = Frontend(CONFIG, implementation)
    chunks = np.split(samples, sorted(cut for cut in cuts if cut <= len(samples)))
    streamed = np.concatenate([frontend.push(chunk) for chunk in chunks])
    assert np.array_equal(streamed, compute(samples.copy(), CONFIG, "numpy"))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("chunk", [1, 7, 159, 160, 161, 400, 5000])
def test_frames_come_as_early_as_they_can(implementation: Implementation, chunk: int) -> None:
    frontend = Frontend(CONFIG, implementation)
    frames = 0
    for start in range(0, 6000, chunk):
        piece = NOISE[start : min(start + chunk, 6000)]
        frames += len(frontend.push(piece))
        assert frames == count_frames(start + len(piece), CONFIG)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_reset_is_a_new_stream(implementation: Implementation) -> None:
    frontend = Frontend(CONFIG, implementation)
    frontend.push(NOISE[:777])
    frontend.reset()
    assert np.array_equal(frontend.push(NOISE), compute(NOISE, CONFIG))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_streams_do_not_mix(implementation: Implementation) -> None:
    one, other = Frontend(CONFIG, implementation), Frontend(CONFIG, implementation)
    frames = [(one.push(chunk), other.push(chunk[::-1])) for chunk in np.split(NOISE, 24)]
    assert np.array_equal(np.concatenate([first for first, _ in frames]), compute(NOISE, CONFIG, "numpy"))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("samples", [0, 1, 399])
def test_too_short_gives_no_frame(implementation: Implementation, samples: int) -> None:
    assert compute(NOISE[:samples], CONFIG, implementation).shape == (0, 40)
    assert Frontend(CONFIG, implementation).push(NOISE[:samples]).shape == (0, 40)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_callers_samples_are_left_alone(implementation: Implementation) -> None:
    samples = NOISE.copy()
    frontend = Frontend(CONFIG, implementation)
    first = frontend.push(samples[:600])
    kept = first.copy()
    samples[:600] = 0  # the caller uses its buffer again
    frontend.push(samples[600:])
    assert np.array_equal(first, kept)
    read_only = NOISE.copy()
    read_only.setflags(write=False)
    assert np.array_equal(compute(read_only, CONFIG, implementation), compute(NOISE, CONFIG, "numpy"))


def test_framer_cuts_at_hops() -> None:
    framer = Framer(CONFIG)
    frames = np.concatenate([framer.push(chunk) for chunk in np.split(NOISE, [5, 5, 1000, 1001, 9000])])
    assert np.array_equal(frames, frames_of(NOISE, CONFIG))
    assert np.array_equal(frames[3], NOISE[480:880])


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros(100), "float64 samples"),
        (np.zeros(100, np.float32), "float32 samples"),
        (np.zeros((100, 2), np.int16), r"shape \(100, 2\)"),
        (np.zeros(100, ">i2"), ">i2|int16"),
    ],
)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_other_arrays_are_refused(implementation: Implementation, samples: Samples, said: str) -> None:
    with pytest.raises(KwsError, match=said):
        compute(samples, CONFIG, implementation)
    with pytest.raises(KwsError, match=said):
        Frontend(CONFIG, implementation).push(samples)


def test_the_compiled_code_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.OFF, "1")
    assert not runtime.available()
    assert runtime.OFF in runtime.reason()
    assert Frontend(CONFIG).implementation == "numpy"
    with pytest.raises(KwsError, match="turned off by KWS_NO_NATIVE"):
        Frontend(CONFIG, "native")


def test_without_a_compiler_numpy_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "kws._runtime", None)
    monkeypatch.delenv(runtime.OFF, raising=False)
    assert "C compiler" in runtime.reason()
    assert Frontend(CONFIG).implementation == "numpy"


def test_an_unknown_implementation_is_refused() -> None:
    unknown: Callable[..., Frontend] = Frontend
    with pytest.raises(KwsError, match="choose auto, numpy or native"):
        unknown(CONFIG, "cuda")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"sample_rate_hz": 8000}, "sample_rate_hz"),
        ({"fft_size": 500}, "fft_size"),
        ({"window_ms": 33}, "window_ms"),
        ({"window_ms": 7}, "window_ms"),
        ({"hop_ms": 26}, "hop_ms"),
        ({"hop_ms": 4}, "hop_ms"),
        ({"bands": 81}, "bands"),
        ({"low_hz": -1.0}, "low_hz"),
        ({"low_hz": 100.0, "high_hz": 101.0}, "bands must be fewer"),
        ({"bands": 80, "fft_size": 256, "window_ms": 16}, "bands must be fewer"),
        ({"high_hz": float("nan")}, "low_hz"),
    ],
)
def test_bounds_of_the_config(values: dict[str, float], field: str) -> None:
    make: Callable[..., FrontendConfig] = FrontendConfig
    with pytest.raises(ValueError, match=f"^{field}"):
        make(**values)


@given(st.lists(st.integers(0, 2**62), min_size=1))
def test_bit_length_is_exact(values: list[int]) -> None:
    assert bit_length(np.array(values, np.int64)).tolist() == [value.bit_length() for value in values]
