"""A model's constants as data in an emulated memory: structs and the arrays that they point to, one after the other."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from firmware_export.simulate.structs import Structs

_ALIGNMENT = 8


class Arena:
    """Bytes that will lie at ``origin``: pieces are put in, and their addresses are known at once."""

    def __init__(self, origin: int) -> None:
        self.origin = origin
        self._parts: list[bytes] = []
        self._length = 0

    def put(self, content: bytes) -> int:
        """Append ``content``, aligned to 8 bytes; return its address."""
        address = self.origin + self._length
        padded = content + bytes(-len(content) % _ALIGNMENT)
        self._parts.append(padded)
        self._length += len(padded)
        return address

    def put_struct(self, structs: Structs, struct: str, fields: Mapping[str, int | NDArray[np.generic]]) -> int:
        """Append a struct, its arrays before it; return its address."""
        return self.put(self.packed(structs, struct, fields))

    def packed(self, structs: Structs, struct: str, fields: Mapping[str, int | NDArray[np.generic]]) -> bytes:
        """Append the arrays of a struct and return the struct that points to them."""
        values = {
            name: self.put(np.ascontiguousarray(value).tobytes()) if isinstance(value, np.ndarray) else value
            for name, value in fields.items()
        }
        return structs.pack(struct, values)

    @property
    def content(self) -> bytes:
        """Everything that was put in."""
        return b"".join(self._parts)
