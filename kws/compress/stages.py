"""A trained model as the few things that an integer graph knows: convolutions with fused activations.

Everything that can be settled in float before quantization is settled here: the feature norm is folded into the
first weights, ReLUs into the layer before them, and the logits are centred (a softmax does not see a constant that
is added to all of them, but an int8 range does).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from kws.errors import KwsError
from kws.graph.ir import Activation
from kws.models.layers import Dense, Relu, Sequential, TimeConv
from kws.models.streaming import Streaming


@dataclass(frozen=True, eq=False)
class Stage:
    """One convolution over time in float64: weights [outputs, kernel, inputs], bias [outputs]."""

    name: str
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    stride: int
    activation: Activation

    @property
    def carried(self) -> int:
        """Input frames that the stage remembers from one step to the next."""
        return int(self.weights.shape[1]) - self.stride

    def run(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Run a whole signal in float64 from the state of zeros: [frames, inputs] -> [frames / stride, outputs]."""
        outputs, kernel, inputs = self.weights.shape
        joined = np.concatenate([np.zeros((self.carried, inputs)), x])
        windows = np.lib.stride_tricks.sliding_window_view(joined, kernel, axis=0)[:: self.stride]
        y = windows.transpose(0, 2, 1).reshape(len(windows), -1) @ self.weights.reshape(outputs, -1).T + self.bias
        return np.maximum(y, 0.0) if self.activation == "relu" else y


def stages(model: Sequential) -> list[Stage]:
    """Return the model's stages, input to logits.

    Raises:
        KwsError: a layer has no place in the integer graph; the sentence names it.
    """
    found: list[Stage] = []
    for index, layer in enumerate(model.children_in_order()):
        if type(layer) is Relu and found and found[-1].activation == "none":
            last = found.pop()
            found.append(Stage(last.name, last.weights, last.bias, last.stride, "relu"))
        else:
            found.append(_stage(layer, f"layer_{index}"))
    if not found:
        raise KwsError("the model has no layer; it cannot be lowered to an integer graph")
    last = found.pop()
    if last.activation != "none":
        raise KwsError(f"{last.name}: the last layer gives logits and must not end in a ReLU; remove it")
    weights, bias = last.weights - last.weights.mean(axis=0), last.bias - last.bias.mean()
    return [*found, Stage("logits", weights, bias, last.stride, "none")]


def _stage(layer: Streaming, name: str) -> Stage:
    if type(layer) is TimeConv:
        weights, bias = _array(layer.weight).transpose(0, 2, 1), _array(layer.bias)
        if layer.norm is not None:  # w (x - mean) / deviation + b = (w / deviation) x + (b - sum of w mean / deviation)
            weights = weights / _array(layer.norm.deviation)
            bias = bias - (weights * _array(layer.norm.mean)).sum(axis=(1, 2))
        return Stage(name, weights, bias, layer.stride, "none")
    if type(layer) is Dense:
        return Stage(name, _array(layer.weight)[:, None, :], _array(layer.bias), 1, "none")
    raise KwsError(
        f"{name}: a {type(layer).__name__} cannot be lowered to the integer graph here; build the model from TimeConv "
        "and Dense layers, each with at most one Relu after it, and a FeatureNorm as a TimeConv's norm"
    )


def _array(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().cpu().numpy().astype(np.float64)
