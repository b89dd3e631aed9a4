"""The results of `kws profile`, as data and as text."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from firmware_export.c.golden import Golden
from firmware_export.simulate.targets import FLAGS, Target
from kws.detector.model_file import KwsModel, digest


@dataclass(frozen=True)
class Memory:
    """Bytes. Flash: ``code``; ``tables`` (with structs, names); ``weights`` (with biases, multipliers and shifts). RAM:
    ``state`` is kept between calls of ``kws_feed``, ``scratch`` is not, both in the caller's memory; ``stack`` is the
    deepest. None: not measured.
    """

    code: int | None
    tables: int | None
    weights: int | None
    state: int
    scratch: int
    stack: int | None

    @property
    def flash(self) -> int | None:
        """All of the flash."""
        if self.code is None or self.tables is None or self.weights is None:
            return None
        return self.code + self.tables + self.weights

    @property
    def ram(self) -> int:
        """All of the RAM, as far as it was measured."""
        return self.state + self.scratch + (self.stack or 0)


@dataclass(frozen=True)
class Work:
    """Instructions of a part of the detector per frame or step: the mean (rounded to 0.1) and the maximum."""

    part: str
    per: str
    mean: float
    most: int

    @classmethod
    def of(cls, part: str, per: str, values: Sequence[int]) -> "Work":
        """Return the mean and maximum of these counts."""
        return cls(part, per, round(sum(values) / len(values), 1), max(values))


@dataclass(frozen=True)
class OpWork:
    """An instruction of the plan: operator and output tensor; per step, multiply-accumulates and mean instructions."""

    kind: str
    output: str
    macs: int
    instructions: float


@dataclass(frozen=True)
class Clock:
    """A processor's clock, the board that has it, and the assumed cycles per instruction."""

    mhz: float
    board: str
    cycles_per_instruction: float


