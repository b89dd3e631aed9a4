"""How the C runtime wants weights: in the order and the bits in which its inner loops read them (``kws_ops.h``).

Convolutions. Two int8 weights that meet the same input, those of an even output channel and of the next one, share an
int16: 256 * even + odd. One multiplication then serves both sums; the low bytes alone give the odd one's, and what is
left is 256 times the even one's. Four 4-bit weights of four output channels share an int16 likewise, 4096, 256, 16 and
1 times each. The inputs under a position come in groups of four, in the order 0, 2, 1, 3: a Cortex-M4 widens the bytes
0 and 2, then 1 and 3, of a word in one instruction each.

Depthwise convolutions. Two kernel positions and two channels share a word, so that the same instruction gives both
positions' weights of one channel, which one more multiplies and adds up.

``packing`` has the order of files.
"""

import numpy as np
from numpy.typing import NDArray

from kws.graph.ir import Conv2D, DepthwiseConv2D

GROUP = 4
"""Inputs that are widened together; a convolution's rows are filled up with zeros to a multiple."""

BLOCK = 256
"""Inputs summed up before the sums of the channels in one int16 are taken apart: their products stay below 2^31.
KWS_CONV_BLOCK of kws_ops.h."""

LARGEST_KERNEL_OF_4_BITS = 511
"""Positions of a depthwise kernel: of more, sums of 4-bit weights times 4096 do not fit 32 bits."""

MANY_POSITIONS = 6
"""KWS_MANY_POSITIONS of kws_ops.h."""

_ORDER = np.array([0, 2, 1, 3])


def rows(channels: int, bits: int) -> int:
    """Return how many rows of int16 hold the weights of so many output channels: two or four channels share one."""
    return -(-channels // (2 if bits == 8 else 4))


def convolution(weights: NDArray[np.int8], bits: int) -> NDArray[np.int16]:
    """Return weights [out, ...] as [rows, inputs filled up to a multiple of 4].

    >>> convolution(np.array([[1, 2, 3, 4], [5, 6, 7, -8]], np.int8), 8).tolist()
    [[261, 775, 518, 1016]]
    >>> convolution(np.array([[1, 2, 3], [0, 0, 1], [0, 0, 0], [-1, 0, 7]], np.int8), 4).tolist()
    [[4095, 12551, 8192, 0]]
    """
    flat = weights.reshape(len(weights), -1).astype(np.int64)
    together = 2 if bits == 8 else 4
    missing = rows(len(flat), bits) * together - len(flat), -flat.shape[1] % GROUP
    filled = np.pad(flat, [(0, missing[0]), (0, missing[1])])
    ordered = filled.reshape(len(filled), -1, GROUP)[:, :, _ORDER].reshape(-1, together, filled.shape[1])
    places = np.array([256, 1] if bits == 8 else [4096, 256, 16, 1])
    joined: NDArray[np.int16] = np.einsum("rci,c->ri", ordered, places).astype(np.int16)
    return joined


def scratch_bytes(op: Conv2D | DepthwiseConv2D, positions: int) -> int:
    """Return the bytes of the arena in which an operator with so many output positions computes.

    A convolution's are int32 sums of all channels and the int16 inputs of one block; a depthwise one's are such sums,
    too, or where it has many positions what is made of four channels' constants once.
    """
    if isinstance(op, Conv2D):
        inputs = -(-int(op.weights[0].size) // GROUP) * GROUP
        return 4 * (-(-len(op.weights) // GROUP) * GROUP) + 2 * min(inputs, BLOCK)
    kernel_time, kernel_frequency, channels = (int(size) for size in op.weights.shape)
    pairs, odd = divmod(kernel_time * kernel_frequency, 2)
    return 4 * (12 + 2 * odd + 4 * pairs if positions >= MANY_POSITIONS else channels)


def depthwise(weights: NDArray[np.int8], bits: int) -> NDArray[np.int8]:
    """Return weights [kernel_time, kernel_frequency, channels] as [groups of four channels, bytes].

    The channels are filled up with zeros to a multiple of four. An odd number of kernel positions starts with the first
    one alone, a word c0 c1 c2 c3, or with 4 bits c1c0 c3c2 0 0, low half first; two positions i, j are 8 bytes
    i0 i1 j0 j1 i2 i3 j2 j3, or 4 bytes i1i0 i3i2 j1j0 j3j2.

    >>> kernel = np.array([[1, 2, 3, 4], [5, 6, 7, -1]], np.int8).reshape(2, 1, 4)
    >>> depthwise(kernel, 8).tolist(), depthwise(kernel[:1], 8).tolist()
    ([[1, 2, 5, 6, 3, 4, 7, -1]], [[1, 2, 3, 4]])
    >>> [hex(byte) for byte in depthwise(kernel, 4).view(np.uint8).ravel()]
    ['0x21', '0x43', '0x65', '0xf7']
    """
    taps = weights.reshape(-1, weights.shape[2])
    filled = np.pad(taps, [(0, 0), (0, -taps.shape[1] % GROUP)])
    groups = filled.shape[1] // GROUP
    odd = len(taps) % 2
    # [pair, of the pair, four channels, two of them, of the two]
    split = filled[odd:].reshape(len(taps) // 2, 2, groups, 2, 2)
    order = (2, 0, 3, 1, 4) if bits == 8 else (2, 0, 1, 3, 4)
    pairs = split.transpose(order).reshape(groups, -1)
    first = filled[:odd].reshape(groups * odd, GROUP).reshape(groups, odd * GROUP)
    if bits == 8:
        return np.concatenate([first, pairs], axis=1)
    return _nibbles(np.concatenate([first, np.zeros_like(first), pairs], axis=1))


def _nibbles(values: NDArray[np.int8]) -> NDArray[np.int8]:
    packed: NDArray[np.int8] = (values[:, 0::2] & 15) | (values[:, 1::2] << 4)
    return packed
