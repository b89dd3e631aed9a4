"""Exact integer arithmetic as ONNX nodes: int64 values, divisions that round down, the graph's requantization.

ONNX does not define how a division rounds negative numbers, and has no arithmetic shift: before a division a multiple
of the divisor makes every value positive, and its quotient is subtracted afterwards. ONNX Runtime 1.31's Max, Min, Clip
and ReduceMax compare int64 values by their lower halves on AVX-512, so here they take only int32.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_export.onnx.builder import Writer

LARGEST_BITS = 62
"""Every value that is divided is below 2^62 in magnitude."""


class Integers:
    """Writes int64 expressions: each method adds a node and returns the name of its value.

    A value may also be given as a number or an array, which becomes a constant. The names of values begin with
    ``prefix``, which must be unique in the file.
    """

    def __init__(self, writer: Writer, prefix: str) -> None:
        self.writer = writer
        self._prefix = prefix
        self._count = 0

    def op(self, kind: str, *sources: Any, **attributes: Any) -> str:
        """Add a node of this kind."""
        names = [source if isinstance(source, str) else self.constant(source) for source in sources]
        self._count += 1
        return self.writer.node(kind, names, f"{self._prefix}/{self._count}", **attributes)

    def constant(self, values: Any) -> str:
        """Return a constant: int64, unless it is an array of another type."""
        array = values if isinstance(values, np.ndarray) else np.array(values, np.int64)
        return self.writer.shared(array)

    def cast(self, source: Any, dtype: Any) -> str:
        """Convert to a numpy type."""
        kind = self.writer.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.op("Cast", source, to=kind)

    def widened(self, values: NDArray[Any]) -> str:
        """Return int64 values that are stored in their own, smaller type."""
        return self.cast(values, np.int64)

    def reshape(self, source: str, *shape: int) -> str:
        """Return the same values in another shape."""
        return self.op("Reshape", source, list(shape))

    def floor_shift(self, source: str, bits: int) -> str:
        """Return floor(source / 2^bits), of values below 2^62 in magnitude."""
        positive = self.op("Add", source, 1 << LARGEST_BITS)
        return self.op("Sub", self.op("Div", positive, 1 << bits), 1 << (LARGEST_BITS - bits))

    def high(self, first: str, second: Any) -> str:
        """Return the high 32 bits of the 64-bit product of two 32-bit values, rounded down."""
        return self.floor_shift(self.op("Mul", first, second), 32)

    def bit_length(self, source: str, bits: int) -> str:
        """Return how many bits each value (0 .. 2^bits - 1) has, along a new last axis of 1; 0 has none."""
        powers = np.left_shift(np.int64(1), np.arange(bits))
        reached = self.cast(self.op("GreaterOrEqual", self.op("Unsqueeze", source, [-1]), powers), np.int64)
        return self.op("ReduceSum", reached, [-1], keepdims=0)

    def requantize(
        self,
        accumulators: str,
        multiplier: NDArray[np.int64],
        shift: NDArray[np.int64],
        negative: bool = True,
    ) -> str:
        """Return ``kws.graph.arithmetic.requantize(accumulators, multiplier, shift)``, which fits an int32, as int64.

        ``multiplier`` and ``shift`` broadcast against the accumulators. With ``negative`` False,
        results below 0 need not be exact, only 0 or below, because they are clamped afterwards.
        """
        right = np.maximum(-shift, 0)
        product = self.op("Mul", accumulators, multiplier << np.maximum(shift, 0))
        # |product| < 2^62: the high part is 2^31 too large, and positive.
        high = self.op("Div", self.op("Add", product, (1 << 62) + (1 << 30)), 1 << 31)
        if not right.any():
            return self.op("Sub", high, 1 << 31)
        half = (np.int64(1) << right) >> 1
        # After the next division every channel is 2^31 too large again.
        positive = half + ((np.int64(1) << 31) << right) - (1 << 31)
        moved = self.op("Add", high, positive)
        if negative:  # ties away from zero
            below = self.op("Less", high, 1 << 31)
            moved = self.op("Add", moved, self.op("Where", below, -(half > 0).astype(np.int64), 0))
        return self.op("Sub", self.op("Div", moved, np.int64(1) << right), 1 << 31)

    def at_least(self, source: str, minimum: int) -> str:
        """Return the greater of value and minimum."""
        return self.op("Where", self.op("Greater", source, minimum), source, minimum)

    def stored(self, source: str, minimum: int, maximum: int, zero_point: int) -> str:
        """Return values of an int32 + ``zero_point``, clamped to ``minimum .. maximum``, as the file stores them.

        All three are the graph's, -128..127.
        """
        writer = self.writer
        limits = [np.array(limit - zero_point, np.int32) for limit in (minimum, maximum)]
        clamped = self.op("Clip", self.cast(source, np.int32), *limits)
        return self.cast(self.op("Add", clamped, np.array(zero_point + writer.offset, np.int32)), writer.dtype)
