"""The frontend "micro": ESPHome's features, in the unit and on the grid of the firmware's int8."""

import importlib
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from pymicro_features import MicroFrontend

from kws.config import config_hash, load, to_data
from kws.errors import KwsError
from kws.frontend import Frontend, FrontendConfig, compute, micro
from kws.frontend.framing import count_frames
from kws.frontend.tables import build
from kws.graph.arithmetic import input_quant, quantize_features
from kws.recipe import Recipe

CONFIG = FrontendConfig.presets()["micro"]
LARGEST = 1419
"""64 ln(2^32): the frontend takes the logarithm of uint32."""


@pytest.fixture(scope="module")
def sound() -> NDArray[np.int16]:
    rng = np.random.default_rng(5)
    tone = 9000 * np.sin(2 * np.pi * np.cumsum(np.geomspace(150, 7000, 24000)) / 16000)
    noisy = tone * np.clip(np.sin(np.arange(24000) / 2500), 0, 1) + rng.normal(0, 60, 24000)
    return np.concatenate([noisy, np.zeros(3000), rng.normal(0, 2000, 5011)]).round().astype(np.int16)


def firmware(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """micro_wake_word.cpp: int32 arithmetic, the division truncates, then -128 and the clip to int8."""
    return np.clip((values * 256 + 666 // 2) // 666 - 128, -128, 127)


def test_every_value_is_quantized_as_the_firmware_does() -> None:
    values = np.arange(LARGEST + 1)
    assert np.array_equal(quantize_features(micro.features_of(values), input_quant(CONFIG)), firmware(values))


def test_the_desktop_runtime_rounds_to_the_same_with_our_scale() -> None:
    """pymicro-wakeword divides by the model's own input scale: with ours its integers are the device's."""
    values = np.arange(LARGEST + 1)
    rounded = np.round(values / 25.6 / np.float32(input_quant(CONFIG).scale) - 128)
    assert np.array_equal(np.clip(rounded, -128, 127), firmware(values))


def test_the_features_are_those_of_the_package(sound: NDArray[np.int16]) -> None:
    package, rows = MicroFrontend(), []
    for begin in range(0, len(sound) - 159, 160):
        rows += [found] if (found := package.process_samples(sound[begin : begin + 160].tobytes()).features) else []
    found_values = np.rint(np.array(rows) * 25.6).astype(np.int64)
    features = compute(sound, CONFIG)
    assert features.shape == (count_frames(len(sound), CONFIG), 40)
    assert np.array_equal(quantize_features(features, input_quant(CONFIG)), firmware(found_values))
    assert len(np.unique(features)) > 50, "or the sound shows nothing"
    assert np.abs(features / 512.0 - np.array(rows)).max() <= 333 / 256 / 25.6 + 1 / 512


@pytest.mark.parametrize("sizes", [(1,), (159, 161, 0, 3), (160,), (4000, 7)])
def test_any_chunking_gives_the_same_frames(sound: NDArray[np.int16], sizes: tuple[int, ...]) -> None:
    sound = sound[20000:24000] if sizes == (1,) else sound
    frontend, parts, begin, turn = Frontend(CONFIG), [], 0, 0
    while begin < len(sound):
        size = sizes[turn % len(sizes)]
        parts.append(frontend.push(sound[begin : begin + size]))
        begin, turn = begin + size, turn + 1
    assert np.array_equal(np.concatenate(parts), compute(sound, CONFIG))
    assert parts[0].dtype == np.int16


def test_a_reset_stream_is_a_fresh_one(sound: NDArray[np.int16]) -> None:
    frontend = Frontend(CONFIG)
    assert frontend.implementation == "micro"
    first = frontend.push(sound[:8123])
    frontend.reset()
    assert np.array_equal(frontend.push(sound[:8123]), first)
    assert not np.array_equal(frontend.push(sound[8000:16123]), compute(sound[8000:16123], CONFIG)), "it has a memory"


def test_silence_is_zero() -> None:
    assert not compute(np.zeros(16000, np.int16), CONFIG).any()
    assert compute(np.zeros(100, np.int16), CONFIG).shape == (0, 40)


def test_it_has_one_implementation() -> None:
    with pytest.raises(KwsError, match=r"kind \"micro\" has no frontend implementation 'numpy'; choose auto"):
        Frontend(CONFIG, "numpy")


def test_c_and_onnx_do_not_have_it() -> None:
    """What is made of the tables (bundles, profiles, ONNX) cannot take one frontend for the other."""
    with pytest.raises(KwsError, match=r'no frontend "micro".* --to esphome'):
        build(CONFIG)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymicro_features", None)
    micro.package.cache_clear()
    with pytest.raises(KwsError, match=r'pymicro-features, .* pip install "kws\[esphome\]"'):
        Frontend(CONFIG)
    monkeypatch.undo()
    assert micro.package() is importlib.import_module("pymicro_features")


def test_a_name_stands_for_the_config() -> None:
    recipe = load(Recipe, {"phrase": "computer", "frontend": "micro"})
    assert recipe.frontend == CONFIG
    assert load(Recipe, to_data(recipe)) == recipe
    with pytest.raises(KwsError, match=r"r\.toml: key 'frontend' is 'mikro'; it must be one of 'lfbe', 'micro'"):
        load(Recipe, {"phrase": "computer", "frontend": "mikro"}, "r.toml")


@pytest.mark.parametrize(("field", "value"), [("window_ms", 25), ("bands", 20), ("low_hz", 60.0), ("hop_ms", 20)])
def test_the_firmwares_values_cannot_be_changed(field: str, value: float) -> None:
    data = to_data(CONFIG) | {field: value}
    with pytest.raises(KwsError, match=rf'{field} must be .* with kind = "micro".*write frontend = "micro"'):
        load(FrontendConfig, data)


def test_recipes_from_before_keep_their_hash() -> None:
    """Checkpoints are known by it; the number is that of the version before there was a kind of frontend."""
    assert "kind" not in to_data(FrontendConfig())
    assert to_data(CONFIG)["kind"] == "micro"
    assert config_hash(FrontendConfig()) == "6fe1d43be98d63bd"
