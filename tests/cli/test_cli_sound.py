"""``kws detect`` and ``kws corpus`` on sound of every shape: pipes, no header, many channels, none at all."""

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from kws.detector.model_file import KwsModel, save

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tone_model: KwsModel, burst_sound: NDArray[np.int16]) -> Path:
    """The model, beep.kws, and what it fires at 7 times, a.wav."""
    folder = tmp_path_factory.mktemp("sound")
    save(tone_model, folder / "beep.kws")
    soundfile.write(folder / "a.wav", burst_sound, 16000)
    return folder


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Run:
    def run_kws(*arguments: str | Path, stdin: bytes | int = b"") -> subprocess.CompletedProcess[bytes]:
        source: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
        return subprocess.run(command(*arguments), capture_output=True, cwd=tmp_path, timeout=60, **source)

    return run_kws


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "kws", *map(str, arguments)]


def times(done: subprocess.CompletedProcess[bytes]) -> list[float]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["time_s"] for line in done.stdout.splitlines()]


def refused(done: subprocess.CompletedProcess[bytes]) -> str:
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.decode().strip().splitlines()
    assert line.startswith("kws: ")
    assert "; " in line
    return line


@pytest.fixture(scope="module")
def expected(folder: Path) -> list[float]:
    detect = command("detect", folder / "beep.kws", folder / "a.wav", "--json")
    return times(subprocess.run(detect, capture_output=True, timeout=60))


def test_samples_without_a_header_in_a_file_of_two_channels(
    run: Run, folder: Path, tmp_path: Path, expected: list[float], burst_sound: NDArray[np.int16]
) -> None:
    both = np.stack([np.zeros_like(burst_sound), burst_sound], axis=1)
    (tmp_path / "a.raw").write_bytes(both.astype("<i2").tobytes())
    form = ("--raw", "s16le", "--rate", "16000", "--channels", "2", "--json")
    assert times(run("detect", folder / "beep.kws", "a.raw", *form, "--channel", "2")) == expected
    assert b"digital silence" in run("detect", folder / "beep.kws", "a.raw", *form, "--channel", "1").stderr


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_standard_input(
    run: Run, folder: Path, tmp_path: Path, expected: list[float], burst_sound: NDArray[np.int16], suffix: str
) -> None:
    soundfile.write(tmp_path / f"b.{suffix}", burst_sound, 16000)
    done = run("detect", folder / "beep.kws", "-", "--json", stdin=(tmp_path / f"b.{suffix}").read_bytes())
    assert times(done) == expected
    assert {json.loads(line)["file"] for line in done.stdout.splitlines()} == {"-"}
    for name in ("-", "/dev/stdin"):
        with (tmp_path / f"b.{suffix}").open("rb") as file:
            assert times(run("detect", folder / "beep.kws", name, "--json", stdin=file.fileno())) == expected


def test_a_fifo_and_dev_stdin_are_pipes_too(run: Run, folder: Path, tmp_path: Path, expected: list[float]) -> None:
    content = (folder / "a.wav").read_bytes()
    assert times(run("detect", folder / "beep.kws", "/dev/stdin", "--json", stdin=content)) == expected
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen(["cp", str(folder / "a.wav"), str(tmp_path / "fifo")]):
        done = run("detect", folder / "beep.kws", "fifo", "--json")
    assert times(done) == expected
    assert {json.loads(line)["file"] for line in done.stdout.splitlines()} == {"fifo"}


