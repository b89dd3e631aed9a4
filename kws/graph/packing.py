"""Weights of four bits, two to a byte: how files hold them."""

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray


def pack_int4(values: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Return the values -8..7 in row order as uint8 [ceil(values / 2)], the first in the lower half of its byte.

    This is TensorFlow Lite's order, and ONNX's. The last half of an odd count is 0.

    >>> [hex(byte) for byte in pack_int4(np.array([1, -1, 7], np.int8))]
    ['0xf1', '0x7']
    """
    halves = np.zeros((values.size + 1) // 2 * 2, np.uint8)
    halves[: values.size] = values.reshape(-1).view(np.uint8) & 0xF
    return halves[0::2] + halves[1::2] * np.uint8(16)


def unpack_int4(packed: NDArray[np.uint8], shape: Sequence[int]) -> NDArray[np.int8]:
    """Return what ``pack_int4`` packed, int8 in ``shape``.

    >>> unpack_int4(pack_int4(np.array([1, -1, 7], np.int8)), (3,)).tolist()
    [1, -1, 7]

    Raises:
        ValueError: the bytes do not hold as many values.
    """
    count = prod(shape)
    if packed.dtype != np.uint8 or packed.shape != ((count + 1) // 2,):
        raise ValueError(f"{packed.dtype}{list(packed.shape)} does not hold {count} values of four bits")
    halves = np.empty(2 * packed.size, np.uint8)
    halves[0::2], halves[1::2] = packed << 4, packed & 0xF0
    return (halves[:count].view(np.int8) >> 4).reshape(shape)
