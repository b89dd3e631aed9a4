"""Clips to labelled examples to batches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.data.augment import AugmentConfig
from kws.data.dataset import Dataset, Prefetch
from kws.data.examples import KINDS, Example, ExampleConfig, draw_example, frame_labels
from kws.data.manifest import Clip, Word
from kws.data.pool import ClipPool, kind, locate, loud_span, phrase_words, read_pool
from kws.errors import KwsError
from kws.frontend import FrontendConfig, compute

RATE = 16000
PLAIN = AugmentConfig(
    noise_share=0.0, clip_share=0.0, speed_percent=0.0, tilt_db_per_octave=0.0, equalizer_db=0.0, band_limit_share=0.0,
    room_share=0.0, level_dbfs_min=-20.0, level_dbfs_max=-20.0,
)  # fmt: skip
ONLY_POSITIVES = ExampleConfig(
    cut_weight=0, near_weight=0, speech_weight=1e-9, noise_weight=0, before_share=0, after_share=0
)


def tone(hertz: float, seconds: float) -> NDArray[np.int16]:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.int16)


def clip(path: Path, label: str, text: str = "", words: tuple[Word, ...] = (), split: str = "train") -> Clip:
    return Clip(str(path), split, label, "ann", "made", "CC0", 1.0, text=text, words=words)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """The phrase is 0.3 s at 1 kHz, then 0.3 s at 2 kHz; other speech is at 300 Hz, near phrases at 1 kHz alone."""
    folder = tmp_path_factory.mktemp("clips")
    silence = np.zeros(RATE // 5, np.int16)
    phrase = np.concatenate([silence, tone(1000, 0.3), tone(2000, 0.3), silence])
    sounds = {"phrase": phrase, "speech": tone(300, 1.0), "near": tone(1000, 0.3), "noise": tone(5000, 2.0)}
    for name, samples in sounds.items():
        write_audio(folder / f"{name}.wav", samples)
    words = (Word("hey", 0.2, 0.5), Word("Marvin", 0.5, 0.8))
    return [
        clip(folder / "phrase.wav", "hey_marvin", "hey Marvin", words),
        clip(folder / "near.wav", "neg_phrase", "hey"),
        clip(folder / "speech.wav", "neg_speech", "good morning"),
        clip(folder / "noise.wav", "noise"),
    ]


@pytest.fixture(scope="module")
def pool(clips: list[Clip]) -> ClipPool:
    return read_pool(clips, "Hey, Marvin!", "train")


def dataset(pool: ClipPool, seed: int = 1, examples: ExampleConfig | None = None) -> Dataset:
    return Dataset(pool, FrontendConfig(), examples or ExampleConfig(), AugmentConfig(), (seed, 0))


def test_labels_stand_where_the_words_sound(pool: ClipPool) -> None:
    """Each frame's label says which tone is in the middle of its window."""
    frontend = FrontendConfig()
    bands_hz = np.array(frontend.band_edges_hz[1:-1])
    for seed in range(20):
        example = draw_example(pool, ONLY_POSITIVES, PLAIN, np.random.default_rng(seed))
        lfbe = compute(example.samples, frontend)
        labels = frame_labels(example, len(lfbe), frontend.window_samples, frontend.hop_samples)
        assert {0, 1, 2} == set(labels.tolist())
        inner = np.flatnonzero((labels[1:-1] > 0) & (labels[:-2] == labels[2:])) + 1
        loudest_hz = bands_hz[lfbe[inner].argmax(axis=1)]
        assert np.abs(loudest_hz / (1000.0 * labels[inner]) - 1.0).max() < 0.1
        assert abs(int((labels == 1).sum()) - 30) <= 1
        outside = np.flatnonzero((labels[2:-2] == 0) & (labels[:-4] == 0) & (labels[4:] == 0)) + 2
        assert lfbe[outside].max() < lfbe[inner].max() - 512 * 6


def test_speed_moves_the_labels_too(pool: ClipPool) -> None:
    fast = AugmentConfig(**{**vars(PLAIN), "speed_percent": 40.0})
    for seed in range(20):
        example = draw_example(pool, ONLY_POSITIVES, fast, np.random.default_rng(seed))
        (_, start_s, end_s), (_, second_s, last_s) = example.words
        assert end_s == pytest.approx(second_s)
        active = np.flatnonzero(np.abs(example.samples.astype(int)) > 500) / RATE
        assert active[0] == pytest.approx(start_s, abs=0.01)
        assert active[-1] == pytest.approx(last_s, abs=0.01)


def test_a_frame_belongs_to_the_word_that_its_centre_lies_in() -> None:
    example = Example(np.zeros(RATE, np.int16), ((0, 0.1, 0.2), (1, 0.2, 0.25)), "positive")
    labels = frame_labels(example, 98, 400, 160)
    centres = (np.arange(98) * 160 + 200) / RATE
    assert np.array_equal(labels == 1, (centres >= 0.1) & (centres < 0.2))
    assert np.array_equal(labels == 2, (centres >= 0.2) & (centres < 0.25))


def test_a_cut_phrase_is_filler_and_not_whole(pool: ClipPool) -> None:
    cut = ExampleConfig(
        positive_weight=1e-9,
        cut_weight=1.0,
        near_weight=0,
        speech_weight=1e-9,
        noise_weight=0,
        before_share=0,
        after_share=0,
    )
    for seed in range(20):
        example = draw_example(pool, cut, PLAIN, np.random.default_rng(seed))
        assert example.kind == "cut"
        assert example.words == ()
        active = np.flatnonzero(np.abs(example.samples.astype(int)) > 500)
        assert 0.1 * RATE < active[-1] - active[0] < 0.4 * RATE


