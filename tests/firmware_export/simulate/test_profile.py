"""`kws profile`: every number compared, every byte and instruction accounted for, the same on each run."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from firmware_export.c import figures, golden
from firmware_export.simulate import qemu
from firmware_export.simulate.profile import MismatchError, profile
from firmware_export.simulate.report import Profile
from kws.cli import command
from kws.detector.model_file import KwsModel
from kws.errors import KwsError
from kws.graph.cost import cost

pytestmark = pytest.mark.emulator

GOLDEN = Path(__file__).parents[2] / "golden" / "computer.kws"


@pytest.fixture(scope="module")
def measured(model: KwsModel) -> Profile:
    return profile(model, "cortex-m4", 1.0)


def test_every_target_gives_the_graphs_numbers(target: str, model: KwsModel) -> None:
    found = profile(model, target, 0.6)
    assert (found.target, found.steps, found.values) == (target, 29, 29 * 6)
    assert found.detections > 0
    memory = found.memory
    assert memory.weights == cost(model.graph).weight_bytes
    assert memory.state + memory.scratch == figures.memory_bytes(model)
    assert memory.code is not None
    assert 5_000 < memory.code < 30_000
    assert memory.stack is not None
    assert 100 < memory.stack <= 1024


def test_a_profile_is_the_same_each_time(model: KwsModel, measured: Profile) -> None:
    assert profile(model, "cortex-m4", 1.0) == measured


def test_the_parts_are_the_whole(model: KwsModel, measured: Profile) -> None:
    """A step's instructions are those of its parts; a network's those of its operators, but for the loop."""
    work = {part.part: part for part in measured.work}
    assert set(work) == {"interface", "frontend", "quantization", "network", "decision"}
    assert all(0 < part.mean <= part.most for part in work.values())
    assert measured.instructions_per_step is not None
    steps = measured.instructions_per_step * measured.steps
    assert steps < measured.instructions < 1.1 * steps  # before the first step, frames alone
    assert sum(op.macs for op in measured.ops) == measured.macs_per_step == cost(model.graph).macs_per_step
    apart = sum(op.instructions for op in measured.ops) - work["network"].mean
    assert 0 <= apart <= 60 * len(measured.ops)


def test_the_share_of_a_named_clock(model: KwsModel, measured: Profile) -> None:
    other = profile(model, "cortex-m4", 1.0, clock_mhz=32, cycles_per_instruction=3.0)
    assert other.share_of_clock == pytest.approx(4 * (measured.share_of_clock or 0))
    assert other.instructions_per_second == measured.instructions_per_second
    assert measured.clock is not None
    assert measured.clock.board == "nRF52840"
    assert other.clock is not None
    assert other.clock.board == ""


def test_on_this_machine_nothing_is_counted_and_all_compared(model: KwsModel, measured: Profile) -> None:
    found = profile(model, "host", 1.0)
    assert (found.steps, found.values, found.detections) == (measured.steps, measured.values, measured.detections)
    assert found.memory.stack is None
    assert found.memory.state + found.memory.scratch == figures.memory_bytes(model)
    assert (found.work, found.ops, found.clock) == ((), (), None)
    assert "instructions and stack are not counted" in found.text()
    assert "share_of_clock" not in found.to_data()


@pytest.mark.parametrize(
    ("what", "where"), [("logits", "rv32imc"), ("scores", "cortex-m4"), ("detections", "rv32imc"), ("scores", "host")]
)
def test_another_number_is_refused(what: str, where: str, model: KwsModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph's expectation is changed in one place: the comparison must see it."""
    compute = golden.compute

    def changed(*arguments: object) -> golden.Golden:
        found = compute(*arguments)  # type: ignore[arg-type]  # passed on as they came
        if what == "detections":
            return dataclasses.replace(found, detections=found.detections[:-1], sample_counts=found.sample_counts[:-1])
        values = getattr(found, what).copy()
        values[20, 1] ^= 1
        return dataclasses.replace(found, **{what: values})

    monkeypatch.setattr(golden, "compute", changed)
    with pytest.raises(MismatchError, match="the graph gives") as raised:
        profile(model, where, 0.6)
    assert ("step 20" if what != "detections" else "29 steps") in str(raised.value)


def test_what_cannot_be_profiled(micro_tone_model: KwsModel, model: KwsModel) -> None:
    with pytest.raises(KwsError, match="'z80' is unknown"):
        profile(model, "z80")
    with pytest.raises(KwsError, match="no 'micro' frontend"):
        profile(micro_tone_model)
    with pytest.raises(KwsError, match="give --target cortex-m4"):
        profile(model, "rv32imc", with_qemu=True)


def test_the_command_prints_what_it_found() -> None:
    done = CliRunner().invoke(command, ["profile", str(GOLDEN), "--seconds", "0.5"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "'computer' on cortex-m4, -mcpu=cortex_m4 -O2"
    assert lines[1].startswith("equal to the graph over 0.5 s of audio: 48 steps, 144 logits and scores, ")
    assert any(line.startswith("RAM ") and "deepest" not in line for line in lines)
    assert lines[-2].endswith(" % of 64 MHz (nRF52840),")
    assert lines[-1] == "assuming 1.5 cycles per instruction (not measured)"


def test_the_command_gives_json() -> None:
    arguments = ["profile", str(GOLDEN), "--target", "rv32imc", "--seconds", "0.5", "--clock-mhz", "320", "--json"]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    data = json.loads(done.output)
    assert data["memory"]["flash"] == sum(data["memory"][part] for part in ("code", "tables", "weights"))
    assert data["clock"] == {"mhz": 320.0, "board": "", "cycles_per_instruction": 1.5}
    assert [op["macs"] for op in data["ops"] if op["macs"]] == [209920, 16384, 16384, 256]


@pytest.mark.parametrize("option", [["--target", "avr"], ["--clock-mhz", "0"], ["--seconds", "nan"]])
def test_the_command_refuses_what_it_cannot_use(option: list[str]) -> None:
    done = CliRunner().invoke(command, ["profile", str(GOLDEN), *option])
    assert done.exit_code == 2
    assert option[0] in done.output


def test_qemu_counts_the_same_or_is_said_to_be_missing(model: KwsModel) -> None:
    """Where it is installed the counts agree to its feeding loop; where not, that is an error and no silence."""
    if shutil.which("qemu-system-arm"):
        found = profile(model, "cortex-m4", 0.6, with_qemu=True)
        assert found.qemu is not None
        assert 0 < found.qemu - found.instructions < 40 * 60 + 40
        assert f"QEMU counts {found.qemu:,}" in found.text()
    else:
        with pytest.raises(KwsError, match="qemu-system-arm is not installed here; install it"):
            qemu.count(model, golden.compute(model))
