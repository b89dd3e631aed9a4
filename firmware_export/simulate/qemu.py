"""The same image on another emulator: QEMU's Cortex-M4, where `qemu-system-arm` is installed."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from firmware_export.c import text as c_text
from firmware_export.c.golden import Golden
from firmware_export.simulate import build
from firmware_export.simulate.build import FILES
from firmware_export.simulate.detector import write_model
from firmware_export.simulate.machine import SimulationError
from firmware_export.simulate.targets import find
from kws.detector.model_file import KwsModel
from kws.errors import KwsError

TARGET = "cortex-m4"
INSTRUCTIONS_PER_TICK = 40
"""One nanosecond each (-icount shift=0), under a timer of 25 MHz."""

_SECONDS = 300.0
_OPTIONS = ("-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none", "-icount", "shift=0")
_SEMIHOSTING = ("-semihosting-config", "enable=on,target=native")


def count(model: KwsModel, expected: Golden) -> int:
    """Run the expected audio in QEMU, compare every logit and score; return its instructions, to a tick of 40.

    They include those of the feeding loop, some 20 per hop.

    Raises:
        KwsError: qemu-system-arm is not installed.
        SimulationError: its numbers differ from the graph's, or it gives none.
    """
    program = shutil.which("qemu-system-arm")
    if program is None:
        raise KwsError("qemu-system-arm is not installed here; install it (Debian: apt-get install qemu-system-arm)")
    with tempfile.TemporaryDirectory(prefix="kws-qemu-") as work:
        image = _image(model, expected, Path(work))
        command = [program, *_OPTIONS, *_SEMIHOSTING, "-kernel", str(image)]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise SimulationError(f"QEMU did not finish within {_SECONDS:g} s; give fewer --seconds") from error
    if done.returncode != 0:
        raise SimulationError(f"QEMU ended with status {done.returncode} ({(done.stderr or '-').splitlines()[0]})")
    lines = (done.stdout + done.stderr).split()  # semihosting writes to one or the other, depending on QEMU's version
    printed = {letter: [int(line[1:], 16) for line in lines if line[0] == letter] for letter in "lst"}
    logits = np.array(printed["l"], np.uint32).astype(np.int8)
    if not np.array_equal(logits, expected.logits.reshape(-1)) or printed["s"] != expected.scores.reshape(-1).tolist():
        raise SimulationError("QEMU's logits and scores differ from the graph's; report it with the model")
    (ticks,) = printed["t"]
    return ticks * INSTRUCTIONS_PER_TICK


def _image(model: KwsModel, expected: Golden, work: Path) -> Path:
    source = work / "qemu_audio.c"
    thresholds = np.array(expected.thresholds, np.uint16)
    parts = [
        "#include <stdint.h>",
        c_text.array("samples", expected.samples, attribute="__attribute__((aligned(8)))"),
        c_text.array("thresholds", thresholds),
        "extern const int16_t *const qemu_samples;\nextern const uint32_t qemu_sample_count;",
        "extern const uint16_t *const qemu_thresholds;",
        "const int16_t *const qemu_samples = samples;",
        f"const uint32_t qemu_sample_count = {len(expected.samples)}u;",
        "const uint16_t *const qemu_thresholds = thresholds;",
    ]
    source.write_text("\n".join(parts) + "\n")
    return build.image(find(TARGET), write_model(model, work), extra=(FILES / "qemu_main.c", source))
