"""The processors that the runtime is cross-compiled for, and how each is emulated."""

from dataclasses import dataclass
from typing import Literal

from kws.errors import KwsError

FLAGS = (
    "-O2",
    "-std=c99",
    "-ffreestanding",
    "-ffunction-sections",
    "-fdata-sections",
    "-fomit-frame-pointer",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-fno-sanitize=all",
    "-fno-stack-protector",
    "-g0",
)
"""What every target is compiled with; no floating point is used, so none is chosen."""

CYCLES_PER_INSTRUCTION = 1.5
"""Assumed for the share of a clock: the emulator counts instructions, not cycles. In-order cores with one load
port, taken branches of two or three cycles and flash with a prefetch buffer lie between 1.1 and 2."""


@dataclass(frozen=True)
class Target:
    """A processor.

    ``triple`` and ``cpu`` are the compiler's; ``model`` is the emulator's constant of its processor; ``clock_mhz`` is
    that of the board in ``board``, a usual one. ``note`` says how the emulated one differs from the real one.
    """

    name: str
    machine: Literal["arm", "riscv"]
    triple: str
    cpu: str
    model: str
    clock_mhz: float
    board: str
    note: str = ""

    @property
    def flags(self) -> tuple[str, ...]:
        """The compiler's flags."""
        return ("-target", self.triple, f"-mcpu={self.cpu}", *FLAGS)


_ARM = "thumb-freestanding-eabi"

TARGETS = {
    target.name: target
    for target in (
        Target("cortex-m0plus", "arm", _ARM, "cortex_m0plus", "UC_CPU_ARM_CORTEX_M0", 133, "RP2040"),
        Target("cortex-m4", "arm", _ARM, "cortex_m4", "UC_CPU_ARM_CORTEX_M4", 64, "nRF52840"),
        Target("cortex-m33", "arm", _ARM, "cortex_m33+dsp", "UC_CPU_ARM_CORTEX_M33", 150, "RP2350"),
        Target(
            "cortex-m55",
            "arm",
            _ARM,
            "cortex_m55-mve-mve_fp-lob-v8_1m_main-has_v8_1m_main",
            "UC_CPU_ARM_CORTEX_M33",
            160,
            "Ensemble E3",
            "compiled without Armv8.1-M's vectors and loops, which the emulator lacks: counts are an upper bound",
        ),
        Target("rv32imc", "riscv", "riscv32-freestanding", "generic_rv32+m+c", "UC_CPU_RISCV32_ANY", 160, "ESP32-C3"),
    )
}
"""The emulated processors by name."""

HOST = "host"
"""The name of the machine itself."""


def find(name: str) -> Target:
    """Return the target of this name.

    Raises:
        KwsError: there is no such target.

    >>> find("cortex-m4").board
    'nRF52840'
    """
    if name not in TARGETS:
        raise KwsError(f"target {name!r} is unknown; give one of {', '.join(TARGETS)}")
    return TARGETS[name]
