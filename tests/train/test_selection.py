"""Held-out streams and the choice among states: the same figures as the evaluation's, on clips that training lacks."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from kws.audio import write_audio
from kws.compress.quantize.calibrate import quantized_input
from kws.data.manifest import Clip
from kws.data.transcripts import Utterance
from kws.errors import KwsError
from kws.frontend import FrontendConfig
from kws.models.layers import Relu, Sequential, TimeConv
from kws.recipe import Recipe
from kws.recipe.train import TrainConfig
from kws.streams.layout import Event, Layout, Span
from kws.streams.metrics import Trace
from kws.streams.noise import active_power, with_built_in_noise
from kws.streams.sweep import NEVER, best, det_curve
from kws.train import selection
from kws.train.fit.loop import Task
from kws.train.held_out import HeldOutStream, held_out_streams
from kws.train.recipe_data import Domain
from kws.train.run import build_model
from kws.train.selection import GroupRates, judge, streamed, sweep

RATE = 16000
FRONTEND = FrontendConfig(bands=16)
FEW = TrainConfig(dev_positives=10, dev_hours=0.01)


def trace(rng: np.random.Generator, words: int, seconds: float = 60.0) -> Trace:
    """A minute of random confidences with ``words`` events in it; the words are a little louder."""
    starts = np.arange(words) * 4.0 + 2.0
    events = tuple(Event(f"{n}.wav", "ann", start, start + 0.6) for n, start in enumerate(starts.tolist()))
    scores = rng.integers(0, 20000, int(seconds * 20)).astype(np.int32)
    for start in starts.tolist():
        scores[int(start * 20) + 10] += int(rng.integers(0, 12000))
    layout = Layout("s", "computer", seconds, (Span("x.wav", "ann", 0.0, seconds),), events)
    return Trace(layout, scores, 0.05, 0.05)


def test_a_sweep_counts_what_the_evaluation_counts() -> None:
    rng = np.random.default_rng(0)
    clean, noisy, negatives = ([trace(rng, words) for _ in range(3)] for words in (5, 8, 0))
    points = sweep({"clean": clean, "noise": noisy}, negatives, refractory_steps=20)
    curve = det_curve([*clean, *noisy], negatives, 20, selection.THRESHOLDS_AT_MOST)
    never = points.pop()
    assert (never.threshold, never.false_reject_rate, never.false_accepts_per_hour) == (NEVER, 1.0, 0.0)
    assert [point.threshold for point in points] == [point.threshold for point in curve]
    for mine, theirs in zip(points, curve, strict=True):
        assert mine.false_accepts_per_hour == pytest.approx(theirs.false_accepts_per_hour)
        missed = mine.groups["clean"] * 15 + mine.groups["noise"] * 24
        assert missed == pytest.approx(theirs.misses)
        assert mine.false_reject_rate == pytest.approx((mine.groups["clean"] + mine.groups["noise"]) / 2)


def test_states_are_compared_over_octaves_of_the_wanted_rate() -> None:
    points = [GroupRates(100 * n, 16.0 / 2.0**n, {"": 0.1 * n}) for n in range(1, 8)]
    found = judge(points, 1.0)
    assert (found.threshold, found.false_accepts_per_hour) == (400, 1.0)
    assert found.false_reject_rate == pytest.approx(0.4)
    assert found.mean_false_reject_rate == pytest.approx(np.mean([0.6, 0.5, 0.4, 0.3, 0.2]))


def test_of_equal_thresholds_the_middle_one_and_never_firing_where_no_other_keeps_the_rate() -> None:
    never = GroupRates(NEVER, 0.0, {"": 1.0})
    equals = [GroupRates(threshold, 0.0, {"": 0.2}) for threshold in (10, 20, 30)]
    assert best([*equals, never], 1.0).threshold == 20
    loud = judge([GroupRates(10, 5.0, {"": 0.0}), never], 1.0)
    assert (loud.threshold, loud.false_reject_rate) == (NEVER, 1.0)


def test_chunks_give_what_the_whole_stream_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    model = Sequential([TimeConv(16, 8, 5, 2, generator=generator), Relu(), TimeConv(8, 3, 3, generator=generator)])
    features = torch.randint(0, 5000, (301, 16), generator=generator, dtype=torch.int16)
    monkeypatch.setattr(selection, "CHUNK_FRAMES", 51)
    with torch.no_grad():
        whole = model(quantized_input(features[None, :300]))[0]
    assert torch.allclose(streamed(model, features), whole, atol=1e-5)


Corpus = Callable[..., Domain]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Clips of noise bursts: a number for each label and split."""

    def make(name: str, **labels: int) -> Domain:
        rng = np.random.default_rng(len(name))
        clips = []
        for split in ("train", "dev", "test"):
            for label, count in labels.items():
                for number in range(count if split == "dev" else min(count, 2)):
                    path = tmp_path / f"{name}_{split}_{label}_{number}.wav"
                    write_audio(path, rng.integers(-3000, 3000, 12000).astype(np.int16))
                    clips.append(Clip(str(path), split, label, f"{split} ann", name, "CC0", 0.75, 0.1, 0.6))
        return Domain(name, tuple(clips))

    return make


