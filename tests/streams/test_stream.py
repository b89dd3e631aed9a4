"""Streams laid from small generated clips: what lies where, and that nothing else gives a word away."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.data.manifest import Clip, Word
from kws.data.phrases import word_times
from kws.data.transcripts import Utterance
from kws.errors import KwsError
from kws.streams.conditions import Condition
from kws.streams.layout import build
from kws.streams.noise import NoiseBed, active_power
from kws.streams.plan import LEAD_IN_S, NEGATIVE_GAP_S, TAIL_S, Plan, plans

RATE = 16000


def burst(seconds: float, start_s: float, end_s: float, rms: float = 2000.0, seed: int = 0) -> NDArray[np.int16]:
    signal = np.zeros(round(seconds * RATE))
    first, after = round(start_s * RATE), round(end_s * RATE)
    signal[first:after] = np.random.default_rng(seed).normal(0.0, rms, after - first)
    return signal.astype(np.int16)


def clip(path: Path, label: str, samples: NDArray[np.int16], speaker: str = "ann", split: str = "test") -> Clip:
    write_audio(path, samples)
    return Clip(str(path), split, label, speaker, "generated", "CC0", len(samples) / RATE)


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    return [
        clip(tmp_path / "a1.wav", "computer", burst(1.5, 0.4, 1.0)),
        clip(tmp_path / "b1.wav", "computer", burst(1.2, 0.3, 0.8), "bob"),
        clip(tmp_path / "a2.wav", "computer", burst(1.0, 0.2, 0.6)),
        clip(tmp_path / "n1.wav", "neg_speech", burst(3.0, 0.0, 3.0, 500.0), "eve"),
        clip(tmp_path / "n2.wav", "neg_speech", burst(2.0, 0.0, 2.0, 500.0), "eve"),
        clip(tmp_path / "h.wav", "hey_computer", burst(1.0, 0.2, 0.6)),
        clip(tmp_path / "noise.wav", "noise", burst(1.7, 0.0, 1.7, 300.0)),
        clip(tmp_path / "rir.wav", "rir", burst(0.5, 0.0, 0.1)),
        clip(tmp_path / "d.wav", "computer", burst(1.0, 0.2, 0.6), split="dev"),
    ]


def test_plans_group_speakers_and_labels(clips: list[Clip]) -> None:
    planned = {
        plan.name: [Path(one.path).name for one in plan.clips] for plan in plans(clips, Condition("test"), "Computer")
    }
    assert planned == {
        "test/computer/ann/000": ["a1.wav", "a2.wav"],
        "test/computer/bob/000": ["b1.wav"],
        "test/neg_speech/000": ["n1.wav", "n2.wav"],
        "test/noise/000": ["noise.wav"],
    }
    assert {plan.kind for plan in plans(clips, Condition("dev"), "computer")} == {"positive"}
    assert {plan.kind for plan in plans(clips, Condition("dev"), "hey marvin")} == {"negative"}
    assert plans(clips, Condition("train"), "computer") == ()


def test_long_negatives_are_several_streams(clips: list[Clip]) -> None:
    hour = [replace(clips[3], duration_s=200.0) for _ in range(7)]
    assert [len(plan.clips) for plan in plans(hour, Condition("test"), "computer")] == [2, 3, 2]
    words = [replace(clips[0], duration_s=1.0) for _ in range(400)]
    assert [plan.name for plan in plans(words, Condition("test"), "computer")] == [
        f"test/computer/ann/00{i}" for i in range(3)
    ]
    assert sum(len(plan.clips) for plan in plans(words, Condition("test"), "computer")) == 400


def test_positive_stream_lays_words_with_room_around(clips: list[Clip]) -> None:
    plan = plans(clips, Condition("test"), "computer")[0]
    stream = build(plan)
    layout = stream.layout
    assert [(span.start_s, span.end_s) for span in layout.spans] == [(1.5, 3.0), (6.0, 7.0)]
    assert layout.duration_s == len(stream.samples) / RATE == 7.0 + TAIL_S
    assert layout.spans[1].start_s - layout.spans[0].end_s == LEAD_IN_S + TAIL_S
    assert [(event.start_s, event.end_s) for event in layout.events] == [
        pytest.approx((1.9, 2.5), abs=0.02),
        pytest.approx((6.2, 6.6), abs=0.02),
    ]
    assert all(event.estimated and event.speaker == "ann" for event in layout.events)
    assert layout.hours == pytest.approx(2.5 / 3600)


def test_the_clip_itself_is_in_the_stream(clips: list[Clip]) -> None:
    """Under a faint noise floor, the clip's samples lie where the layout says."""
    stream = build(plans(clips, Condition("test"), "computer")[1])
    difference = stream.samples[round(1.5 * RATE) :][: round(1.2 * RATE)] - burst(1.2, 0.3, 0.8).astype(np.int32)
    assert 9.0 < float(np.std(difference)) < 12.0


