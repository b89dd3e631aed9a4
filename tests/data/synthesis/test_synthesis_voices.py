"""Voices of other programs, through fakes with the real ones' arguments; who is held out."""

import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kws.data.synthesis.config import SynthesisConfig
from kws.data.synthesis.voices import espeak, external
from kws.data.synthesis.voices.espeak import EspeakVoice
from kws.data.synthesis.voices.find import describe_voices, find_voices
from kws.data.synthesis.voices.speakers import assign, family, partition
from kws.data.synthesis.voices.voice import Style, Voice
from kws.errors import KwsError

SPEAK = """#!{python}
import math, struct, sys, wave
def speak(path, seconds):
    with wave.open(path, "wb") as file:
        file.setnchannels(1); file.setsampwidth(2); file.setframerate(8000)
        tone = [int(9000 * math.sin(0.4 * i)) for i in range(int(8000 * seconds))]
        file.writeframes(struct.pack("<%dh" % (len(tone) + 1600), *([0] * 800 + tone + [0] * 800)))
def value(name):
    return sys.argv[sys.argv.index(name) + 1]
"""

FLITE = """
if sys.argv[1] == "-lv":
    print("Voices available: kal awb_time kal16 awb slt "); sys.exit(0)
assert value("-voice") in ("kal16", "awb", "slt")
stretch = value("--setf").split("=")
assert stretch[0] == "duration_stretch"
speak(value("-o"), 0.1 * len(value("-t").split()) * float(stretch[1]))
"""

FESTIVAL = """
assert sys.argv[1:] == ["--batch", "(print (voice.list))"]
print("(kal_diphone us_slt_hts)")
"""

TEXT2WAVE = """
assert value("-eval").startswith("(voice_")
speak(value("-o"), 0.1 * len(open(sys.argv[-1]).read().split()))
"""

PIPER = """
assert value("--model").endswith(".onnx")
text = sys.stdin.read()
speaker = int(value("--speaker")) if "--speaker" in sys.argv else 0
speak(value("--output_file"), 0.1 * len(text.split()) * float(value("--length_scale")) + speaker)
"""