def test_other_speech_often_stands_beside_a_positive(pool: ClipPool) -> None:
    """Else the silence around it would give the phrase away."""
    config = ExampleConfig(
        cut_weight=0, near_weight=0, speech_weight=1e-9, noise_weight=0, before_share=1.0, after_share=1.0
    )
    beside = 0
    for seed in range(40):
        example = draw_example(pool, config, PLAIN, np.random.default_rng(seed))
        begin = int(example.words[0][1] * RATE)
        beside += bool(
            np.abs(example.samples[max(begin - 9600, 0) : max(begin - 400, 0)].astype(int)).max(initial=0) > 500
        )
    assert beside >= 30


def test_every_kind_comes_as_often_as_its_weight(pool: ClipPool) -> None:
    rng = np.random.default_rng(0)
    kinds = [draw_example(pool, ExampleConfig(), PLAIN, rng).kind for _ in range(600)]
    for name in KINDS:
        weight = getattr(ExampleConfig(), f"{name}_weight")
        assert kinds.count(name) / 600 == pytest.approx(weight, abs=0.06)


def test_example_n_is_the_same_whatever_came_before(pool: ClipPool) -> None:
    fresh, used = dataset(pool), dataset(pool)
    used.batch(0, 4)
    (features, labels, kind_drawn), (again, labels_again, kind_again) = fresh.example(7), used.example(7)
    assert np.array_equal(features, again)
    assert np.array_equal(labels, labels_again)
    assert kind_drawn == kind_again
    assert not np.array_equal(fresh.example(7)[0], fresh.example(8)[0])
    assert not np.array_equal(fresh.example(7)[0], dataset(pool, seed=2).example(7)[0])


def test_batches_do_not_depend_on_the_number_of_threads(pool: ClipPool) -> None:
    alone = list(Prefetch(dataset(pool), clips=3, first=2, last=9, workers=1))
    several = list(Prefetch(dataset(pool), clips=3, first=2, last=9, workers=4))
    assert len(alone) == len(several) == 7
    for number, (one, two) in enumerate(zip(alone, several, strict=True), 2):
        assert torch.equal(one.features, two.features)
        assert torch.equal(one.labels, two.labels)
        assert torch.equal(one.features, dataset(pool).batch(number, 3).features)
    assert alone[0].features.dtype == torch.int16
    assert alone[0].features.shape == (3, 238, 40)
    assert alone[0].labels.shape == (3, 238)


def test_an_error_in_a_thread_reaches_the_consumer(clips: list[Clip], tmp_path: Path) -> None:
    gone = clip(tmp_path / "gone.wav", "neg_speech", "gone")
    broken = read_pool([clips[0], gone], "hey marvin", "train")
    with pytest.raises(KwsError, match=r"gone\.wav"):
        list(Prefetch(dataset(broken), clips=8, first=0, last=4, workers=2))


def test_clips_are_sorted_by_what_they_are_to_the_phrase(tmp_path: Path) -> None:
    def group(label: str, text: str = "", times: tuple[float, float] | None = None) -> str:
        start, end = times or (None, None)
        one = Clip("a.wav", "train", label, "", "", "", 1.0, start, end, text=text)
        return kind(one, "computer", ("computer",))

    assert group("computer") == group("sentence:computer", times=(0.1, 0.5)) == "positives"
    assert group("neg_phrase", "commuter") == "near"
    assert group("neg_speech", "good day") == group("alexa") == group("neg_word") == "speech"
    assert group("noise") == group("music") == "noise"
    assert group("rir") == group("array") == ""
    # What holds the phrase is no negative.
    assert group("hey_computer") == group("sentence:computer") == group("neg_speech", "My computer, again") == ""
    assert group("neg_speech", "computers") == "speech"


def test_word_times_come_from_the_best_that_is_known() -> None:
    samples = np.concatenate([np.zeros(RATE // 2, np.int16), tone(500, 0.8), np.zeros(RATE // 2, np.int16)])
    words = ("hey", "marvin")
    timed = Clip(
        "",
        "train",
        "hey_marvin",
        "",
        "",
        "",
        1.8,
        words=(Word("oh", 0.0, 0.1), Word("Hey", 0.2, 0.3), Word("Marvin", 0.3, 0.7)),
    )
    assert [word.end_s for word in locate(timed, words, samples)] == [0.3, 0.7]
    bounded = Clip("", "train", "hey_marvin", "", "", "", 1.8, 0.1, 1.0)
    found = locate(bounded, words, samples)
    assert [word.start_s for word in found] == pytest.approx([0.1, 0.4])
    assert [word.end_s for word in found] == pytest.approx([0.4, 1.0])
    bare = locate(Clip("", "train", "hey_marvin", "", "", "", 1.8), words, samples)
    assert bare[0].start_s == pytest.approx(0.5, abs=0.03)
    assert bare[-1].end_s == pytest.approx(1.3, abs=0.03)
    assert loud_span(np.zeros(RATE, np.int16)) == (0.0, 1.0)


def test_what_is_missing_is_named(clips: list[Clip]) -> None:
    with pytest.raises(KwsError, match="no train clip with label 'computer'"):
        read_pool(clips, "computer", "train")
    with pytest.raises(KwsError, match="no dev clip"):
        read_pool(clips, "hey marvin", "dev")
    with pytest.raises(KwsError, match="no train clip of other speech"):
        read_pool(clips[:1], "hey marvin", "train")
    with pytest.raises(KwsError, match="can be spoken"):
        phrase_words("!?")


@pytest.mark.parametrize(
    ("setting", "value"), [("window_ms", 10), ("positive_weight", 0.0), ("after_share", 2.0), ("near_weight", -1.0)]
)
def test_bounds_are_checked(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{setting} "):
        ExampleConfig(**{setting: value})  # type: ignore[arg-type]  # of two types
