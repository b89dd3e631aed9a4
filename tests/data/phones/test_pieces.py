"""Speech put together from pieces: what is said, how long it is, where it is joined."""

import itertools

import numpy as np
import pytest

from kws.data.phones.inventory import SILENCE
from kws.data.phones.pieces import CROSSFADE, PAUSE_FRAMES, Pieces, Run
from kws.data.phones.speech import Aligned, AlignedSpeech, Segment, loud_mean, pairs, segments, voice_distances
from kws.frontend import FrontendConfig

PHRASE = [SILENCE, 3, 1, 4, 2, 5, SILENCE]


@pytest.fixture(scope="module")
def pieces(speech: AlignedSpeech) -> Pieces:
    return Pieces(speech)


def heard(samples: np.ndarray) -> list[int]:
    """The tones that follow each other, each for at least 20 ms; softer than a tenth: silence."""
    found = []
    for begin in range(0, len(samples) - 320, 80):
        part = samples[begin : begin + 320] * np.hanning(320)
        if np.abs(part).max() > 0.1:
            hertz = np.abs(np.fft.rfft(part, 3200)).argmax() * 5.0
            found.append(round(hertz / 400.0))
    return [tone for tone, run in itertools.groupby(found) if len(list(run)) >= 4]


@pytest.mark.parametrize("seed", range(8))
def test_the_phrase_is_what_is_heard(pieces: Pieces, seed: int) -> None:
    chosen = pieces.choose(PHRASE, np.random.default_rng(seed))
    assert chosen is not None
    sound = pieces.render(chosen[0])
    assert heard(sound.samples) == PHRASE[1:-1]
    assert np.abs(sound.samples).max() == pytest.approx(1.0)
    loud = np.flatnonzero(np.abs(sound.samples) > 0.05)
    assert abs(loud[0] - sound.begin) < 80
    assert abs(loud[-1] + 1 - sound.end) < 80


@pytest.mark.parametrize("seed", range(4))
def test_between_words_there_may_be_a_pause_of_a_fifth_of_a_second_at_most(pieces: Pieces, seed: int) -> None:
    chosen = pieces.choose([SILENCE, 3, 1, SILENCE, 4, 2, SILENCE], np.random.default_rng(seed))
    assert chosen is not None
    sound = pieces.render(chosen[0])
    assert heard(sound.samples) == [3, 1, 4, 2]
    loud = np.flatnonzero(np.abs(sound.samples[sound.begin : sound.end]) > 0.05)
    assert 480 < np.diff(loud).max() <= 2 * PAUSE_FRAMES * 320
    ends = [pieces.speech.utterances[run.utterance].segments[run.last].phone for run in chosen[0]]
    assert ends.count(SILENCE) == 2


def test_pieces_are_cut_in_mid_phone_and_overlap_by_the_crossfade(pieces: Pieces) -> None:
    runs, _ = chosen = pieces.choose(PHRASE, np.random.default_rng(0)) or ([], 0.0)
    assert chosen[0]
    spans = []
    for run in runs:
        cut = pieces.speech.utterances[run.utterance].segments
        first, last = cut[run.first], cut[run.last]
        begin = (first.first + first.after) / 2 if first.phone else max(first.after - PAUSE_FRAMES, first.first + 0.5)
        end = (last.first + last.after) / 2 if last.phone else min(last.first + PAUSE_FRAMES, last.after - 0.5)
        spans.append((end - begin) * 320 + CROSSFADE)
    wanted = sum(spans) - CROSSFADE * (len(runs) - 1)
    assert len(pieces.render(runs).samples) == pytest.approx(wanted, abs=CROSSFADE)
    whole = [
        one.phone for run in runs for one in pieces.speech.utterances[run.utterance].segments[run.first : run.last]
    ]
    assert [*whole, SILENCE] == PHRASE


def test_joins_have_no_clicks(pieces: Pieces) -> None:
    """Pieces of one tone joined in mid-phone: no sample jumps more than the tone itself does."""
    for seed in range(8):
        runs, _ = pieces.choose(PHRASE, np.random.default_rng(seed)) or ([], 0.0)
        steepest = 2 * np.pi * 400 * 5 / 16000
        assert np.abs(np.diff(pieces.render(runs).samples)).max() < 2.0 * steepest


def test_the_same_seed_chooses_the_same_and_others_something_else(pieces: Pieces) -> None:
    found = [pieces.choose(PHRASE, np.random.default_rng(seed)) for seed in (1, 1, 2, 3, 4, 5)]
    assert found[0] == found[1]
    assert len({str(one) for one in found}) > 3


def test_what_was_said_in_one_go_is_taken_in_one_go(speech: AlignedSpeech) -> None:
    """A phrase that one utterance holds as it is costs least there: no join at all, where luck is little."""
    said = speech.utterances[3]
    end = [index for index, one in enumerate(said.segments) if one.phone == SILENCE][1]
    wanted = [one.phone for one in said.segments[: end + 1]]
    found = [Pieces(speech).choose(wanted, np.random.default_rng(seed)) for seed in range(10)]
    whole = [one for one in found if one is not None and one[0] == [Run(3, 0, end)]]
    assert len(whole) >= 8
    assert all(one is None or whole[0][1] <= one[1] + 0.5 for one in found)


def test_a_pair_that_nobody_said_cannot_be_said(pieces: Pieces) -> None:
    said = pairs(pieces.speech)
    missing = next(pair for pair in itertools.product(range(1, 6), repeat=2) if pair not in said)
    assert pieces.choose([SILENCE, *missing, SILENCE], np.random.default_rng(0)) is None


def test_drawn_out_phones_are_no_use(speech: AlignedSpeech) -> None:
    one = speech.utterances[0]
    phones = np.repeat([0, 1, 2, 0], [20, 15, 3, 3])
    long = Aligned(one.utterance, phones, segments(phones, phones), 1.0)
    found = pairs(AlignedSpeech(speech.inventory, speech.frontend, (long,)))
    assert dict(found) == {(2, 0): [(0, 2)]}


def test_a_phone_frame_begins_half_a_frame_before_its_window_s_middle(speech: AlignedSpeech) -> None:
    assert speech.sample(0) == 40
    assert speech.sample(1.5) == 40 + 480
    other = AlignedSpeech(speech.inventory, FrontendConfig(hop_ms=8, window_ms=32), speech.utterances)
    assert other.sample(2) == 2 * 256 + (512 - 256) // 2


def test_segments_are_the_runs_of_a_place() -> None:
    phones, places = np.array([0, 0, 4, 4, 4, 2]), np.array([0, 0, 1, 2, 2, 3])
    assert segments(phones, places) == (Segment(0, 0, 2), Segment(4, 2, 3), Segment(4, 3, 5), Segment(2, 5, 6))


def test_voices_are_as_far_apart_as_their_mean_spectra(speech: AlignedSpeech, pieces: Pieces) -> None:
    assert pieces.names == ("ann", "robert")
    distances = voice_distances(speech, pieces.number_of, 2)
    assert distances[0, 0] == distances[1, 1] == 0.0
    shapes = []
    for name in pieces.names:
        own = [one.utterance.features for one in speech.utterances if one.utterance.speaker == name]
        mean = np.mean([loud_mean(features) for features in own], axis=0)
        shapes.append(mean - mean.mean())
    assert distances[0, 1] == distances[1, 0] == pytest.approx(np.sqrt(((shapes[0] - shapes[1]) ** 2).mean()), rel=1e-5)