OWN = """
if sys.argv[1] == "fail": sys.exit("the voice server is down")
if sys.argv[1] != "silent": speak(sys.argv[2], 0.1 * len(sys.argv[1].split()))
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    bodies = {"flite": FLITE, "festival": FESTIVAL, "text2wave": TEXT2WAVE, "piper": PIPER, "own": OWN}
    for name, body in bodies.items():
        path = folder / name
        path.write_text(SPEAK.replace("{python}", sys.executable) + body)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def _model(folder: Path, speakers: int) -> str:
    path = folder / "en_GB-alan-low.onnx"
    path.write_bytes(b"weights")
    path.with_name(path.name + ".json").write_text(f'{{"num_speakers": {speakers}, "espeak": {{"voice": "en-gb"}}}}')
    return str(path)


def test_flite_is_spoken_with_its_own_arguments(programs: Path) -> None:
    voices = external.flite_voices()
    assert [voice.speaker for voice in voices] == ["flite:kal16", "flite:awb", "flite:slt"]
    normal = voices[2].say("hey marvin, stop", Style(rate_wpm=175.0))
    slow = voices[2].say("hey marvin, stop", Style(rate_wpm=87.5))
    assert len(normal.samples) == pytest.approx(16000 * (0.3 + 0.2), abs=200)
    assert len(slow.samples) == pytest.approx(16000 * (0.6 + 0.2), abs=200)
    assert [word.text for word in normal.words] == ["hey", "marvin", "stop"]
    assert normal.words[0].start_s == pytest.approx(0.1, abs=0.02)
    assert normal.words[-1].end_s == pytest.approx(0.4, abs=0.02)
    hey, marvin = normal.words[:2]
    assert (marvin.end_s - marvin.start_s) > 1.8 * (hey.end_s - hey.start_s)  # more phonemes


def test_festival_and_piper(programs: Path, tmp_path: Path) -> None:
    slt = external.festival_voices()[1]
    assert slt.speaker == "festival:us_slt_hts"
    assert len(slt.say("two words", Style()).samples) == pytest.approx(16000 * 0.4, abs=200)
    first, second = external.piper_voices([_model(tmp_path, 2)])
    assert (first.speaker, second.speaker) == ("piper:en_GB-alan-low#0", "piper:en_GB-alan-low#1")
    assert first.language == "en-gb"
    assert len(second.say("one", Style()).samples) == pytest.approx(16000 * 1.3, abs=200)
    (single,) = external.piper_voices([_model(tmp_path, 1)])
    assert len(single.say("one", Style(rate_wpm=87.5)).samples) == pytest.approx(16000 * 0.4, abs=200)
    with pytest.raises(KwsError, match="not found"):
        external.piper_voices([str(tmp_path / "none.onnx")])
    (tmp_path / "en_GB-alan-low.onnx.json").write_text("[]")
    with pytest.raises(KwsError, match="not a piper voice"):
        external.piper_voices([str(tmp_path / "en_GB-alan-low.onnx")])


def test_a_command_of_the_users_own(programs: Path) -> None:
    (voice,) = external.command_voices("own {text} {output}", ["me"], "en", "CC0")
    assert voice.licence == "CC0"
    assert len(voice.say("say {output} twice; rm -rf x", Style()).samples) == pytest.approx(16000 * 0.8, abs=200)
    with pytest.raises(KwsError, match="the voice server is down"):
        external.ExternalVoice("command", "me", "en", "", ("own", "fail", "{output}")).say("x", Style())
    with pytest.raises(KwsError, match="wrote no sound file"):
        external.ExternalVoice("command", "me", "en", "", ("own", "silent", "{output}")).say("x", Style())
    with pytest.raises(KwsError, match="no such program"):
        external.command_voices("nowhere {text} {output}", ["me"], "en")
    with pytest.raises(KwsError, match="quotes"):
        external.command_voices("own '{text} {output}", ["me"], "en")


def test_auto_takes_what_is_found_and_names_are_required(programs: Path) -> None:
    found = {voice.name for voice in find_voices(SynthesisConfig(command="own {text} {output}"))}
    assert found == {"espeak", "flite", "festival", "command"}
    assert {voice.name for voice in find_voices(SynthesisConfig(backends=("espeak",)))} == {"espeak"}
    lines = "\n".join(describe_voices())
    assert "en-gb-scotland" in lines
    assert "kal16" in lines
    os.remove(programs / "flite")
    with pytest.raises(KwsError, match=r"'flite'.*apt-get install flite"):
        find_voices(SynthesisConfig(backends=("flite",)))
    with pytest.raises(KwsError, match="'flite'"):  # speaks no German
        find_voices(SynthesisConfig(backends=("espeak", "flite"), language="de"))
    assert "flite: none found" in "\n".join(describe_voices())


@pytest.mark.parametrize("key", ["accents", "variants"])
def test_unknown_accents_and_variants_are_named(key: str) -> None:
    with pytest.raises(KwsError, match=f"{key} names 'nobody'"):
        find_voices(SynthesisConfig(backends=("espeak",), **{key: ("nobody",)}))  # type: ignore[arg-type] # by name


def _every_espeak() -> list[Voice]:
    names = ("", *espeak.variants())
    return [EspeakVoice(accent.identifier, accent.language, name) for accent in espeak.accents("en") for name in names]


def test_no_variant_and_no_accent_of_a_held_out_split_is_trained_on() -> None:
    parts = partition(_every_espeak(), 0.1, 0.1)
    assert len(parts["train"]) > 300
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        for of in (lambda v: family(v.variant), lambda v: v.language, lambda v: v.speaker):
            assert not {of(v) for v in parts[one]} & {of(v) for v in parts[other]}
    assert {"en-us", "en-gb"} <= {voice.language for voice in parts["train"]}
    assert len(parts["dev"]) >= 5
    assert len(parts["test"]) >= 5


def test_a_speaker_keeps_its_split_whatever_else_is_installed() -> None:
    voices = _every_espeak()
    others = [external.ExternalVoice("flite", name, "en", "", ()) for name in ("slt", "rms", "awb", "kal16")]
    with_others = partition([*voices, *others], 0.1, 0.1)
    for split, alone in partition(voices, 0.1, 0.1).items():
        assert [voice for voice in with_others[split] if voice.name == "espeak"] == alone


def test_languages_with_one_accent_hold_out_variants() -> None:
    german = espeak.accents("de")[0]
    parts = partition([EspeakVoice(german.identifier, "de", name) for name in espeak.variants()], 0.1, 0.1)
    assert all(parts.values())


def test_too_few_speakers() -> None:
    two = [external.ExternalVoice("command", name, "en", "", ()) for name in "ab"]
    with pytest.raises(KwsError, match="2 speakers are too few"):
        partition(two, 0.1, 0.1)
    assert [voice.speaker for voice in partition(two, 0.0, 0.0)["train"]] == ["command:a", "command:b"]


@given(st.sets(st.text(max_size=8), min_size=3, max_size=40), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_every_wanted_split_gets_a_speaker(names: set[str], dev: float, test: float) -> None:
    given_splits = assign(names, dev, test)
    assert set(given_splits) == names
    assert set(given_splits.values()) == {"train", "dev", "test"}


def test_samples_are_int16_at_16_khz(programs: Path) -> None:
    spoken = external.flite_voices()[0].say("computer", Style())
    assert spoken.samples.dtype == np.int16
    assert 0.25 < len(spoken.samples) / 16000 < 0.4
