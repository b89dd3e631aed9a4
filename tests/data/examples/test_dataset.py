"""Clips to labelled examples to batches."""

import dataclasses
import gc
import multiprocessing
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.data.augment import AugmentConfig
from kws.data.dataset import Dataset, Prefetch
from kws.data.examples.clip_file import shared
from kws.data.examples.draw import KINDS, ExampleConfig, draw_example
from kws.data.examples.pool import ClipPool, Item, kind, read_pool
from kws.data.examples.prefetch import Backend
from kws.data.manifest import Clip, Word
from kws.data.phrases import locate, phrase_words
from kws.errors import KwsError
from kws.frontend import FrontendConfig, compute

RATE = 16000
PLAIN = dataclasses.replace(AugmentConfig.off(), level_share=1.0, level_dbfs_min=-20.0, level_dbfs_max=-20.0)
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
        centres = (np.arange(len(lfbe)) * frontend.hop_samples + frontend.window_samples / 2) / RATE
        labels = np.zeros(len(lfbe), np.int64)
        for _, word, start_s, end_s in example.words:
            labels[(centres >= start_s) & (centres < end_s)] = word + 1
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
        (_, _, start_s, end_s), (_, _, second_s, last_s) = example.words
        assert end_s == pytest.approx(second_s)
        active = np.flatnonzero(np.abs(example.samples.astype(int)) > 500) / RATE
        assert active[0] == pytest.approx(start_s, abs=0.01)
        assert active[-1] == pytest.approx(last_s, abs=0.01)


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
        begin = int(example.words[0][2] * RATE)
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
    (features, spans, kind_drawn), (again, spans_again, kind_again) = fresh.example(7), used.example(7)
    assert np.array_equal(features, again)
    assert np.array_equal(spans, spans_again)
    assert kind_drawn == kind_again
    assert not np.array_equal(fresh.example(7)[0], fresh.example(8)[0])
    assert not np.array_equal(fresh.example(7)[0], dataset(pool, seed=2).example(7)[0])


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "workers"), [("threads", 0), ("threads", 4), ("processes", 2)])
def test_batches_do_not_depend_on_who_draws_them(
    pool: ClipPool, tmp_path: Path, backend: Backend, workers: int
) -> None:
    with shared(pool, tmp_path) as mapped:
        prefetch = Prefetch(dataset(mapped), clips=3, first=2, last=11, workers=workers, backend=backend)
        batches = list(prefetch)
    assert len(batches) == 9
    assert prefetch.waited_s > 0.0
    for number, batch in enumerate(batches, 2):
        alone = dataset(pool).batch(number, 3)
        assert torch.equal(batch.features, alone.features)
        assert torch.equal(batch.spans, alone.spans)
        assert batch.kinds == alone.kinds
        batch.features.add_(1)  # it is the consumer's own
    assert batches[0].features.dtype == torch.int16
    assert batches[0].features.shape == (3, 238, 40)
    assert batches[0].spans.shape[::2] == (3, 4)


def test_ranks_together_have_the_batch_of_one(pool: ClipPool) -> None:
    whole = dataset(pool).batch(5, 7)
    parts = [dataset(pool).batch(5, 7, rank, 3) for rank in range(3)]
    assert [len(part.kinds) for part in parts] == [2, 2, 3]
    assert torch.equal(torch.cat([part.features for part in parts]), whole.features)
    assert sum((part.kinds for part in parts), ()) == whole.kinds
    ahead = list(Prefetch(dataset(pool), 7, 5, 6, workers=1, rank=2, world=3))
    assert torch.equal(ahead[0].features, parts[2].features)
    with pytest.raises(ValueError, match="rank must be 0 to 1"):
        dataset(pool).batch(0, 7, 2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_whoever_prepares_batches_ends_when_the_iteration_is_left(pool: ClipPool, backend: Backend) -> None:
    def begin_and_leave() -> None:
        for _ in Prefetch(dataset(pool), clips=2, first=0, last=1000, workers=2, backend=backend):
            break
        gc.collect()

    begin_and_leave()  # Python keeps a small block of shared memory for the next to come; a second one would be a leak
    others, before = threading.active_count(), open_files()
    begin_and_leave()
    assert not multiprocessing.active_children()
    assert threading.active_count() == others
    assert not [name for name in open_files() - before if "pym-" in name]


def open_files() -> set[str]:
    """The files and shared memory that this process has open, and what has a name in /dev/shm."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return set()
    links = {os.readlink(link) for link in folder.iterdir() if link.is_symlink() or link.exists()}
    return links | {path.name for path in Path("/dev/shm").iterdir()}


def test_few_examples_are_drawn_by_threads(pool: ClipPool) -> None:
    for _ in Prefetch(dataset(pool), clips=2, first=0, last=3, workers=2):
        assert not multiprocessing.active_children()


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_an_error_reaches_the_consumer(clips: list[Clip], tmp_path: Path, backend: Backend) -> None:
    gone = clip(tmp_path / "gone.wav", "neg_speech", "gone")
    broken = read_pool([clips[0], gone], "hey marvin", "train")
    with pytest.raises(KwsError, match=r"gone\.wav"):
        list(Prefetch(dataset(broken), clips=8, first=0, last=4, workers=2, backend=backend))
    assert not multiprocessing.active_children()


def test_a_long_recording_costs_no_more_than_a_short_one(clips: list[Clip], tmp_path: Path) -> None:
    """An hour of speech in one file: only what the window holds is touched."""
    long = read_pool([clips[0], clip(tmp_path / "long.wav", "neg_speech", "good morning")], "hey marvin", "train")
    hour = np.tile(tone(300, 1.0), 3600)

    class Store:
        def read(self, item: Item) -> NDArray[np.int16]:
            return hour if item.clip.path.endswith("long.wav") else tone(1000, 1.0)

    drawn = dataset(dataclasses.replace(long, sounds=Store()))
    drawn.example(0)
    began = time.process_time()
    drawn.batch(0, 20)
    assert time.process_time() - began < 1.0  # one look at the whole hour takes more than that


def test_clips_are_sorted_by_what_they_are_to_the_phrase(tmp_path: Path) -> None:
    def group(label: str, text: str = "", times: tuple[float, float] | None = None) -> str:
        start, end = times or (None, None)
        one = Clip("a.wav", "train", label, "", "", "", 1.0, start, end, text=text)
        return kind(one, "computer")

    assert group("computer") == group("sentence:computer", times=(0.1, 0.5)) == "positives"
    assert group("neg_phrase", "commuter") == "near"
    assert group("neg_speech", "good day") == group("alexa") == group("neg_word") == "speech"
    assert group("noise") == group("music") == "noise"
    assert group("array") == ""
    assert group("rir") == "rooms"
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


def test_speech_is_drawn_by_its_length_not_by_its_files() -> None:
    long, short = (
        Clip(f"{name}.wav", "train", "neg_speech", "", "", "", seconds) for name, seconds in (("a", 60.0), ("b", 2.0))
    )
    speech = (Item(0, long), *(Item(index, short) for index in range(1, 31)))
    pool = ClipPool((("no",),), (), (), speech, ())
    rng = np.random.default_rng(0)
    share = np.mean([pool.any_speech(rng).clip is long for _ in range(2000)])
    assert share == pytest.approx(0.5, abs=0.05)
