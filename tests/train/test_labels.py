"""Targets: where in a clip which output should speak."""

import dataclasses

import numpy as np
import pytest
import torch

from kws.frontend import FrontendConfig
from kws.recipe.train import TrainConfig
from kws.train.labels import UNKNOWN, Labeller

FRONTEND = FrontendConfig()
WORDS = TrainConfig(loss="frame", edge_ms=0)
PHRASE = TrainConfig(label_before_ms=100, label_after_ms=200, label_guard_ms=50)


def labeller(
    config: TrainConfig, outputs: tuple[tuple[int, ...], ...] = ((1, 2),), unit: str = "words", **model: int
) -> Labeller:
    return Labeller(outputs, unit, config, FRONTEND, model.get("stride", 1), model.get("latency", 0))  # type: ignore[arg-type]


def spans(*clips: list[tuple[float, ...]]) -> torch.Tensor:
    rows = max(len(clip) for clip in clips)
    return torch.tensor([[*clip, *[(-1.0,) * 4] * (rows - len(clip))] for clip in clips])


HEY_MARVIN = spans([(0, 0, 0.1, 0.2), (0, 1, 0.2, 0.25)])


def centres(frames: int) -> torch.Tensor:
    return (torch.arange(frames) * 160 + 200) / 16000


def test_a_frame_belongs_to_the_word_that_its_centre_lies_in() -> None:
    labels = labeller(WORDS)(HEY_MARVIN, 98).labels[0]
    times = centres(98)
    assert torch.equal(labels == 1, (times >= 0.1) & (times < 0.2))
    assert torch.equal(labels == 2, (times >= 0.2) & (times < 0.25))
    assert torch.equal(labels == 0, (times < 0.1) | (times >= 0.25))


def test_labels_come_late_and_what_is_before_the_clip_is_unknown() -> None:
    early, late = labeller(WORDS)(HEY_MARVIN, 98).labels[0], labeller(WORDS, latency=7)(HEY_MARVIN, 98).labels[0]
    assert late[:7].tolist() == [UNKNOWN] * 7
    assert torch.equal(late[7:], early[:-7])


def test_edges_of_words_are_unknown_on_both_sides() -> None:
    clear = labeller(WORDS)(HEY_MARVIN, 98).labels[0]
    labels = labeller(dataclasses.replace(WORDS, edge_ms=20))(HEY_MARVIN, 98).labels[0]
    changes = np.flatnonzero(np.diff(clear.numpy())) + 1
    unknown = {frame for change in changes for frame in range(change - 2, change + 2)}
    assert set(np.flatnonzero(labels.numpy() == UNKNOWN).tolist()) == unknown
    known = labels != UNKNOWN
    assert torch.equal(labels[known], clear[known])


def test_outputs_of_a_model_with_a_stride_are_about_the_last_frame_that_they_take_less_the_latency() -> None:
    all_frames = labeller(WORDS)(HEY_MARVIN, 99).labels[0]
    strided = labeller(WORDS, stride=3, latency=4)(HEY_MARVIN, 99).labels[0]
    about = [(n + 1) * 3 - 1 - 4 for n in range(33)]
    assert strided.tolist() == [UNKNOWN if frame < 0 else int(all_frames[frame]) for frame in about]


def test_sampled_targets_are_those_of_every_nth_output() -> None:
    targets = labeller(PHRASE, ((1, 1),), "phrase")(HEY_MARVIN, 98)
    some = targets.sampled(4, 3)
    assert torch.equal(some.labels, targets.labels[:, 3::4])
    assert torch.equal(some.inside, targets.inside[:, :, 3::4])


def test_a_phrase_is_labelled_around_its_end_and_nothing_is_asked_beside_that() -> None:
    targets = labeller(PHRASE, ((1, 1),), "phrase")(HEY_MARVIN, 98)
    times, labels = centres(98), targets.labels[0]
    inside = (times >= 0.15) & (times < 0.45)
    assert torch.equal(labels == 1, inside)
    assert torch.equal(labels == UNKNOWN, (times >= 0.1) & (times < 0.5) & ~inside)
    assert targets.keywords.tolist() == [[0, 1]]  # the phrase's first word has no window
    assert torch.equal(targets.inside[0, 1], inside)


def test_max_pooling_gives_each_word_a_window_around_its_end() -> None:
    config = dataclasses.replace(PHRASE, loss="max_pool", label_before_ms=10, label_after_ms=30)
    targets = labeller(config)(HEY_MARVIN, 98)
    times = centres(98)
    assert targets.keywords.tolist() == [[1, 2]]
    assert torch.equal(targets.inside[0, 0], (times >= 0.19) & (times < 0.23))
    assert torch.equal(targets.inside[0, 1], (times >= 0.24) & (times < 0.28))


def test_several_phrases_share_words_and_clips_differ_in_how_many_they_hold() -> None:
    make = labeller(WORDS, ((1, 2), (1, 3)))
    both = spans([(1, 0, 0.1, 0.2), (1, 1, 0.2, 0.3)], [], [(0, 1, 0.5, 0.6)])
    labels = make(both, 98).labels
    assert [sorted(set(row.tolist())) for row in labels] == [[0, 1, 3], [0], [0, 2]]
    whole = labeller(PHRASE, ((1, 1), (2,)), "phrase")(spans([(1, 0, 0.3, 0.4)], [(0, 0, 0.3, 0.4)]), 98)
    assert whole.keywords.tolist() == [[2], [0]]
    assert set(whole.labels[1].tolist()) == {0}


@pytest.mark.parametrize("frames", [0, 2, 3])
def test_a_batch_of_negatives_is_all_filler(frames: int) -> None:
    targets = labeller(WORDS, stride=3)(torch.zeros(2, 0, 4), frames)
    assert targets.labels.tolist() == [[0] * (frames // 3)] * 2
    assert targets.inside.shape == (2, 0, frames // 3)