@dataclass(frozen=True)
class Profile:
    """What a model costs on a target. ``work``, ``ops`` and ``clock`` are empty where nothing was counted.

    ``instructions`` are those of all calls of ``kws_feed``; ``qemu`` is what QEMU counted for them, where it did.
    ``steps``, ``values`` and ``detections`` were compared with the graph's over ``seconds`` of audio, and equal.
    """

    target: str
    title: str
    model_sha256: str
    seconds: float
    steps: int
    values: int
    detections: int
    step_ms: int
    stride: int
    memory: Memory
    instructions: int = 0
    work: tuple[Work, ...] = ()
    ops: tuple[OpWork, ...] = ()
    clock: Clock | None = None
    flags: str = ""
    note: str = ""
    qemu: int | None = None

    @classmethod
    def of_host(cls, model: KwsModel, expected: Golden, seconds: float, memory: Memory) -> "Profile":
        """Return the profile of a build for this machine."""
        note = "on this machine instructions and stack are not counted; give an emulated --target"
        return cls("host", *_checked(model, expected, seconds), memory, note=note)

    @classmethod
    def of_target(
        cls,
        model: KwsModel,
        target: Target,
        expected: Golden,
        seconds: float,
        memory: Memory,
        instructions: int,
        work: tuple[Work, ...],
        ops: tuple[OpWork, ...],
        clock: Clock,
    ) -> "Profile":
        """Return the profile of an emulated target."""
        flags = f"-mcpu={target.cpu} {FLAGS[0]}"
        checked = _checked(model, expected, seconds)
        return cls(target.name, *checked, memory, instructions, work, ops, clock, flags, target.note)

    @property
    def macs_per_step(self) -> int:
        """Multiply-accumulates of the network in a step."""
        return sum(op.macs for op in self.ops)

    @property
    def instructions_per_mac(self) -> float | None:
        """The network's instructions divided by its multiply-accumulates; None if either is unknown."""
        network = next((work.mean for work in self.work if work.part == "network"), None)
        return round(network / self.macs_per_step, 3) if network and self.macs_per_step else None

    @property
    def instructions_per_step(self) -> float | None:
        """The whole detector's mean in a step, its frames included."""
        if not self.work:
            return None
        return round(sum(work.mean * (self.stride if work.per == "frame" else 1) for work in self.work), 1)

    @property
    def instructions_per_second(self) -> int | None:
        """The whole detector's mean in a second of audio."""
        step = self.instructions_per_step
        return None if step is None else round(step * 1000 / self.step_ms)

    @property
    def share_of_clock(self) -> float | None:
        """The share of the clock's cycles, with the assumption of ``clock``."""
        second = self.instructions_per_second
        if second is None or self.clock is None:
            return None
        return second * self.clock.cycles_per_instruction / (self.clock.mhz * 1e6)

    def to_data(self) -> dict[str, Any]:
        """Return the profile as JSON-ready data."""
        derived = (
            "macs_per_step",
            "instructions_per_mac",
            "instructions_per_step",
            "instructions_per_second",
            "share_of_clock",
        )
        memory = {"flash": self.memory.flash, "ram": self.memory.ram}
        whole = asdict(self) | {name: getattr(self, name) for name in derived if self.work}
        return whole | {"memory": whole["memory"] | memory}

    def text(self) -> str:
        """Return the profile for a person to read."""
        lines = [
            f"{self.title!r} on {self.target}" + (f", {self.flags}" if self.flags else ""),
            f"equal to the graph over {self.seconds:g} s of audio: {self.steps:,} steps, {self.values:,} logits and "
            f"scores, {self.detections} detection{'' if self.detections == 1 else 's'}",
            "",
            _bytes("flash", ("code", "tables", "weights"), self.memory, self.memory.flash),
            _bytes("RAM", ("state", "scratch", "stack"), self.memory, self.memory.ram),
        ]
        if self.work:
            lines += ["", *self._work_lines(), "", *self._op_lines(), "", *self._clock_lines()]
        if self.qemu is not None:
            lines += [f"QEMU counts {self.qemu:,} instructions with its feeding loop, unicorn {self.instructions:,}"]
        return "\n".join([*lines, *([f"note: {self.note}"] if self.note else [])])

    def _work_lines(self) -> list[str]:
        rows = [("instructions", "mean", "maximum"), *((f"{w.part} per {w.per}", *_counts(w)) for w in self.work)]
        step = f"{self.instructions_per_step:,.1f}"
        rows.append((f"total per step of {self.step_ms} ms", step, ""))
        return _aligned(rows)

    def _op_lines(self) -> list[str]:
        rows = [("operator", "output", "MACs", "instructions", "per MAC")]
        for op in self.ops:
            each = f"{op.instructions / op.macs:.2f}" if op.macs else ""
            rows.append((op.kind, op.output, f"{op.macs:,}" if op.macs else "", f"{op.instructions:,.1f}", each))
        if self.instructions_per_mac is not None:
            network = next(work.mean for work in self.work if work.part == "network")
            row = ("network", "", f"{self.macs_per_step:,}", f"{network:,.1f}", f"{self.instructions_per_mac:.2f}")
            rows.append(row)
        return _aligned(rows, left=2)

    def _clock_lines(self) -> list[str]:
        if self.clock is None or self.share_of_clock is None:
            return []
        board = f" ({self.clock.board})" if self.clock.board else ""
        return [
            f"{self.instructions_per_second:,} instructions per second of audio: {100 * self.share_of_clock:.1f} % of"
            f" {self.clock.mhz:g} MHz{board},",
            f"assuming {self.clock.cycles_per_instruction:g} cycles per instruction (not measured)",
        ]


def _checked(model: KwsModel, expected: Golden, seconds: float) -> tuple[str, str, float, int, int, int, int, int]:
    values = expected.logits.size + expected.scores.size
    detections, steps = len(expected.detections), len(expected.logits)
    title = model.detector.title
    return title, digest(model), seconds, steps, values, detections, model.step_ms, model.graph.stride


def _bytes(name: str, parts: tuple[str, ...], memory: Memory, total: int | None) -> str:
    if total is None:
        return f"{name:<6} not known on this machine"
    values = [(part, getattr(memory, part)) for part in parts]
    listed = ", ".join(f"{part} {value:,}" if value is not None else f"{part} not counted" for part, value in values)
    return f"{name:<6}{total:>9,} bytes: {listed}"


def _counts(work: Work) -> tuple[str, str]:
    return f"{work.mean:,.1f}", f"{work.most:,}"


def _aligned(rows: Sequence[tuple[str, ...]], left: int = 1) -> list[str]:
    """Return rows as columns: the first ``left`` flush left, the others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return [line.rstrip() for line in lines]
