"""Fold what is a map of single values into the node before it, and centre the logits."""

from collections import Counter
from dataclasses import replace

import numpy as np

from kws.compress.quantize.nodes import LOGITS, Add, Convolution, Depthwise, FloatGraph, Node, Reshape, Windowed
from kws.errors import KwsError


def fold(graph: FloatGraph) -> FloatGraph:
    """Return the graph with batch norms and ReLUs in the convolution or addition before them.

    Both are pointwise depthwise nodes. One stays where the node before it is read by others too, where it has an
    activation already, or where it computes nothing (a reshape between them is one: a sub-band's norm is not one
    number per channel of the convolution); a ReLU after a ReLU is dropped.
    """
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    uses[graph.output] += 1
    nodes: dict[str, Node] = {}
    into: dict[str, str] = {}  # what is folded away: by which node it is given now
    for unfolded in graph.nodes:
        node = replace(unfolded, inputs=tuple(into.get(name, name) for name in unfolded.inputs))
        before = node.inputs[0]
        folded = _folded(nodes[before], node) if before in nodes and uses[before] == 1 else None
        if folded is None:
            nodes[node.name] = node
        else:
            nodes[before] = folded
            into[node.name] = before
            uses[before] = uses[node.name]
    return FloatGraph(graph.bands, tuple(nodes.values()), into.get(graph.output, graph.output))


def _folded(before: Node, node: Node) -> Node | None:
    """Return the one node that does what both do; None where there is none."""
    if not (isinstance(node, Depthwise) and node.is_pointwise and isinstance(before, Windowed | Add)):
        return None
    if isinstance(before, Add) or before.activation == "relu":
        # Neither scales what it gives; but a ReLU can be the addition's own, and is nothing after another.
        return replace(before, activation="relu") if node.is_identity and node.activation == "relu" else None
    scale = node.weights[:, 0, 0]
    weights = before.weights * scale.reshape(-1, *([1] * (before.weights.ndim - 1)))
    return replace(before, weights=weights, bias=before.bias * scale + node.bias, activation=node.activation)


def centre(graph: FloatGraph) -> FloatGraph:
    """Return the graph with logits of mean 0 from a last node ``logits``, [1, outputs].

    A softmax does not see a constant that is added to all logits, but an int8 range does. Where the last node is no
    convolution, a matrix that subtracts the mean is added.

    Raises:
        KwsError: the last node ends in a ReLU.
    """
    last = next(node for node in graph.nodes if node.name == graph.output)
    if isinstance(last, Windowed | Add) and last.activation != "none":
        raise KwsError(f"{last.name}: the last layer gives logits and must not end in a ReLU; remove it")
    if isinstance(last, Convolution) and last.frequency == 1:
        weights, bias = last.weights - last.weights.mean(axis=0), last.bias - last.bias.mean()
        logits = replace(last, name=LOGITS, weights=weights, bias=bias)
        others = tuple(node for node in graph.nodes if node is not last)
        return FloatGraph(graph.bands, (*others, logits), LOGITS)
    outputs = last.frequency * last.channels
    added: list[Node] = []
    if last.frequency > 1:
        added.append(Reshape(name=f"{last.name}_row", inputs=(last.name,), frequency=1, channels=outputs))
    matrix = (np.eye(outputs) - 1.0 / outputs)[:, None, None, :]
    source = added[-1].name if added else last.name
    added.append(
        Convolution(
            name=LOGITS, inputs=(source,), frequency=1, channels=outputs, weights=matrix, bias=np.zeros(outputs)
        )
    )
    return FloatGraph(graph.bands, (*graph.nodes, *added), LOGITS)
