"""The model's own build for this machine, called in this process: no instructions are counted here."""

import ctypes
import subprocess
import tempfile
from pathlib import Path

from firmware_export.c.engine import compiler
from firmware_export.simulate import elf
from firmware_export.simulate.build import RUNTIME
from firmware_export.simulate.detector import write_model
from firmware_export.simulate.elf import Image
from firmware_export.simulate.structs import runtime_structs
from kws.detector.model_file import KwsModel
from kws.errors import KwsError

FLAGS = ("-O2", "-std=c99", "-fPIC", "-shared")


class Host:
    """The runtime and a model as a library of this machine, behind the protocol of ``detector.Caller``.

    Raises:
        KwsError: there is no C compiler, or it cannot compile the sources.
    """

    def __init__(self, model: KwsModel) -> None:
        self.pointer_bytes = ctypes.sizeof(ctypes.c_void_p)
        self._kept: list[ctypes.Array[ctypes.c_uint64]] = []
        with tempfile.TemporaryDirectory(prefix="kws-profile-") as work:
            source, library = write_model(model, Path(work)), Path(work) / "model.so"
            _compile(source, library)
            self.image: Image | None = elf.read(library) if library.read_bytes()[:4] == b"\x7fELF" else None
            self._library = ctypes.CDLL(str(library))

    def address(self, name: str) -> int:
        """Return where a constant of the library lies."""
        return ctypes.addressof(ctypes.c_uint8.in_dll(self._library, name))

    def pointer(self, struct: str, field: str, address: int) -> int:
        """Return a pointer of the ``struct`` at ``address``."""
        place = address + runtime_structs(self.pointer_bytes).offset(struct, field)
        return int.from_bytes(self.read(place, self.pointer_bytes), "little")

    def call(self, name: str, *arguments: int) -> int:
        """Call a function with integers and addresses; the upper half of what an int32 function returns is unknown."""
        function = self._library[name]
        function.restype = ctypes.c_size_t
        return int(function(*map(ctypes.c_size_t, arguments)))

    def read(self, address: int, length: int) -> bytes:
        """Return ``length`` bytes of memory."""
        return ctypes.string_at(address, length)

    def write(self, address: int, content: bytes) -> None:
        """Write to memory that ``allocate`` gave."""
        ctypes.memmove(address, content, len(content))

    def allocate(self, length: int) -> int:
        """Return the address of ``length`` bytes, aligned to 8, that live as long as this object."""
        self._kept.append((ctypes.c_uint64 * (length // 8 + 1))())
        return ctypes.addressof(self._kept[-1])


def _compile(model: Path, library: Path) -> None:
    sources = [*sorted(RUNTIME.glob("*.c")), model]
    command = [*compiler(), *FLAGS, f"-I{RUNTIME}", "-o", str(library), *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["-"]
        raise KwsError(f"{command[0]} cannot compile the model ({lines[0]}); set CC to another compiler")