def test_nothing_gives_a_word_away_but_its_sound(clips: list[Clip]) -> None:
    """No digital silence anywhere, the same floor in gaps and in clips' pauses, no step at a cut edge."""
    positive, _, negative_plan, _ = plans(clips, Condition("test"), "computer")
    for plan in (positive, negative_plan):
        samples = build(plan).samples.astype(np.float64)
        tenths = samples[: len(samples) // 160 * 160].reshape(-1, 160)
        assert float(np.sqrt(np.mean(tenths**2, axis=1)).min()) > 7.0
        assert 20 * np.log10(np.std(samples[: round(1.4 * RATE)]) / 32768) == pytest.approx(-70.0, abs=0.2)
    negative = build(negative_plan)
    edge = round(negative.layout.spans[0].start_s * RATE)
    assert float(np.abs(negative.samples[edge : edge + 8]).max()) < 60  # a clip of 500 RMS fades in


def test_negative_streams_have_no_events_and_short_gaps(clips: list[Clip]) -> None:
    layout = build(plans(clips, Condition("test"), "computer")[2]).layout
    assert layout.events == ()
    assert layout.spans[1].start_s - layout.spans[0].end_s == pytest.approx(NEGATIVE_GAP_S)
    assert layout.hours == pytest.approx(5.0 / 3600)


def test_the_same_plan_gives_the_same_samples(clips: list[Clip]) -> None:
    plan = plans(clips, Condition("test", noise_snr_db=10.0, seed=4), "computer")[0]
    assert np.array_equal(build(plan).samples, build(plan).samples)
    assert not np.array_equal(build(plan).samples, build(replace(plan, seed=5)).samples)


def test_manifest_times_come_first_then_words_then_energy(clips: list[Clip]) -> None:
    lone, silence = clips[0], np.zeros(24000, np.int16)
    timed = replace(lone, kw_start_s=0.5, kw_end_s=0.9)
    assert word_times(timed, silence, "computer") == (0.5, 0.9, False)
    spoken = (Word("please,", 0.1, 0.3), Word("Smart", 0.4, 0.7), Word("mirror!", 0.7, 1.1), Word("now", 1.2, 1.4))
    assert word_times(replace(lone, label="sentence:smart_mirror", words=spoken), silence, "smart mirror") == (
        0.4,
        1.1,
        False,
    )
    start_s, end_s, estimated = word_times(lone, burst(1.5, 0.4, 1.0), "computer")
    assert (start_s, end_s) == pytest.approx((0.4, 1.0), abs=0.021)
    assert estimated


def test_a_sentence_without_times_is_refused(clips: list[Clip]) -> None:
    sentence = replace(clips[0], label="sentence:computer")
    with pytest.raises(KwsError, match=r"a1\.wav: holds 'computer' inside a sentence.*add them or remove the clip"):
        build(plans([sentence], Condition("test"), "computer")[0])


def test_the_phrase_in_a_transcript_is_no_false_accept(clips: list[Clip]) -> None:
    plan = plans(clips, Condition("test"), "computer")[2]
    said = {plan.clips[0].path: (Utterance(0.0, 1.0, "NOTHING HERE"), Utterance(1.0, 3.6, "A COMPUTER, THEY SAID"))}
    layout = build(plan, said).layout
    assert layout.ignored == ((2.5, 4.5),)
    assert layout.hours == pytest.approx(3.0 / 3600)
    told = replace(plan, clips=(replace(plan.clips[0], text="my computer"), plan.clips[1]))
    assert build(told).layout.hours == pytest.approx(2.0 / 3600)


@pytest.mark.parametrize("snr_db", [20.0, 10.0, 0.0])
def test_noise_lies_at_the_asked_ratio(clips: list[Clip], snr_db: float) -> None:
    """Speech power in the active part over noise power measured in the gap, where nothing else is."""
    clean = plans(clips, Condition("test"), "computer")[0]
    noisy = plans(clips, Condition("test", noise_snr_db=snr_db), "computer")[0]
    noise = build(noisy).samples[: round(1.4 * RATE)].astype(np.float64)
    speech = build(clean).samples[round(1.95 * RATE) : round(2.45 * RATE)].astype(np.float64)
    assert 10 * np.log10(np.mean(speech**2) / np.mean(noise**2)) == pytest.approx(snr_db, abs=0.5)


def test_noise_follows_each_clips_level_without_a_step(tmp_path: Path) -> None:
    pair = [
        clip(tmp_path / "loud.wav", "computer", burst(1.0, 0.2, 0.8, 4000.0)),
        clip(tmp_path / "soft.wav", "computer", burst(1.0, 0.2, 0.8, 400.0)),
        clip(tmp_path / "noise.wav", "noise", burst(5.0, 0.0, 5.0, 300.0, seed=9)),
    ]
    samples = build(plans(pair, Condition("test", noise_snr_db=10.0), "computer")[0]).samples.astype(np.float64)
    middle = round((2.5 + 1.5) * RATE)
    before, after = samples[middle - 6400 : middle - 1600], samples[middle : middle + 6400]
    assert 20 * np.log10(np.std(before) / np.std(after)) == pytest.approx(20.0, abs=1.0)
    ramp = [np.std(part) for part in np.split(samples[middle - 800 : middle], 5)]
    assert ramp == sorted(ramp, reverse=True)


def test_noise_itself_stays_clean_and_missing_noise_is_said(clips: list[Clip]) -> None:
    labels = {plan.label: plan.noise_snr_db for plan in plans(clips, Condition("test", noise_snr_db=5.0), "computer")}
    assert labels == {"computer": 5.0, "neg_speech": 5.0, "noise": None}
    with pytest.raises(KwsError, match="no clip labelled 'noise'"):
        plans(clips, Condition("dev", noise_snr_db=5.0), "computer")


def test_a_silent_noise_recording_adds_nothing(tmp_path: Path) -> None:
    silent = clip(tmp_path / "silent.wav", "noise", np.zeros(1000, np.int16))
    bed = NoiseBed([silent], 0.0).under([burst(1.0, 0.0, 1.0)], [0, 20000], np.random.default_rng(0))
    assert bed.shape == (20000,)
    assert not bed.any()


def test_active_power_does_not_count_pauses() -> None:
    assert active_power(burst(4.0, 1.0, 2.0)) == pytest.approx(active_power(burst(1.0, 0.0, 1.0)), rel=0.05)


def test_an_unreadable_clip_is_named(clips: list[Clip]) -> None:
    Path(clips[1].path).write_bytes(b"not audio")
    with pytest.raises(KwsError, match=r"b1\.wav"):
        build(Plan("x", "computer", "positive", "computer", (clips[1],)))