def lay(domains: Sequence[Domain], config: TrainConfig = FEW, **options: object) -> list[HeldOutStream]:
    phrases, said = options.get("phrases", ("computer",)), options.get("said", {})
    return held_out_streams(domains, phrases, said, FRONTEND, config, 0)  # type: ignore[arg-type]


def paths(streams: Sequence[HeldOutStream], index: int = 0) -> list[str]:
    return [span.path for stream in streams if index in stream.layouts for span in stream.layouts[index].spans]


def test_streams_hold_held_out_clips_alone_half_clean_and_half_with_noise(corpus: Corpus) -> None:
    domain = corpus("synthesis", computer=12, neg_speech=50, neg_phrase=5)
    streams = lay([domain])
    assert all("_dev_" in path and "neg_phrase" not in path for path in paths(streams))
    assert not any(stream.layouts[0].events for stream in streams if not stream.group)
    groups = [(stream.group, len(stream.layouts[0].events)) for stream in streams if stream.group]
    assert groups == [("synthesis, clean", 5), ("synthesis, noise", 5)]
    heard_s = 3600 * sum(stream.layouts[0].hours for stream in streams if not stream.group)
    assert heard_s == pytest.approx(36.0, abs=1.0)
    levels = [stream.features.float().mean().item() for stream in streams[:2]]
    assert levels[1] > levels[0] + 512  # noise fills the gaps


def test_streams_are_the_same_every_time_and_others_with_another_seed(corpus: Corpus) -> None:
    domain = corpus("synthesis", computer=12, neg_speech=50)
    one, two = lay([domain]), lay([domain])
    assert all(torch.equal(a.features, b.features) for a, b in zip(one, two, strict=True))
    other = held_out_streams([domain], ("computer",), {}, FRONTEND, FEW, seed=1)
    assert paths(other) != paths(one)


def test_each_origin_is_a_group_and_few_recordings_are_heard_both_ways(corpus: Corpus) -> None:
    domains = [corpus("synthesis", computer=30, neg_speech=6), corpus("mine", computer=2, neg_speech=6)]
    streams = lay(domains, dataclasses.replace(FEW, dev_positives=20))
    groups = {stream.group: len(stream.layouts[0].events) for stream in streams if stream.group}
    assert groups == {"synthesis, clean": 5, "synthesis, noise": 5, "mine, clean": 2, "mine, noise": 2}
    namesake = Domain("synthesis", corpus("more", computer=2).clips)  # as another folder of the same name
    both = lay([domains[0], namesake], dataclasses.replace(FEW, dev_positives=40))
    assert sum(len(stream.layouts[0].events) for stream in both if stream.group) == 32


def test_enough_recordings_judge_alone(corpus: Corpus) -> None:
    spoken, few, enough = (
        corpus(name, computer=count, neg_speech=6) for name, count in (("a", 6), ("b", 19), ("c", 20))
    )
    for recorded, groups in ((few, {"a", "b"}), (enough, {"c"})):
        streams = lay([spoken, dataclasses.replace(recorded, recorded=True)])
        assert {stream.group.split(",")[0] for stream in streams if stream.group} == groups
    unmarked = {stream.group.split(",")[0] for stream in lay([spoken, enough]) if stream.group}
    assert unmarked == {"a", "c"}
    negatives = [stream for stream in lay([spoken, dataclasses.replace(enough, recorded=True)]) if not stream.group]
    assert {Path(path).name[0] for path in paths(negatives)} == {"a", "c"}, "all other speech counts"