def test_detections_are_printed_while_the_sound_still_comes(folder: Path, expected: list[float]) -> None:
    content = (folder / "a.wav").read_bytes()
    with subprocess.Popen(
        command("detect", folder / "beep.kws", "-", "--json"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(content[: 44 + 2 * 1600 + 2 * round(16000 * expected[0])])
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 30)[0]
        assert json.loads(os.read(process.stdout.fileno(), 1000))["time_s"] == expected[0]
        assert process.poll() is None
        process.stdin.close()
        process.wait(30)


def test_bad_pipes_are_refused(run: Run, folder: Path) -> None:
    model, wav = folder / "beep.kws", (folder / "a.wav").read_bytes()
    assert "standard input: ended before any sound arrived" in refused(run("detect", model, "-"))
    assert "standard input: is not a sound file" in refused(run("detect", model, "-", stdin=b"hello world\n" * 99))
    odd = run("detect", model, "-", "--raw", "s16le", "--rate", "16000", stdin=b"12345")
    assert "standard input: ends in the middle of a sample (1 of 2 bytes)" in refused(odd)
    cut = run("detect", model, "-", "--json", stdin=wav[: len(wav) // 2])
    assert "standard input: is cut short" in refused(cut)
    assert cut.stdout.count(b"\n") >= 3  # what arrived was processed


def test_a_terminal_and_a_closed_input_are_no_sound(run: Run, folder: Path) -> None:
    ours, theirs = pty.openpty()
    assert "is a terminal; pipe sound into it" in refused(run("detect", folder / "beep.kws", "-", stdin=theirs))
    os.close(ours)
    os.close(theirs)
    shell = " ".join(command("detect", folder / "beep.kws", "-")) + " <&-"
    closed = subprocess.run(["sh", "-c", shell], capture_output=True, timeout=60)
    assert "standard input: is closed" in refused(closed)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--raw", "s16le"), "--raw needs --rate"),
        (("--rate", "16000"), "--rate and --channels describe sound without a header"),
        (("--channels", "2"), "--rate and --channels describe sound without a header"),
        (("--raw", "s17le", "--rate", "16000"), "'s17le' is not one of"),
        (("--raw", "s16le", "--rate", "100"), "100 is not in the range 4000<=x<=768000"),
        (("--channel", "0"), "0 is not in the range"),
        (("--channel", "left"), "'left' is not a valid"),
    ],
)
def test_options_that_cannot_be(run: Run, folder: Path, options: tuple[str, ...], sentence: str) -> None:
    done = run("detect", folder / "beep.kws", folder / "a.wav", *options)
    assert done.returncode == 2
    assert sentence in done.stderr.decode()


@pytest.fixture
def six(tmp_path: Path, burst_sound: NDArray[np.int16]) -> Path:
    """Bursts in channel 1 of 6, loud noise in the others."""
    noise = np.random.default_rng(0).integers(-30000, 30000, (len(burst_sound), 6)).astype(np.int16)
    noise[:, 0] = burst_sound
    soundfile.write(tmp_path / "six.wav", noise, 16000)
    return tmp_path / "six.wav"


def test_a_channel_is_chosen(run: Run, folder: Path, six: Path, expected: list[float]) -> None:
    model = folder / "beep.kws"
    assert times(run("detect", model, six, "--channel", "1", "--json")) == expected
    assert times(run("detect", model, "-", "--channel", "1", "--json", stdin=six.read_bytes())) == expected
    assert times(run("detect", model, six, "--channel", "2", "--json")) == []
    mixed = run("detect", model, six, six, "--json")
    assert mixed.stderr.decode().count("its 6 channels are mixed to one; choose one with --channel 1 to 6") == 1
    assert run("detect", model, six, "--channel", "mix", "--json").stderr == b""
    assert "has 6 channels, so there is no channel 7" in refused(run("detect", model, six, "--channel", "7"))
    mono = run("detect", model, folder / "a.wav", "--channel", "2")
    assert "has one channel, so there is no channel 2" in refused(mono)


@pytest.mark.parametrize(("value", "word"), [(0, "digital silence throughout"), (-32768, "every sample is -1 of full")])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_file_without_sound_is_told(
    run: Run, folder: Path, tmp_path: Path, value: int, word: str, options: tuple[str, ...]
) -> None:
    soundfile.write(tmp_path / "flat.wav", np.full(48000, value, np.int16), 48000)
    done = run("detect", folder / "beep.kws", "flat.wav", *options)
    assert (done.returncode, done.stdout) == (0, b"")
    assert word in done.stderr.decode()
    assert "flat.wav" in done.stderr.decode()
