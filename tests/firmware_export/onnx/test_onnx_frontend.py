"""The frontend inside a .onnx: every LFBE equal to the specification's, whatever the config and the sound."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from firmware_export.engines.runtimes import OnnxEngine
from firmware_export.onnx import frontend as onnx_frontend
from firmware_export.onnx import opset
from firmware_export.onnx import writer as onnx_writer
from firmware_export.onnx.arithmetic import Integers
from firmware_export.onnx.builder import Writer
from firmware_export.probe import probe_audio
from kws import frontend
from kws.errors import KwsError
from kws.frontend.config import FrontendConfig
from kws.frontend.tables import build
from kws.graph.arithmetic import quantize_features
from kws.graph.ir import Quant, QuantGraph, Reshape, Tensor

CONFIGS = {
    "default": (FrontendConfig(), 1),
    "three frames a step": (FrontendConfig(), 3),
    "short FFT": (FrontendConfig(window_ms=16, hop_ms=8, fft_size=256, bands=20), 2),
    "long FFT": (FrontendConfig(window_ms=60, hop_ms=20, fft_size=1024, bands=60, low_hz=20.0, high_hz=8000.0), 1),
    "windows side by side": (FrontendConfig(window_ms=10, hop_ms=10, bands=12), 1),
}


def sounds(config: FrontendConfig, steps: int) -> NDArray[np.int16]:
    """Every corner of int16 in turn, then the probe audio."""
    samples = steps * config.hop_samples
    rng = np.random.default_rng(0)
    corners = [
        np.full(samples, -32768),
        np.zeros(samples),
        np.full(samples, 32767),
        rng.choice([-32768, 32767], samples),
        rng.integers(-1, 2, samples),
        np.where(np.arange(samples) % 97, 0, -1),
        np.rint(32767 * np.sin(np.arange(samples) * 2 * np.pi * 1000 / 16000)),
    ]
    return np.concatenate([*corners, probe_audio(2)]).astype(np.int16)


def silence(config: FrontendConfig) -> NDArray[np.int16]:
    return np.zeros(config.window_samples - config.hop_samples, np.int16)


def lfbe_session(config: FrontendConfig, stride: int) -> Any:
    """A model that gives the LFBE themselves."""
    shape = (stride, config.bands)
    writer = Writer(QuantGraph((Tensor("input", shape, Quant(0.5, 0)),), (), (), "input", "input"), 128)
    name = onnx_frontend.lfbe(Integers(writer, "frontend"), build(config), stride)
    given = [writer.value_info("audio", (stride * config.hop_samples,), np.int16)]
    if len(silence(config)):
        given.append(writer.value_info("audio_state", silence(config).shape, np.int16))
    made = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, shape)]
    graph = onnx.helper.make_graph(writer.nodes, "lfbe", given, made, writer.constants)
    model = onnx.helper.make_model(graph)
    opset.declare_least(onnx, model)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", CONFIGS)
def test_the_lfbe_are_the_specifications(name: str) -> None:
    config, stride = CONFIGS[name]
    audio = np.concatenate([silence(config), sounds(config, 5)])
    wanted = frontend.compute(audio, config, "numpy")
    session = lfbe_session(config, stride)
    step, kept = stride * config.hop_samples, len(silence(config))
    assert len(wanted) > 100
    for index in range(len(wanted) // stride):
        start = index * step
        feeds = {"audio": audio[None, start + kept : start + kept + step]}
        if kept:
            feeds["audio_state"] = audio[None, start : start + kept]
        (got,) = session.run(None, feeds)
        np.testing.assert_array_equal(got, wanted[index * stride : (index + 1) * stride], err_msg=f"step {index}")
    assert wanted.max() > 40 * 512
    assert wanted.min() == 0


@pytest.mark.parametrize("name", CONFIGS)
def test_a_model_carries_the_samples_from_step_to_step(name: str) -> None:
    """A graph that gives its input back: the quantized features of a stream that begins in silence."""
    config, stride = CONFIGS[name]
    quant = Quant(0.15625, -100)
    shape = (stride, config.bands)
    tensors = (Tensor("input", shape, quant), Tensor("output", (1, 1, stride * config.bands), quant))
    graph = QuantGraph(tensors, (Reshape("input", "output"),), (), "input", "output")
    step = stride * config.hop_samples
    audio = probe_audio(3)[: 48000 // step * step]
    lfbe = frontend.compute(np.concatenate([silence(config), audio]), config)
    engine = OnnxEngine(onnx_writer.to_bytes(graph, frontend=config))
    got = np.concatenate([engine.run(part) for part in np.split(audio, [step, 7 * step])])
    wanted = quantize_features(lfbe[: len(got) * stride], quant).reshape(len(got), -1)
    np.testing.assert_array_equal(got, wanted)
    engine.reset()
    np.testing.assert_array_equal(engine.run(audio[: 5 * step]), wanted[:5])
    with pytest.raises(ValueError, match="give int16"):
        engine.run(audio[: step + 1])


def test_what_cannot_be_written_is_said() -> None:
    quant = Quant(0.15625, -100)
    tensors = (Tensor("input", (1, 40), quant), Tensor("output", (1, 1, 40), quant))
    graph = QuantGraph(tensors, (Reshape("input", "output"),), (), "input", "output")
    with pytest.raises(KwsError, match='the frontend "micro" cannot be written as ONNX'):
        onnx_writer.to_bytes(graph, frontend=FrontendConfig.presets()["micro"])
    with pytest.raises(ValueError, match="only in the integer form"):
        onnx_writer.to_bytes(graph, form="qdq", frontend=FrontendConfig())
