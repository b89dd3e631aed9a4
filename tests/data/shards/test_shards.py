"""Shards: the bytes that any number of processes write, and what comes out of them again."""

import dataclasses
import io
import itertools
import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from kws.audio import write_audio
from kws.data.augment import AugmentConfig
from kws.data.dataset import Prefetch, ShardDataset
from kws.data.examples.batches import DrawnBatches
from kws.data.examples.draw import ExampleConfig
from kws.data.examples.pool import ClipPool, read_pool
from kws.data.manifest import Clip, Word
from kws.data.shards.stream import Sample, Share, read_shard, shuffled, stream
from kws.data.shards.write import INDEX, read_index, shard_name, write_shards
from kws.errors import KwsError
from kws.frontend import FrontendConfig

EXAMPLES, SHARDS = 23, 5
PLAIN = AugmentConfig.off()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> ClipPool:
    """Three clips of noise of different loudness, each by a speaker and under a licence of its own."""
    folder = tmp_path_factory.mktemp("clips")
    clips = []
    for label, speaker, licence in (("hey", "ann", "CC0"), ("neg_speech", "bob", "CC-BY"), ("noise", "", "MIT")):
        path = folder / f"{label}.wav"
        write_audio(path, np.random.default_rng(0).integers(-9000, 9000, 16000).astype(np.int16))
        words = (Word("hey", 0.2, 0.7),) if label == "hey" else ()
        clips.append(Clip(str(path), "train", label, speaker, f"by {speaker}", licence, 1.0, words=words))
    return read_pool(clips, "hey", "train")


@pytest.fixture(scope="module")
def drawn(pool: ClipPool) -> DrawnBatches:
    return DrawnBatches(pool, FrontendConfig(bands=8), ExampleConfig(window_ms=1000), PLAIN, (3, 0))


