"""A corpus of pieces: a manifest as any other, near phrases that never hold the phrase."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws.audio import read_audio
from kws.data import manifest
from kws.data.examples.pool import read_pool
from kws.data.manifest import Clip
from kws.data.phones.config import PhonesConfig
from kws.data.phones.corpus import make, slower
from kws.data.phones.inventory import SILENCE
from kws.data.phones.near import Target, holds, least_changed, near
from kws.data.phones.pieces import Pieces, Sound
from kws.data.phones.speech import AlignedSpeech
from kws.errors import KwsError

TARGETS = [Target("hey marvin", ((3, 1, 4, 2, 5), (3, 1, 4, 5, 2, 5)))]
OTHERS = [[1, 2, 1], [5, 4, 3, 2], [2, 3], [3, 1, 4, 2, 5, 1]]
CONFIG = PhonesConfig(pieces=6, near_pieces=5, kept_share=0.5, slowest=1.0)


@pytest.fixture(scope="module")
def pieces(speech: AlignedSpeech) -> Pieces:
    return Pieces(speech)


@pytest.fixture(scope="module")
def made(pieces: Pieces, tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    return manifest.read(make(pieces, TARGETS, OTHERS, CONFIG, tmp_path_factory.mktemp("corpus") / "pieces", seed=3))


def test_the_manifest_is_one_that_training_reads(made: list[Clip]) -> None:
    assert [clip.label for clip in made] == ["hey_marvin"] * 6 + ["neg_phrase"] * 5
    pool = read_pool(made, "hey marvin", "train")
    assert len(pool.positives) == 6
    assert len(pool.near) == 5
    for item in pool.positives:
        words = pool.keyword(item)
        samples = read_audio(Path(item.clip.path))
        assert [word.text for word in words] == ["hey", "marvin"]
        assert item.clip.duration_s == pytest.approx(len(samples) / 16000, abs=1e-4)
        loud = np.flatnonzero(np.abs(samples.astype(int)) > 0.05 * np.abs(samples.astype(int)).max()) / 16000
        assert words[0].start_s == pytest.approx(loud[0], abs=0.006)
        assert words[-1].end_s == pytest.approx(loud[-1], abs=0.006)


def test_a_clip_has_the_terms_of_all_its_pieces(made: list[Clip]) -> None:
    assert {clip.licence for clip in made} >= {"CC-ann + CC-robert"}
    for clip in made:
        assert clip.source == f"pieces of {clip.licence.replace('CC-', 'book of ')}"
        assert clip.speaker in ("pieces:ann", "pieces:robert")


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    pieces: Pieces, made: list[Clip], tmp_path: Path
) -> None:
    few = dataclasses.replace(CONFIG, pieces=2, near_pieces=2)

    def content(seed: int, folder: str) -> list[bytes]:
        clips = manifest.read(make(pieces, TARGETS, OTHERS, few, tmp_path / folder, seed))
        return [Path(clip.path).read_bytes() for clip in clips]

    first = content(3, "one")
    assert first == content(3, "two")
    assert first != content(4, "three")
    assert (tmp_path / "one/manifest.csv").read_bytes() == (tmp_path / "two/manifest.csv").read_bytes()


def test_a_relative_folder_will_do(pieces: Pieces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clips = manifest.read(make(pieces, TARGETS, OTHERS, PhonesConfig(pieces=1), Path("runs/pieces"), 0))
    assert [Path(clip.path).is_file() for clip in clips] == [True]


def test_the_best_joins_are_kept(pieces: Pieces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[float] = []
    choose = Pieces.choose

    def noted(self: Pieces, phones: list[int], rng: np.random.Generator) -> object:
        found = choose(self, phones, rng)
        costs.append(found[1] if found else np.inf)
        return found

    monkeypatch.setattr(Pieces, "choose", noted)
    kept: list[float] = []
    monkeypatch.setattr("kws.data.phones.corpus._write", lambda _, said, *rest: kept.append(said.cost))
    monkeypatch.setattr("kws.data.manifest.write", lambda clips, path: None)
    make(pieces, TARGETS, OTHERS, PhonesConfig(pieces=4, kept_share=0.25), tmp_path, 1)
    assert len(costs) == 16
    assert kept == sorted(costs)[:4]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), slowest=st.floats(1.0, 1.6), hz=st.integers(120, 300))
def test_a_slower_phrase_is_as_high_and_stands_where_it_is_said_to(seed: int, slowest: float, hz: int) -> None:
    tone = np.sin(np.arange(6000) * (2.0 * np.pi * hz / 16000.0)).astype(np.float32)
    silence = np.zeros(2000, np.float32)
    sound = slower(Sound(np.concatenate([silence, tone, silence]), 2000, 8000), slowest, np.random.default_rng(seed))
    ratio = len(sound.samples) / 10_000
    assert 1.0 <= ratio <= slowest + 1e-3
    assert [sound.begin, sound.end] == pytest.approx([2000 * ratio, 8000 * ratio], abs=2)
    loud = np.flatnonzero(np.abs(sound.samples) > 0.2)
    assert [loud[0], loud[-1]] == pytest.approx([sound.begin, sound.end], abs=400)
    inside = sound.samples[sound.begin + 400 : sound.end - 400]
    crossings = np.count_nonzero(np.diff(np.signbit(inside)))
    assert crossings / len(inside) * 8000 == pytest.approx(hz, rel=0.06)


def test_half_keep_their_pace_and_every_ratio_up_to_the_slowest_is_as_likely() -> None:
    rng = np.random.default_rng(0)
    still = Sound(np.zeros(1600, np.float32), 0, 1600)
    sounds = [slower(still, 1.5, rng) for _ in range(4000)]
    assert sum(sound is still for sound in sounds) == pytest.approx(2000, abs=150)
    ratios = np.sort([len(sound.samples) / 1600 for sound in sounds if sound is not still])
    assert np.interp([0.1, 0.5, 0.9], np.linspace(0, 1, len(ratios)), ratios) == pytest.approx(
        1.5 ** np.array([0.1, 0.5, 0.9]), 0.02
    )


def test_a_corpus_is_drawn_out_where_it_is_wanted(pieces: Pieces, made: list[Clip], tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, slowest=2.0)
    slow = manifest.read(make(pieces, TARGETS, OTHERS, config, tmp_path / "pieces", seed=3))
    ratios = [one.duration_s / other.duration_s for one, other in zip(slow, made, strict=True)]
    assert len(set(ratios)) > 1
    assert 1.0 <= min(ratios) <= max(ratios) <= 2.01
    for clip in slow:
        if clip.label == "hey_marvin":
            assert clip.kw_start_s is not None
            assert clip.kw_end_s is not None
            assert 0.0 <= clip.kw_start_s < clip.kw_end_s <= clip.duration_s


def test_a_phrase_that_cannot_be_said_has_no_clips(pieces: Pieces, tmp_path: Path) -> None:
    clips = manifest.read(make(pieces, [Target("oh", ((5, 5, 5),))], OTHERS, CONFIG, tmp_path / "a", 0))
    assert {clip.label for clip in clips} == {"neg_phrase"}
    assert manifest.read(make(pieces, [Target("oh", ())], OTHERS, CONFIG, tmp_path / "b", 0)) == []


def test_a_folder_that_cannot_be_written_is_said(pieces: Pieces, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KwsError, match="cannot be written"):
        make(pieces, TARGETS, OTHERS, CONFIG, tmp_path / "file" / "pieces", 0)


def distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Levenshtein's, as it is defined."""
    if not one or not other:
        return len(one) + len(other)
    change = distance(one[1:], other[1:]) + (one[0] != other[0])
    return min(change, distance(one[1:], other) + 1, distance(one, other[1:]) + 1)