def test_a_folder_of_recordings_may_be_called_as_synthetic_speech_is(corpus: Corpus) -> None:
    spoken = corpus("synthesis", computer=6, neg_speech=6)
    few, enough = (
        Domain("synthesis", corpus(name, computer=count).clips, recorded=True)
        for name, count in (("few", 8), ("enough", 20))
    )
    groups = {stream.group: len(stream.layouts[0].events) for stream in lay([spoken, few]) if stream.group}
    assert set(groups) == {
        *("synthesis, clean", "synthesis, noise"),
        *("recordings in synthesis, clean", "recordings in synthesis, noise"),
    }
    judged = [path for stream in lay([spoken, enough]) if stream.group for path in paths([stream])]
    assert judged
    assert all("enough_" in path for path in judged)


def test_the_splits_own_noise_is_taken_where_there_is_some(corpus: Corpus) -> None:
    plain, noisy = corpus("synthesis", computer=4, neg_speech=6), corpus("noises", noise=1, neg_speech=0)
    generated, recorded = lay([plain]), lay([plain, noisy])
    assert not torch.equal(generated[1].features, recorded[1].features)
    assert torch.equal(generated[0].features, recorded[0].features)


def test_built_in_noise_is_ten_decibels_below_the_speech() -> None:
    rng = np.random.default_rng(0)
    samples = np.zeros(20 * RATE, np.int16)
    samples[4 * RATE : 6 * RATE] = rng.integers(-3000, 3000, 2 * RATE)
    noise = with_built_in_noise(samples, [(4 * RATE, 6 * RATE)], 10.0, rng).astype(np.float64) - samples
    speech = active_power(samples[4 * RATE : 6 * RATE])
    assert 10 * np.log10(speech / np.mean(noise**2)) == pytest.approx(10.0, abs=0.5)


def test_several_phrases_have_streams_of_their_own_and_share_other_speech(corpus: Corpus) -> None:
    domain = corpus("synthesis", computer=6, alexa=6, neg_speech=6)
    first = next(clip.path for clip in domain.clips if clip.split == "dev" and clip.label == "neg_speech")
    said = {first: (Utterance(0.2, 0.5, "oh, Alexa!"),)}
    streams = lay([domain], phrases=("computer", "alexa"), said=said)
    assert any("computer" in path for path in paths(streams, 0))
    assert any("alexa" in path for path in paths(streams, 1))
    assert not any("alexa" in path for path in paths(streams, 0))
    assert not any("computer" in path for path in paths(streams, 1))
    shared = [stream for stream in streams if not stream.group]
    assert all(set(stream.layouts) == {0, 1} for stream in shared)
    assert [sum(len(stream.layouts[index].ignored) for stream in shared) for index in (0, 1)] == [0, 1]


def test_a_label_that_holds_a_phrase_is_no_negative_of_it_here_as_in_the_evaluation(corpus: Corpus) -> None:
    """Without ordinary speech all other clips are negatives, but "hey_alexa" says "alexa"."""
    domain = corpus("a", computer=2, alexa=2, hey_alexa=4, music_on=4)
    shared = [stream for stream in lay([domain], phrases=("computer", "alexa")) if not stream.group]
    held = {
        Path(span.path).name.split("_dev_")[1][:5]: set(one.layouts) for one in shared for span in one.layouts[0].spans
    }
    assert held == {"hey_a": {0}, "music": {0, 1}}


def test_missing_clips_are_named(corpus: Corpus) -> None:
    with pytest.raises(KwsError, match="no dev clip of 'computer'"):
        lay([corpus("a", neg_speech=2)])
    with pytest.raises(KwsError, match="without the phrase"):
        lay([corpus("b", computer=2)])


def test_a_trial_says_what_the_detector_would_do(make_task: Callable[..., Task], tiny: Recipe, tmp_path: Path) -> None:
    """A model that knows nothing misses all that a threshold for few false accepts lets through."""
    held_out = make_task(tmp_path).held_out
    assert held_out is not None
    found = held_out.trial(build_model(tiny).eval(), 7)
    assert found.step == 7
    assert found.false_accepts_per_hour <= tiny.train.select_false_accepts_per_hour
    assert 0.3 < found.false_reject_rate <= 1.0
    assert found.false_reject_rate == pytest.approx(np.mean(list(found.groups.values())))
    assert len(found.thresholds) == 1
    assert found.loss > 0.0
