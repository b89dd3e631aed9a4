"""The lowest opset and file format that a .onnx needs, and the first runtime that has them.

A runtime refuses a file that declares more than it knows, even if it could run every node. So nothing here is a
constant: onnx's own checker decides whether an opset has a file's nodes, attributes and types.
"""

from typing import Any

from kws.system.packages import need

OLDEST = 13
"""No file declares less. Older opsets also have the nodes without weights, but that would add no runtime: the first one
that runs our nodes knows opset 13."""

RUNTIMES = {13: "1.14", 21: "1.19"}
"""Opset -> the first ONNX Runtime that runs our nodes of it on a CPU. Found by trying: some versions accept an opset
before they have all its kernels (Clip of int32: 1.14; INT4: 1.19)."""


def declare_least(onnx: Any, model: Any) -> None:
    """Let ``model`` declare the lowest opset, and the version of the file format (IR) that came with it.

    Raises:
        onnx.checker.ValidationError or onnx.shape_inference.InferenceError: no opset has such nodes.
    """
    errors = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError)
    newest = onnx.defs.onnx_opset_version()
    for version in range(OLDEST, newest + 1):
        model.opset_import[0].version = version
        model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
        try:
            onnx.checker.check_model(model, full_check=True)
        except errors:
            if version == newest:
                raise
        else:
            return


def oldest_runtime(content: bytes) -> str:
    """Return the version of the first ONNX Runtime that runs a file of kws export."""
    return RUNTIMES[need("onnx", "onnx").load_model_from_string(content).opset_import[0].version]
