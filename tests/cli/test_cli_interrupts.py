"""Ctrl+C and kill -9 in the middle of speaking: no traceback, nobody left working, the next run finishes the job."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kws.data.synthesis.config import SynthesisConfig
from kws.data.synthesis.corpus import synthesize

pytestmark = pytest.mark.slow

CONFIG = SynthesisConfig(positives=150, negatives=250, near_phrases=20, backends=("espeak",))
SCRIPT = """
from pathlib import Path
from kws import cli
from kws.data.synthesis import corpus
from kws.data.synthesis.config import SynthesisConfig

@cli.command.command("speak")
def speak() -> None:
    corpus.synthesize({config!r}, "computer", Path({path!r}), 0, processes=2)
if __name__ == "__main__":
    cli.main()
"""


def start(tmp_path: Path) -> subprocess.Popen[str]:
    """Start speaking with two processes, in a session of its own as a terminal gives; return when clips come."""
    (tmp_path / "script.py").write_text(SCRIPT.format(config=CONFIG, path=str(tmp_path / "clips")))
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), "speak"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell may have started these tests in the background, where Ctrl+C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    assert "10 %" in process.stderr.readline()
    return process


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_nobody_behind_and_is_finished_by_the_next(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = start(tmp_path)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # what Ctrl+C does: every process of the terminal gets it
    else:
        process.kill()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert "Traceback" not in errors
    assert "Exception" not in errors
    until = time.monotonic() + 20.0
    while alive(process.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(process.pid), "speaking processes outlive the one that wanted their clips"
    assert not (tmp_path / "clips" / "manifest.csv").exists()
    assert synthesize(CONFIG, "computer", tmp_path / "clips", 0, processes=1).exists()
