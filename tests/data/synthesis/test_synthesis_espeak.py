"""espeak-ng in process: pure, its words where its sound is."""

import ctypes.util
import importlib.util
import random

import numpy as np
import pytest

from kws.data.synthesis.voices import espeak, espeak_library
from kws.data.synthesis.voices.espeak import EspeakVoice
from kws.data.synthesis.voices.timing import frame_energies, loud_span
from kws.data.synthesis.voices.voice import EMPHASES, SAMPLE_RATE_HZ, Style, Voice
from kws.errors import KwsError

ALEX = EspeakVoice("gmw/en-US", "en-us", "Alex")


def test_is_a_voice() -> None:
    voice: Voice = ALEX
    assert isinstance(voice, Voice)
    assert voice.speaker == "espeak:en-us+Alex"
    assert "GPL-3.0" in voice.licence


def test_the_same_text_gives_the_same_samples_whatever_came_before() -> None:
    variants = ["Alex", "f2", "whisper", "klatt3", "klatt6", "Demonic", "sandro", "Mr serious", "croak", ""]
    voices = [EspeakVoice("gmw/en-US", "en-us", variant) for variant in variants]
    first = [voice.say("hey there, big dog", Style()) for voice in voices]
    order = list(range(len(voices)))
    random.Random(1).shuffle(order)
    for index in order:
        again = voices[index].say("hey there, big dog", Style())
        assert np.array_equal(again.samples, first[index].samples)
        assert again.words == first[index].words
    assert len({one.samples.tobytes() for one in first}) == len(voices)


@pytest.mark.parametrize("emphasis", EMPHASES)
@pytest.mark.parametrize("rate_wpm", [100.0, 175.0, 300.0])
def test_word_times_bracket_the_energy(emphasis: str, rate_wpm: float) -> None:
    style = Style(rate_wpm=rate_wpm, emphasis=emphasis)  # type: ignore[arg-type] # parametrized by name
    for variant in ("Alex", "f3", "m4"):
        spoken = EspeakVoice("gmw/en-US", "en-us", variant).say("computer", style)
        (word,) = spoken.words
        energies = frame_energies(spoken.samples.astype(np.float32), SAMPLE_RATE_HZ)
        begin, end = loud_span(energies, 0.0, len(spoken.samples) / SAMPLE_RATE_HZ, floor_db=35.0) or (9.0, 9.0)
        assert word.text == "computer"
        assert word.start_s == pytest.approx(begin, abs=0.03)
        assert word.end_s == pytest.approx(end, abs=0.03)


def test_words_stand_in_order_and_a_pause_lies_between_clauses() -> None:
    spoken = ALEX.say("hey marvin, turn on the light", Style(word_gap_ms=50.0))
    assert [word.text for word in spoken.words] == ["hey", "marvin", "turn", "on", "the", "light"]
    times = [moment for word in spoken.words for moment in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert all(word.end_s - word.start_s > 0.03 for word in spoken.words)
    assert spoken.words[2].start_s - spoken.words[1].end_s > 0.1
    quiet = spoken.samples[int(spoken.words[1].end_s * 16000) + 400 : int(spoken.words[2].start_s * 16000) - 400]
    assert np.abs(quiet.astype(int)).max() < 0.03 * np.abs(spoken.samples.astype(int)).max()


def test_the_style_is_heard() -> None:
    def length(**style: float) -> int:
        return len(ALEX.say("computer", Style(**style)).samples)  # type: ignore[arg-type] # floats only

    def pitch_hz(percent: float) -> float:
        sound = ALEX.say("aaah", Style(pitch_percent=percent, pitch_range_percent=0.0)).samples[3000:7000].astype(float)
        spectrum = np.fft.rfft(sound * np.hanning(len(sound)), 65536)
        correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:800]
        lags = np.arange(40, 400)
        return 16000.0 / float(lags[np.argmax(correlation[lags])])

    assert length(rate_wpm=100.0) > 1.3 * length(rate_wpm=220.0)
    assert pitch_hz(90.0) > 1.2 * pitch_hz(10.0)
    sounds = {ALEX.say("computer", Style(emphasis=emphasis)).samples.tobytes() for emphasis in EMPHASES}
    assert len(sounds) == len(EMPHASES)


def test_phonemes_can_be_spoken_and_read_back() -> None:
    spoken = ALEX.say("please [[k@m|pj'u:t3]], stop", Style())
    assert [word.text for word in spoken.words] == ["please", "[[k@m|pj'u:t3]]", "stop"]
    assert espeak.phonemes(["[[k@m|pj'u:t3]]"], "gmw/en-US") == [[["k", "ə", "m", "p", "j", "ˈuː", "ɾ", "ɚ"]]]
    assert espeak.phonemes(["computer", "", "hey you"], "gmw/en-US", ipa=False)[1:] == [[], [["h", "'eI"], ["j", "u:"]]]


def test_letters_beyond_ascii_keep_their_word_times() -> None:
    german = EspeakVoice(espeak.accents("de")[0].identifier, "de", "f2")
    spoken = german.say("grüße, österreich zählt 25 äpfel", Style(emphasis="moderate"))
    assert [word.text for word in spoken.words] == ["grüße", "österreich", "zählt", "25", "äpfel"]
    assert max(spoken.words, key=lambda word: word.end_s - word.start_s).text == "25"


def test_markup_in_a_text_is_not_obeyed() -> None:
    spoken = ALEX.say("a < b > c & d", Style(emphasis="strong"))
    assert [word.text for word in spoken.words] == ["a", "b", "c", "d"]


def test_accents_and_variants() -> None:
    assert {"en-us", "en-gb", "en-gb-scotland"} <= {accent.language for accent in espeak.accents("en")}
    assert [accent.language for accent in espeak.accents("en-us")] == ["en-us", "en-us-nyc"]
    assert len(espeak.variants()) > 90
    with pytest.raises(KwsError, match="'xx': espeak-ng does not speak it"):
        espeak.accents("xx")
    with pytest.raises(KwsError, match="no voice"):
        EspeakVoice("gmw/none", "none").say("hello", Style())
    with pytest.raises(KwsError, match="no sound"):
        ALEX.say("", Style())


def test_a_missing_library_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    espeak_library.library_path.cache_clear()
    try:
        with pytest.raises(KwsError, match=r"pip install 'kws\[synth\]'"):
            ALEX.say("hello", Style())
        monkeypatch.setattr(ctypes.util, "find_library", lambda name: "libnothing.so.9")
        with pytest.raises(KwsError, match="cannot be loaded"):
            ALEX.say("hello", Style())
    finally:
        espeak_library.library_path.cache_clear()