def nearest(phones: tuple[int, ...], phrase: tuple[int, ...]) -> int:
    ends = range(len(phones) + 1)
    return min(distance(phones[a:b], phrase) for a in ends for b in ends if a <= b)


PHONES = st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple)


@settings(max_examples=60, deadline=None)
@given(phones=PHONES, phrase=PHONES)
def test_holds_is_a_stretch_s_edit_distance(phones: tuple[int, ...], phrase: tuple[int, ...]) -> None:
    assert holds(phones, phrase) == (nearest(phones, phrase) < least_changed(phrase))


@pytest.mark.parametrize("phrase", [(3, 1, 4, 2, 5), (3, 1), (4,)])
def test_near_never_holds_the_phrase_and_is_often_like_it(phrase: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    found = [near([Target("x", (phrase,))], [*OTHERS, list(phrase)], 6, rng) for _ in range(300)]
    made = [one for one in found if one is not None]
    assert len(made) > 250
    for one in made:
        assert all(one[at : at + len(phrase)] != phrase for at in range(len(one)))
        assert nearest(one, phrase) >= least_changed(phrase)
    if len(phrase) > least_changed(phrase):
        assert any(one[: len(phrase) - 2] == phrase[: len(phrase) - 2] for one in made)


def test_near_has_parts_of_the_phrase_before_after_around_and_in_other_words() -> None:
    rng = np.random.default_rng(0)
    phrase, other = (1, 2, 3, 4, 5, 6), [11, 12, 13, 14, 15]
    found = {near([Target("x", (phrase,))], [other], 16, rng) for _ in range(400)}
    assert {(1, 2, 3, 4, 11, 12, 13, 14), (12, 13, 14, 15, 3, 4, 5, 6)} <= found
    assert {(1, 2, 11, 12, 5, 6), (12, 13, 14, 15, 3, 4, 11, 12, 13, 14), tuple(other)} <= found


def test_near_of_a_phrase_said_with_pauses_has_them_inside_alone() -> None:
    rng = np.random.default_rng(0)
    ways = ((1, 2, 3, 4, 5, 6), (1, 2, 3, SILENCE, 4, 5, 6))
    found = [near([Target("x", ways)], [[11, 12, 13, 14, 15]], 16, rng) for _ in range(400)]
    made = [one for one in found if one is not None]
    assert any(SILENCE in one for one in made)
    for one in made:
        assert SILENCE not in (one[0], one[-1])
        assert not holds([phone for phone in one if phone != SILENCE], ways[0])


def test_where_everything_is_the_phrase_there_is_nothing_near() -> None:
    assert near([Target("x", ((1,), (2,)))], [[1, 2]], 3, np.random.default_rng(0)) is None
    assert near([Target("x", ((1, 2),))], [], 3, np.random.default_rng(0)) is None
