"""A TFLite flatbuffer, built tensor by tensor with the schema's own object API.

Nothing here knows the quantized graph; ``lowering`` and ``writer`` do. Schema:
tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.graph.packing import pack_int4
from kws.system.packages import need

SCHEMA_VERSION = 3
BUFFER_ALIGNMENT_BYTES = 16
"""``force_align`` of Buffer.data in the schema: a microcontroller reads weights and biases in place, from flash."""

OPERATOR_VERSIONS = {
    "ADD": 2,
    "AVERAGE_POOL_2D": 2,
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "LOGISTIC": 2,
    "MAX_POOL_2D": 2,
    "PAD": 2,
    "QUANTIZE": 2,
    "STRIDED_SLICE": 2,
}
"""The lowest version of each operator that takes int8 (tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc);
every other operator here is version 1. Weights of four bits are version 7 there, but tflite-runtime 2.14 runs them
without knowing version 7, and no runtime uses the number further."""

TENSOR_TYPES = {np.dtype(np.int8): "INT8", np.dtype(np.int32): "INT32"}


class ModelBuilder:
    """Subgraphs, operator codes, buffers and metadata of one model; ``to_bytes`` gives the file's contents."""

    def __init__(self, description: str = "") -> None:
        self.schema = need("ai_edge_litert.schema_py_generated", "ai-edge-litert")
        self.description = description
        self.subgraphs: list[SubgraphBuilder] = []
        self._codes: list[str] = []
        self._buffers: list[bytes] = [b""]
        self._metadata: list[Any] = []
        self._signatures: list[Any] = []

    def subgraph(self, name: str) -> "SubgraphBuilder":
        """Start a subgraph; the first one is the model's entry."""
        self.subgraphs.append(SubgraphBuilder(self, name, len(self.subgraphs)))
        return self.subgraphs[-1]

    def buffer(self, data: bytes) -> int:
        """Return the index of a buffer with these bytes; equal ones are stored once, buffer 0 is the empty one."""
        if data not in self._buffers:
            self._buffers.append(data)
        return self._buffers.index(data)

    @property
    def operators(self) -> tuple[str, ...]:
        """The schema names of the operators used, in order of first use."""
        return tuple(self._codes)

    def operator_code(self, name: str) -> int:
        """Return the index of the operator called ``name`` in the schema (``CONV_2D``)."""
        if name not in self._codes:
            self._codes.append(name)
        return self._codes.index(name)

    def metadata(self, entries: Mapping[str, str]) -> None:
        """Add named strings (UTF-8), which every runtime carries and ignores."""
        for name, value in entries.items():
            self._metadata.append(self.schema.MetadataT(name=name, buffer=self.buffer(value.encode())))

    def signature(self, key: str, inputs: Mapping[str, int], outputs: Mapping[str, int], subgraph: int = 0) -> None:
        """Name a subgraph's inputs and outputs (name -> tensor index) for LiteRT's signature runner."""
        tables = [
            [self.schema.TensorMapT(name=name, tensorIndex=index) for name, index in names.items()]
            for names in (inputs, outputs)
        ]
        self._signatures.append(
            self.schema.SignatureDefT(inputs=tables[0], outputs=tables[1], signatureKey=key, subgraphIndex=subgraph)
        )

    def to_bytes(self) -> bytes:
        """Return the finished file; the same calls give the same bytes."""
        flatbuffers = need("flatbuffers", "flatbuffers")
        model = self.schema.ModelT(
            version=SCHEMA_VERSION,
            operatorCodes=[self._packed_code(name) for name in self._codes],
            subgraphs=[subgraph.packed() for subgraph in self.subgraphs],
            description=self.description,
            buffers=[_AlignedBuffer(self.schema, data) for data in self._buffers],
            metadata=self._metadata or None,
            signatureDefs=self._signatures or None,
        )
        builder = flatbuffers.Builder(1024 + sum(map(len, self._buffers)))
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _packed_code(self, name: str) -> Any:
        code = getattr(self.schema.BuiltinOperator, name)
        # Old readers know a one-byte code only; 127 tells them to look at the new field.
        return self.schema.OperatorCodeT(
            builtinCode=code, deprecatedBuiltinCode=min(code, 127), version=OPERATOR_VERSIONS.get(name, 1)
        )


class SubgraphBuilder:
    """Tensors and operators of one subgraph, in execution order."""

    def __init__(self, model: ModelBuilder, name: str, index: int) -> None:
        self.model = model
        self.name = name
        self.index = index
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self._tensors: list[Any] = []
        self._operators: list[Any] = []

    def tensor(
        self, name: str, shape: Sequence[int], kind: str = "INT8", quantization: Any = None, buffer: int = 0
    ) -> int:
        """Add a tensor and return its index; ``kind`` is the schema's TensorType."""
        self._tensors.append(
            self.model.schema.TensorT(
                shape=list(shape),
                type=getattr(self.model.schema.TensorType, kind),
                buffer=buffer,
                name=name,
                quantization=quantization,
            )
        )
        return len(self._tensors) - 1

    def constant(self, name: str, values: NDArray[Any], quantization: Any = None) -> int:
        """Add a tensor that holds ``values`` (int8 or int32)."""
        little = values.astype(values.dtype.newbyteorder("<"), order="C")
        kind = TENSOR_TYPES[values.dtype]
        return self.tensor(name, values.shape, kind, quantization, self.model.buffer(little.tobytes()))

    def int4_constant(self, name: str, values: NDArray[np.int8], quantization: Any) -> int:
        """Add a tensor of four bits a value (-8..7), two to a byte, the first in the lower half."""
        return self.tensor(name, values.shape, "INT4", quantization, self.model.buffer(pack_int4(values).tobytes()))

    def quantization(self, scales: Sequence[float], zero_points: Sequence[int], dimension: int = 0) -> Any:
        """Return the schema's quantization: one scale, or one for each index of ``dimension``."""
        return self.model.schema.QuantizationParametersT(
            scale=[float(scale) for scale in scales],
            zeroPoint=[int(zero) for zero in zero_points],
            quantizedDimension=dimension,
        )

    def operator(self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: Any = None) -> None:
        """Add an operator by its schema name, with the schema's options object."""
        kind = type(options).__name__.removesuffix("T") if options is not None else "NONE"
        self._operators.append(
            self.model.schema.OperatorT(
                opcodeIndex=self.model.operator_code(name),
                inputs=list(inputs),
                outputs=list(outputs),
                builtinOptionsType=getattr(self.model.schema.BuiltinOptions, kind),
                builtinOptions=options,
            )
        )

    def packed(self) -> Any:
        """Return the schema's object."""
        return self.model.schema.SubGraphT(
            tensors=self._tensors,
            inputs=self.inputs,
            outputs=self.outputs,
            operators=self._operators,
            name=self.name,
        )


class _AlignedBuffer:
    """A Buffer table whose data lies at a multiple of 16 bytes; the generated one would put int32 biases anywhere."""

    def __init__(self, schema: Any, data: bytes) -> None:
        self._schema = schema
        self._data = data

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - called by the generated ModelT.Pack
        vector = None
        if self._data:
            builder.StartVector(1, len(self._data), BUFFER_ALIGNMENT_BYTES)
            # As flatbuffers' own CreateByteVector, which cannot align: the bytes go in front of what is there.
            builder.head -= len(self._data)
            builder.Bytes[builder.head : builder.head + len(self._data)] = self._data
            vector = builder.EndVector()
        self._schema.BufferStart(builder)
        if vector is not None:
            self._schema.BufferAddData(builder, vector)
        return self._schema.BufferEnd(builder)
