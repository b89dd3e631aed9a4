"""`kws profile`: measure what a model costs on a processor, and compare every number with the graph's."""

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from firmware_export.c import golden
from firmware_export.c.golden import Golden
from firmware_export.probe import probe_audio
from firmware_export.simulate import detector, qemu
from firmware_export.simulate.counter import PARTS
from firmware_export.simulate.detector import DeviceDetector
from firmware_export.simulate.elf import Image
from firmware_export.simulate.graph import SimulatedEngine
from firmware_export.simulate.host import Host
from firmware_export.simulate.machine import Counted, Machine
from firmware_export.simulate.report import Clock, Memory, OpWork, Profile, Work
from firmware_export.simulate.targets import CYCLES_PER_INSTRUCTION, HOST, Target, find
from kws import frontend
from kws.detector.model_file import KwsModel
from kws.errors import KwsError
from kws.graph.arithmetic import quantize_features
from kws.graph.cost import counts
from kws.graph.plan import plan

_QEMU_LOOP = 40
"""Instructions of a hop that QEMU's feeding loop may take for itself: measured, about 25."""

_COUNTED_STEPS = 10
"""Steps over which the operators are counted one by one."""


class MismatchError(KwsError):
    """The target's numbers differ from the graph's, so do not trust anything that was measured."""


def profile(
    model: KwsModel,
    target: str = "cortex-m4",
    seconds: float = 2.0,
    clock_mhz: float | None = None,
    cycles_per_instruction: float = CYCLES_PER_INSTRUCTION,
    with_qemu: bool = False,
) -> Profile:
    """Build ``model`` for a target, run it over ``seconds`` of the probe audio, compare every number, measure.

    Args:
        model: any model whose frontend the C99 runtime has.
        target: a name of ``targets.TARGETS``, or "host".
        seconds: of audio; 0.5 or more.
        clock_mhz: the clock whose share is computed; by default that of the target's usual board.
        cycles_per_instruction: assumed for that share.
        with_qemu: also count in QEMU, which must be installed; only for the target ``qemu.TARGET``.

    Raises:
        KwsError: the target is not known, a package is missing, or the model cannot be written as C99.
        MismatchError: a logit, score or detection differs from the graph's.
    """
    if model.frontend.kind != "lfbe":
        raise KwsError(
            f"frontend: the C99 runtime has no {model.frontend.kind!r} frontend, so there is nothing to profile; "
            "run the model in ESPHome (kws export --to esphome)"
        )
    if with_qemu and target != qemu.TARGET:
        raise KwsError(f"--qemu: QEMU runs only {qemu.TARGET}; give --target {qemu.TARGET}")
    expected = golden.compute(model, probe_audio(seconds))
    if target == HOST:
        return _host(model, expected, seconds)
    processor = find(target)
    clock = Clock(clock_mhz or processor.clock_mhz, "" if clock_mhz else processor.board, cycles_per_instruction)
    measured = _target(model, processor, expected, seconds, clock)
    return replace(measured, qemu=_qemu(model, expected, measured)) if with_qemu else measured


def _host(model: KwsModel, expected: Golden, seconds: float) -> Profile:
    host = Host(model)
    device = DeviceDetector(model, host)
    _compare(model, device, expected, None)
    return Profile.of_host(model, expected, seconds, _memory(model, device, host.image, None))


def _target(model: KwsModel, target: Target, expected: Golden, seconds: float, clock: Clock) -> Profile:
    machine = detector.device(model, target)
    with machine.counting() as counted:
        device = DeviceDetector(model, machine)
        taken = _compare(model, device, expected, machine)
    memory = _memory(model, device, machine.image, counted[0])
    ops = tuple(_ops(model, target, expected))
    return Profile.of_target(model, target, expected, seconds, memory, taken.total, taken.work(), ops, clock)


