"""An emulated processor with an image in its flash: call its functions, read and write its memory, count."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from firmware_export.simulate.counter import Counter
from firmware_export.simulate.elf import Image
from firmware_export.simulate.structs import runtime_structs
from firmware_export.simulate.targets import Target
from kws.errors import KwsError
from kws.system.packages import need

FLASH = 0x08000000
CONSTANTS = 0x10000000
RAM = 0x20000000
STACK = 0x2FF00000
"""The stack's lowest address; below it nothing is mapped."""

FLASH_BYTES = 16 << 20
RAM_BYTES = 16 << 20
STACK_BYTES = 64 << 10
_STACK_TOP = STACK + STACK_BYTES - 64
"""Where a called function's stack begins; above it lie arguments that no register takes."""

_RETURN = FLASH + FLASH_BYTES - 4096
"""Where a called function returns to: the emulation stops before it."""

_PAGE = 4096
_PAINT = b"\xa5"


class SimulationError(KwsError):
    """The emulated processor stopped: the code is wrong, or uses something that the emulator lacks."""


@dataclass(frozen=True)
class Counted:
    """What a counted stretch took: instructions, those of each part (``counter.PARTS``) and of each function by itself,
    the deepest stack in bytes.
    """

    instructions: int
    parts: dict[str, int]
    functions: dict[str, int]
    stack_bytes: int


class Machine:
    """A processor with flash (read only), constants (read only), RAM, a stack of its own; ``image`` is in its flash."""

    pointer_bytes = 4

    def __init__(self, target: Target, image: Image) -> None:
        """Raise ``NotInstalledError`` without unicorn."""
        self.target, self.image = target, image
        self._unicorn = need("unicorn", "unicorn", "simulate")
        library = need("unicorn.unicorn_py3.unicorn", "unicorn", "simulate").uclib
        self._emulator, self._registers = self._make()
        permissions = {FLASH: (FLASH_BYTES, 5), CONSTANTS: (_PAGE, 1), RAM: (RAM_BYTES, 3), STACK: (STACK_BYTES, 3)}
        for begin, (length, permission) in permissions.items():
            self._emulator.mem_map(begin, length, permission)
        self._constants_end = CONSTANTS + _PAGE
        for address, content in image.segments:
            self._emulator.mem_write(address, content)
        self._free_ram = max([RAM, *(begin + size for begin, size in image.sections.values() if begin >= RAM)])
        self._counter = Counter(image, target.machine == "riscv")
        self._counter.attach(self._emulator, library, self._unicorn.UC_HOOK_BLOCK, self._registers.stack)

    def write(self, address: int, content: bytes) -> None:
        """Write to any memory, read-only for the code or not; constants grow as needed."""
        end = address + len(content)
        if CONSTANTS <= address < RAM and end > self._constants_end:
            length = -(-(end - self._constants_end) // _PAGE) * _PAGE
            self._emulator.mem_map(self._constants_end, length, 1)
            self._constants_end += length
        self._emulator.mem_write(address, content)

    def read(self, address: int, length: int) -> bytes:
        """Return ``length`` bytes of memory."""
        return bytes(self._emulator.mem_read(address, length))

    def address(self, name: str) -> int:
        """Return where a function or constant of the image lies."""
        return self.image.addresses[name]

    def pointer(self, struct: str, field: str, address: int) -> int:
        """Return a pointer of the ``struct`` at ``address``."""
        place = address + runtime_structs(self.pointer_bytes).offset(struct, field)
        return int.from_bytes(self.read(place, self.pointer_bytes), "little")

    def call(self, name: str, *arguments: int) -> int:
        """Call a function of the image with up to eight 32-bit arguments; return what it returns, unsigned.

        Raises:
            SimulationError: the function did something that the processor refuses.
        """
        passed = len(self._registers.arguments)
        if arguments[passed:]:
            self._emulator.mem_write(_STACK_TOP, struct.pack(f"<{len(arguments) - passed}I", *arguments[passed:]))
        for register, value in zip(self._registers.arguments, arguments, strict=False):
            self._emulator.reg_write(register, value & 0xFFFFFFFF)
        thumb = 1 if self.target.machine == "arm" else 0
        self._emulator.reg_write(self._registers.stack, _STACK_TOP)
        self._emulator.reg_write(self._registers.link, _RETURN | thumb)
        try:
            self._emulator.emu_start(self.image.addresses[name] | thumb, _RETURN)
        except self._unicorn.UcError as error:
            counter = self._emulator.reg_read(self._registers.counter)
            raise SimulationError(
                f"{self.target.name}: {name} stopped at {counter:#x} in {self.image.function_at(counter)} ({error}); "
                "if the sources are unchanged, report it with the model"
            ) from error
        return int(self._emulator.reg_read(self._registers.arguments[0]))

    def allocate(self, length: int) -> int:
        """Return the address of ``length`` unused bytes of RAM, aligned to 8."""
        address = -(-self._free_ram // 8) * 8
        if address + length > RAM + RAM_BYTES:
            raise KwsError(
                f"{self.target.name}: {length} more bytes do not fit into {RAM_BYTES} of RAM; use a smaller model"
            )
        self._free_ram = address + length
        return address

    def parts(self) -> dict[str, int]:
        """Return the instructions of each part (``counter.PARTS``) since counting began."""
        return self._counter.parts()

    @contextmanager
    def counting(self) -> Iterator[list[Counted]]:
        """Count the calls within the block; after it, the list holds their ``Counted``."""
        results: list[Counted] = []
        self.write(STACK, _PAINT * STACK_BYTES)
        self._counter.clear()
        yield results
        painted = self.read(STACK, STACK_BYTES)
        written = STACK + len(painted) - len(painted.lstrip(_PAINT))
        stack_bytes = max(0, _STACK_TOP - min(written, self._counter.deepest))
        counter = self._counter
        results.append(Counted(counter.instructions, counter.parts(), counter.functions(), stack_bytes))

    def _make(self) -> tuple[Any, "_Registers"]:
        if self.target.machine == "arm":
            constants = need("unicorn.arm_const", "unicorn", "simulate")
            unicorn = self._unicorn
            emulator = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
            arguments = tuple(getattr(constants, f"UC_ARM_REG_R{index}") for index in range(4))
            registers = _Registers(arguments, constants.UC_ARM_REG_SP, constants.UC_ARM_REG_LR, constants.UC_ARM_REG_PC)
        else:
            constants = need("unicorn.riscv_const", "unicorn", "simulate")
            emulator = self._unicorn.Uc(self._unicorn.UC_ARCH_RISCV, self._unicorn.UC_MODE_RISCV32)
            arguments = tuple(getattr(constants, f"UC_RISCV_REG_A{index}") for index in range(8))
            registers = _Registers(
                arguments, constants.UC_RISCV_REG_SP, constants.UC_RISCV_REG_RA, constants.UC_RISCV_REG_PC
            )
        emulator.ctl_set_cpu_model(getattr(constants, self.target.model))
        return emulator, registers


@dataclass(frozen=True)
class _Registers:
    """unicorn's numbers of a processor's registers."""

    arguments: tuple[int, ...]
    stack: int
    link: int
    counter: int