@pytest.fixture(scope="module")
def folder(drawn: DrawnBatches, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "one"
    assert write_shards(drawn, ["hey"], folder, EXAMPLES, SHARDS, processes=1) == folder / INDEX
    return folder


def names(folder: Path) -> list[str]:
    return [str(folder / shard_name(shard)) for shard in range(SHARDS)]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_processes_write_the_same_bytes(drawn: DrawnBatches, folder: Path, tmp_path: Path) -> None:
    write_shards(drawn, ["hey"], tmp_path / "two", EXAMPLES, SHARDS, processes=2)
    assert contents(tmp_path / "two") == contents(folder)
    assert set(contents(folder)) == {INDEX, *(Path(name).name for name in names(folder))}


def test_which_clips_are_recorded_matters_where_they_have_a_share(pool: ClipPool, tmp_path: Path) -> None:
    heard = dataclasses.replace(
        pool, positives=tuple(dataclasses.replace(item, recorded=True) for item in pool.positives)
    )
    for share, same in ((0.0, True), (0.3, False)):
        config = ExampleConfig(window_ms=1000, recorded_share=share)
        indexes = []
        for each, name in ((pool, "made"), (heard, "recorded")):
            drawn = DrawnBatches(each, FrontendConfig(bands=8), config, PLAIN, (3, 0))
            indexes.append(write_shards(drawn, ["hey"], tmp_path / f"{name}_{share}", 1, 1, processes=1).read_bytes())
        assert (indexes[0] == indexes[1]) is same


def test_a_broken_off_run_is_gone_on_with(drawn: DrawnBatches, folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / shard_name(1)).unlink()
    kept = broken / shard_name(2)
    os.utime(kept, ns=(0, 0))
    write_shards(drawn, ["hey"], broken, EXAMPLES, SHARDS, processes=1)
    assert contents(broken) == contents(folder)
    assert kept.stat().st_mtime_ns == 0
    write_shards(drawn, ["hey"], broken, EXAMPLES, SHARDS, processes=1)  # nothing is missing: nothing happens


def test_nothing_of_the_users_is_touched(drawn: DrawnBatches, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(KwsError, match="holds other files"):
        write_shards(drawn, ["hey"], tmp_path, EXAMPLES, SHARDS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(KwsError, match="another recipe, other clips or another number"):
        write_shards(drawn, ["hey"], folder, EXAMPLES + 1, SHARDS)
    with pytest.raises(KwsError, match="3 examples do not fill 4 shards"):
        write_shards(drawn, ["hey"], tmp_path / "new", 3, 4)
    assert not (tmp_path / "new").exists()
    with pytest.raises(KwsError, match=r"thesis\.txt: cannot be written"):
        write_shards(drawn, ["hey"], tmp_path / "thesis.txt", EXAMPLES, SHARDS)


def test_webdataset_would_find_what_it_expects(drawn: DrawnBatches, folder: Path) -> None:
    number = 0
    for name in names(folder):
        with tarfile.open(name) as tar:
            members = tar.getmembers()
            for place in range(0, len(members), 3):
                parts = {member.name.partition(".")[2]: member for member in members[place : place + 3]}
                assert {member.name.partition(".")[0] for member in parts.values()} == {f"{number:09d}"}
                features, spans, kind = drawn.example(number)
                read = {ending: tar.extractfile(member).read() for ending, member in parts.items()}  # type: ignore[union-attr]
                assert np.array_equal(np.load(io.BytesIO(read["features.npy"])), features)
                assert np.array_equal(np.load(io.BytesIO(read["spans.npy"])), spans)
                check_info(json.loads(read["json"]), number, kind)
                number += 1
    assert number == EXAMPLES


def check_info(info: dict[str, object], number: int, kind: str) -> None:
    assert (info["index"], info["kind"]) == (number, kind)
    licences = info["licences"]
    assert isinstance(licences, list)
    if kind in ("positive", "cut"):
        assert (info["label"], info["speaker"], info["licence"], info["source"]) == ("hey", "ann", "CC0", "by ann")
        assert "CC0" in licences
    elif kind == "speech":
        assert (info["label"], info["speaker"], info["licence"], licences) == ("neg_speech", "bob", "CC-BY", ["CC-BY"])
    else:
        assert (kind, info["label"], info["speaker"], licences) == ("noise", "noise", "", [])


def test_the_index_says_what_was_learned_from(folder: Path) -> None:
    index = read_index(folder)
    assert (index["examples"], index["shards"], index["bands"]) == (EXAMPLES, SHARDS, 8)
    assert [(row["name"], row["licence"], row["clips"]) for row in index["sources"]] == [
        ("by ", "MIT", 1),
        ("by ann", "CC0", 1),
        ("by bob", "CC-BY", 1),
    ]


def test_batches_in_the_order_of_writing_are_those_of_the_sequence(drawn: DrawnBatches, folder: Path) -> None:
    dataset = ShardDataset([folder / "*.tar"], (0,), buffer_examples=0)
    assert (dataset.frames, dataset.shards.bands) == (drawn.frames, 8)
    for number in range(3):
        batch, wanted = dataset.batch(number, 7), drawn.batch(number, 7)
        assert np.array_equal(batch.features.numpy(), wanted.features)
        assert np.array_equal(batch.spans.numpy(), wanted.spans)
        assert batch.kinds == wanted.kinds
    again = dataset.batch(1, EXAMPLES).features  # the next epoch
    assert np.array_equal(again.numpy(), drawn.batch(0, EXAMPLES).features)


def test_every_epoch_has_every_example_once_in_another_order(drawn: DrawnBatches, folder: Path) -> None:
    dataset = ShardDataset([folder / "*.tar"], (0,), buffer_examples=10)
    wanted = sorted(drawn.example(number)[0].tobytes() for number in range(EXAMPLES))
    epochs = [[row.numpy().tobytes() for row in dataset.batch(epoch, EXAMPLES).features] for epoch in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [wanted, wanted]
    assert epochs[0] != epochs[1]
    other = ShardDataset([folder / "*.tar"], (1,), buffer_examples=10).batch(0, EXAMPLES)
    assert [row.numpy().tobytes() for row in other.features] != epochs[0]


def test_shard_batches_depend_neither_on_ranks_nor_on_processes(folder: Path) -> None:
    dataset = ShardDataset(names(folder)[::-1], (7,))
    whole = dataset.batch(2, 9)
    parts = [dataset.batch(2, 9, rank, 2).features for rank in range(2)]
    assert torch.equal(torch.cat(parts), whole.features)
    ahead = list(Prefetch(dataset, 9, 2, 6, workers=2, backend="processes"))
    assert torch.equal(ahead[0].features, whole.features)
    assert torch.equal(ahead[3].features, dataset.batch(5, 9).features)


def test_each_rank_reads_shards_of_its_own(folder: Path) -> None:
    """Four shards, batches of eight: four lanes, of which each of two ranks reads two, and each of four one."""
    some = names(folder)[:4]
    whole = ShardDataset(some, (7,))
    for world in (1, 2, 4):
        ranks = [ShardDataset(some, (7,)) for _ in range(world)]
        part = 8 // world
        for number, (rank, dataset) in itertools.product(range(5), enumerate(ranks)):
            mine = dataset.batch(number, 8, rank, world).features
            assert torch.equal(mine, whole.batch(number, 8).features[rank * part : (rank + 1) * part])
        # All together read all four, so that nobody reads another's.
        assert [dataset.shards._opened.cache_info().currsize for dataset in ranks] == [4 // world] * world


def test_every_lane_gives_its_examples_once_an_epoch(folder: Path) -> None:
    for lane in ShardDataset(names(folder)[:4], (7,), buffer_examples=5).shards._lanes(2):
        epochs = [[lane.find(epoch * lane.examples + place) for place in range(lane.examples)] for epoch in range(2)]
        wanted = [
            (shard, number) for shard, count in zip(lane.shards, lane.counts, strict=True) for number in range(count)
        ]
        assert [sorted(epoch) for epoch in epochs] == [wanted, wanted]
        assert epochs[0] != epochs[1]


def keys(samples: list[Sample]) -> list[int]:
    return [sample.info["index"] for sample in samples]


def test_a_stream_gives_each_reader_its_own_shards(folder: Path) -> None:
    shares = [Share(rank, 2, worker, 2) for rank in range(2) for worker in range(2)]
    each = [keys(list(stream(names(folder), 1, share=share))) for share in shares]
    assert sorted(key for part in each for key in part) == list(range(EXAMPLES))
    assert all(each)
    assert each == [keys(list(stream(names(folder)[::-1], 1, share=share))) for share in shares]
    assert each != [keys(list(stream(names(folder), 1, 1, share))) for share in shares]
    with pytest.raises(KwsError, match="5 shards cannot be split among 6 readers"):
        list(stream(names(folder), 1, share=Share(0, 6)))


def test_a_stream_comes_through_pipes(drawn: DrawnBatches, folder: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:  # a shard of a few examples fits into the pipe's buffer
        pipe.write(Path(names(folder)[0]).read_bytes())
    samples = list(read_shard(os.fdopen(reading, "rb")))
    assert keys(samples) == [0, 1, 2, 3]
    assert np.array_equal(samples[3].features, drawn.example(3)[0])
    opened = []

    def opener(name: str) -> io.BytesIO:
        opened.append(name)
        return io.BytesIO(Path(name).read_bytes())

    assert len(list(stream(names(folder), 1, opener=opener))) == EXAMPLES
    assert sorted(opened) == names(folder)


def test_the_buffer_shuffles_and_loses_nothing() -> None:
    empty = np.zeros((0, 4))
    samples = [Sample(empty.astype(np.int16), empty.astype(np.float32), {"index": index}) for index in range(50)]
    mixed = keys(list(shuffled(iter(samples), 10, np.random.default_rng(0))))
    assert sorted(mixed) == list(range(50))
    assert mixed != list(range(50))
    for place, key in enumerate(mixed):
        assert key <= place + 10
    for size in (0, 1):
        assert keys(list(shuffled(iter(samples), size, np.random.default_rng(0)))) == list(range(50))


def test_what_is_wrong_with_a_shard_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "cut")
    cut = tmp_path / "cut" / shard_name(0)
    whole = cut.read_bytes()
    with tarfile.open(cut) as tar:
        ends = [member.offset_data + -(-member.size // 512) * 512 for member in tar.getmembers()]
    for size in (0, 300, 5000, ends[0], ends[2], ends[2] + 100, ends[-1], len(whole) // 2):
        cut.write_bytes(whole[:size])
        with pytest.raises(KwsError, match=r"shard_000000\.tar: .*(damaged|is cut short)"):
            list(stream([str(cut)], 0))
    cut.write_bytes(whole[:5000])
    with pytest.raises(KwsError, match=r"shard_000000\.tar: is damaged"):
        ShardDataset([cut], (0,)).batch(0, 4)
    with pytest.raises(KwsError, match=r"x\.tar: no such shard"):
        ShardDataset([tmp_path / "x.tar"], (0,))
    with pytest.raises(KwsError, match="cannot be read"):
        list(stream([str(tmp_path / "x.tar")], 0))
    (tmp_path / "foreign.tar").write_bytes(cut.read_bytes())
    with pytest.raises(KwsError, match="it must be in the shards' folder"):
        ShardDataset([tmp_path / "foreign.tar"], (0,))
    (tmp_path / "cut" / "foreign.tar").write_bytes(b"")
    with pytest.raises(KwsError, match=r"foreign\.tar: shards\.json beside it does not list"):
        ShardDataset([tmp_path / "cut" / "*.tar"], (0,))