def _qemu(model: KwsModel, expected: Golden, measured: Profile) -> int:
    """Return QEMU's count for the same audio.

    Raises:
        MismatchError: the counts differ by more than QEMU's feeding loop and a tick of its timer.
    """
    counted, hops = qemu.count(model, expected), -(-len(expected.samples) // model.frontend.hop_samples)
    if not 0 <= counted - measured.instructions <= _QEMU_LOOP * hops + qemu.INSTRUCTIONS_PER_TICK:
        raise MismatchError(
            f"QEMU counts {counted:,} instructions, unicorn {measured.instructions:,}; one of them is wrong; report it "
            "with the model"
        )
    return counted


def _compare(model: KwsModel, device: DeviceDetector, expected: Golden, machine: Machine | None) -> "_Taken":
    """Feed the audio a hop at a time; return the instructions that it took (none without a ``machine`` that counts)."""
    device.set_thresholds(expected.thresholds)
    hop, detections, taken = model.frontend.hop_samples, [], _Taken(model, machine)
    for begin in range(0, len(expected.samples), hop):
        steps = device.steps
        taken.start()
        new = device.feed(expected.samples[begin : begin + hop])
        taken.stop(device.steps - steps)
        detections += [tuple(detection[name] for name in ("step", "phrase", "sample", "score")) for detection in new]
        if device.steps > steps:
            _compare_step(device, expected)
    expected_detections = [
        (step, phrase, sample, int(expected.scores[step, phrase]))
        for (step, phrase), sample in zip(expected.detections, expected.sample_counts, strict=True)
    ]
    if device.steps != len(expected.logits) or detections != expected_detections:
        raise MismatchError(
            f"{device.steps} steps with detections {detections}, but the graph gives {len(expected.logits)} with "
            f"{expected_detections}; report it with the model"
        )
    return taken


def _compare_step(device: DeviceDetector, expected: Golden) -> None:
    step = device.steps - 1
    for kind, actual, golden_values in (
        ("logits", device.logits().tolist(), expected.logits[step].tolist()),
        ("scores", device.scores(), expected.scores[step].tolist()),
    ):
        if actual != golden_values:
            raise MismatchError(
                f"the {kind} of step {step} are {actual}, but the graph gives {golden_values}; report it with the model"
            )


class _Taken:
    """Collects the instructions of each call of ``kws_feed`` by part, and adds them up to frames and steps."""

    def __init__(self, model: KwsModel, machine: Machine | None) -> None:
        self._stride, self._machine = model.graph.stride, machine
        self._before: dict[str, int] = {}
        self._calls: list[tuple[dict[str, int], int]] = []

    def start(self) -> None:
        self._before = self._machine.parts() if self._machine else {}

    def stop(self, steps: int) -> None:
        after = self._machine.parts() if self._machine else {}
        self._calls.append(({part: after[part] - self._before.get(part, 0) for part in after}, steps))

    @property
    def total(self) -> int:
        """Instructions of all calls."""
        return sum(sum(parts.values()) for parts, _ in self._calls)

    def work(self) -> tuple[Work, ...]:
        """Return each part's mean and maximum: the frontend's per frame, the others' over the calls of a step."""
        work = []
        for part in PARTS[1:]:
            each = [call.get(part, 0) for call, _ in self._calls]
            # Before the first window is full there is no frame; a step's calls end with the one that runs the network.
            ends = [index for index, (_, steps) in enumerate(self._calls) if steps]
            sums = [sum(each[end - self._stride + 1 : end + 1]) for end in ends]
            values = [value for end in ends for value in each[end - self._stride + 1 : end + 1]]
            work.append(Work.of(part, "frame", values) if part == "frontend" else Work.of(part, "step", sums))
        return tuple(work)


def _ops(model: KwsModel, target: Target, expected: Golden) -> list[OpWork]:
    """Return the mean instructions of each operator over the last steps."""
    graph = model.graph
    lfbe = frontend.compute(expected.samples, model.frontend)
    features = quantize_features(lfbe, graph.tensor(graph.input).quant)[: len(expected.logits) * graph.stride]
    steps = min(_COUNTED_STEPS, len(expected.logits))
    emulated = SimulatedEngine(graph, target)
    emulated.run(features[: len(features) - steps * graph.stride])
    taken, logits = [], []
    for begin in range(len(features) - steps * graph.stride, len(features), graph.stride):
        row, ops = emulated.count_ops(features[begin : begin + graph.stride])
        logits.append(row)
        taken.append([op.instructions for op in ops])
    _check_ops(np.concatenate(logits), expected.logits[-steps:])
    macs = {op.output: counts(graph, op)[1] for op in graph.ops}
    means = np.mean(taken, axis=0)
    return [
        OpWork(op.kind, op.output, macs.get(op.output, 0), round(float(mean), 1))
        for op, mean in zip(ops, means, strict=True)
    ]


def _check_ops(logits: NDArray[np.int8], expected: NDArray[np.int8]) -> None:
    if not np.array_equal(logits, expected):
        raise MismatchError("run one by one, the operators give other logits than the graph; report it with the model")


_WEIGHTS = re.compile(r"op\d+_\w+")
"""The arrays of an operator in model.c (``firmware_export.c.graph``): weights, biases, multipliers, shifts."""


def _memory(model: KwsModel, device: DeviceDetector, image: Image | None, counted: Counted | None) -> Memory:
    layout = plan(model.graph)
    scratch = layout.arena_bytes - layout.persistent_bytes + device.scratch_bytes() + 2 * model.frontend.bands
    stack = counted.stack_bytes if counted else None
    code, tables, weights = _flash(image) if image else (None, None, None)
    return Memory(code, tables, weights, device.memory_bytes - scratch, scratch, stack)


def _flash(image: Image) -> tuple[int, int, int]:
    """Return the bytes of code, of tables (with structs, names, and what the compiler made of them), of weights."""
    sizes = {name: size for name, (_, size) in image.sections.items()}
    code = sum(size for name, size in sizes.items() if name.startswith(".text"))
    constants = sum(size for name, size in sizes.items() if name.startswith((".rodata", ".data")))
    weights = sum(symbol.bytes for symbol in image.symbols if _WEIGHTS.fullmatch(symbol.name))
    return code, constants - weights, weights
