"""A trained model to its integer graph: every pass, in order."""

import numpy as np
from numpy.typing import NDArray

from kws.compress.quantize.calibrate import INPUT_QUANT, calibrate
from kws.compress.quantize.equalize import equalize
from kws.compress.quantize.from_modules import stages
from kws.compress.quantize.lower import eight_bits, four_bits, lower
from kws.errors import KwsError
from kws.graph.ir import Quant, QuantGraph, WeightBits
from kws.models.streaming import Streaming


def quantize_model(
    model: Streaming, features: NDArray[np.floating], weight_bits: WeightBits = 8, quant: Quant = INPUT_QUANT
) -> QuantGraph:
    """Return the checked graph of ``model`` in evaluation, calibrated on ``features`` [clips, frames, bands].

    The features are drawn as the model was trained (LFBE: log2 units), and ``quant`` is how they are quantized; frames
    that do not fill the last step are left out. With ``weight_bits`` 4 the weights of most convolutions have four bits
    (``lower.four_bits``).

    Raises:
        KwsError: there are no features, the model cannot be lowered or its activations are not finite.
    """
    whole_steps = features[:, : features.shape[1] // model.stride * model.stride]
    if not whole_steps.size:
        raise KwsError("calibration got no features; give at least one clip of at least one step")
    graph = equalize(stages(model), whole_steps)
    bits = eight_bits if weight_bits == 8 else four_bits
    return lower(graph, calibrate(graph, whole_steps, quant), model.latency, bits)
