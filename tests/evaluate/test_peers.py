"""benchmarks/peers.py: a published model in its own runtime, beside a model of kws, on the same small corpus."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kws.data import manifest
from kws.detector.decision import DetectorConfig
from kws.detector.model_file import KwsModel, save

ROOT = Path(__file__).parent.parent.parent


def peers(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own: its TensorFlow Lite puts its symbols before those of other runtimes."""
    command = [sys.executable, ROOT / "benchmarks" / "peers.py", *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)


@pytest.fixture
def alexa(tone_corpus: Path, tone_model: KwsModel, tmp_path: Path) -> Path:
    """The tones under the name of a word that a peer has: a folder with manifest.csv and m.kws."""
    named = [replace(clip, label="alexa") if clip.label == "beep" else clip for clip in manifest.read(tone_corpus)]
    for clip in named:
        (tmp_path / Path(clip.path).name).symlink_to(clip.path)
    manifest.write([replace(one, path=str(tmp_path / Path(one.path).name)) for one in named], tmp_path / "manifest.csv")
    detector = DetectorConfig.single("alexa", ("filler", "alexa"), smooth_frames=10, max_frames=10, refractory_ms=500)
    save(replace(tone_model, detector=detector), tmp_path / "m.kws")
    save(tone_model, tmp_path / "beep.kws")
    return tmp_path


def test_both_hear_the_same_words(alexa: Path) -> None:
    pytest.importorskip("pymicro_wakeword")
    result = peers(alexa, alexa / "m.kws", "--room")
    assert result.returncode == 0, result.stderr
    shipped = [line.split()[3:5] for line in result.stdout.splitlines() if "clean" in line and "as shipped" in line]
    assert shipped == [["4", "1"], ["4", "4"]], "a tone is no word to the published model"
    assert "microWakeWord alexa: alexa, test" in result.stdout
    last = result.stdout[result.stdout.rindex("m against microWakeWord alexa") :]
    assert {line.split()[0] for line in last.splitlines() if " FA/h  " in line} == {"clean", "room"}


def test_a_phrase_that_no_peer_has_is_refused(alexa: Path) -> None:
    pytest.importorskip("pymicro_wakeword")
    result = peers(alexa, alexa / "beep.kws")
    assert result.returncode == 2
    assert "no model is for a phrase that a peer has: okay_nabu, hey_jarvis, hey_mycroft, alexa" in result.stderr
