"""Run the network on a runtime of your own, here ONNX Runtime, with the frontend and decision of kws.

``python examples/own_engine.py computer.kws computer.onnx talk.flac``. An engine implements
``kws.detector.engine.Engine``: int8 features in, int8 logits out; each call continues where the last one ended.
"""

import json
import sys

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import kws
from kws.detector.engine import ENGINES
from kws.graph.ir import QuantGraph


class MyEngine:
    """ONNX Runtime, one step at a time; the network's states are further inputs and outputs of the file."""

    name = "mine"

    def __init__(self, path: str, graph: QuantGraph) -> None:
        self.stride, self.outputs = graph.stride, graph.outputs
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.states = json.loads(self.session.get_modelmeta().custom_metadata_map["kws.states"])
        self.shapes = {value.name: value.shape for value in self.session.get_inputs()}
        self.reset()

    def reset(self) -> None:
        """Start a new stream."""
        self.state = {one["input"]: np.full(self.shapes[one["input"]], one["initial"], np.uint8) for one in self.states}

    def run(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        """Take int8 [n * stride, bands], return int8 [n, outputs]."""
        steps = features.reshape(-1, *self.shapes["features"])
        return np.concatenate([np.zeros((0, self.outputs), np.int8), *map(self._step, steps)])

    def _step(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        logits, *following = self.session.run(None, {"features": features, **self.state})
        self.state = {one["input"]: value for one, value in zip(self.states, following, strict=True)}
        return np.asarray(logits, np.int8)


def main(model: str, network: str, recording: str) -> None:
    """Print the time of every detection, with the network run by ``MyEngine``."""
    ENGINES["mine"] = lambda graph: MyEngine(network, graph)
    for detection in kws.detect_file(model, recording, engine="mine"):
        print(f"{detection.time_s:.2f} s: {detection.phrase} (score {detection.score:.2f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
