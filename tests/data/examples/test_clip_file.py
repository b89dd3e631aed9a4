"""Sounds decoded once for all processes: what is read is what the files hold, and stale files are not used."""

import pickle
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.data.examples import clip_file
from kws.data.examples.clip_file import ClipFile, shared
from kws.data.examples.pool import Cache, ClipPool, Item, read_pool
from kws.data.manifest import Clip
from kws.errors import KwsError


def samples(number: int) -> NDArray[np.int16]:
    return np.random.default_rng(number).integers(-99, 99, 100 + number).astype(np.int16)


@pytest.fixture
def pool(tmp_path: Path) -> ClipPool:
    clips = []
    for number in range(40):
        path = tmp_path / f"{number}.wav"
        write_audio(path, samples(number))
        label = ("hey", "neg_speech")[number % 2]
        clips.append(Clip(str(path), "train", label, "ann", "made", "CC0", 100.0))
    return read_pool(clips, "hey", "train")


@pytest.mark.parametrize("processes", [1, 2])
def test_every_clip_is_what_its_file_holds(pool: ClipPool, tmp_path: Path, processes: int) -> None:
    with shared(pool, tmp_path, processes) as mapped:
        elsewhere = pickle.loads(pickle.dumps(mapped))
        for item in (item for group in pool.groups() for item in group):
            for each in (pool, mapped, elsewhere):
                assert np.array_equal(each.audio(item), samples(int(Path(item.clip.path).stem)))
        with pytest.raises(ValueError, match="read-only"):
            mapped.audio(pool.speech[0])[0] = 1
    assert not list(tmp_path.glob("*.pcm"))


def test_a_broken_off_run_leaves_the_file_for_the_next(pool: ClipPool, tmp_path: Path) -> None:
    def break_off() -> None:
        with shared(pool, tmp_path, 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    (kept,) = tmp_path.glob("*.pcm")
    made_at = kept.stat().st_mtime_ns
    with shared(pool, tmp_path, 1) as mapped:
        assert kept.stat().st_mtime_ns == made_at
        assert np.array_equal(mapped.audio(pool.speech[0]), samples(1))


def test_what_a_killed_process_had_begun_is_removed(pool: ClipPool, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    with shared(pool, cache, 1):
        (name,) = cache.glob("*.pcm")
    (cache / f".{name.name}.123456789.tmp").write_bytes(b"half")
    other = cache / ".clips_other.pcm.123456789.tmp"
    other.write_bytes(b"of other clips: perhaps being written")
    with shared(pool, cache, 1):
        assert {path.name for path in cache.iterdir()} == {name.name, name.with_suffix(".lock").name, other.name}


def test_a_changed_clip_is_decoded_anew(pool: ClipPool, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    with shared(pool, tmp_path / "cache", 1):
        write_audio(Path(pool.speech[0].clip.path), samples(77))
        with shared(pool, tmp_path / "cache", 1) as mapped:
            assert np.array_equal(mapped.audio(pool.speech[0]), samples(77))


def test_errors_name_the_file(pool: ClipPool, tmp_path: Path) -> None:
    Path(pool.speech[3].clip.path).write_bytes(b"no sound")
    with pytest.raises(KwsError, match=r"7\.wav"), shared(pool, tmp_path, 1):
        pass
    assert not list(tmp_path.glob("*.pcm"))
    with pytest.raises(KwsError, match=r"clips_.* cannot be written"), shared(pool, tmp_path / "nowhere", 1):
        pass
    (tmp_path / "cut.pcm").write_bytes(b"\1" * 40)
    for keys in ((1, 2), (1, 2, 3, 4, 5, 6)):
        with pytest.raises(KwsError, match=r"cut\.pcm: .*delete it"):
            ClipFile(tmp_path / "cut.pcm", keys)


def test_a_full_cache_decodes_each_time(pool: ClipPool) -> None:
    cache = Cache(bytes_at_most=300)
    first, second = pool.positives[0], pool.positives[1]
    for _ in range(2):
        assert np.array_equal(cache.read(first), samples(0))
        assert np.array_equal(cache.read(second), samples(2))
    assert cache.read(first) is cache.read(first)
    assert cache.read(second) is not cache.read(second)
    Path(first.clip.path).unlink()
    with pytest.raises(KwsError, match=r"0\.wav"):
        pickle.loads(pickle.dumps(cache)).read(Item(0, first.clip))


def test_of_several_at_the_same_time_one_decodes(
    pool: ClipPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded, both = [], threading.Barrier(2)

    def slowly(items: Sequence[Item], path: Path, processes: int) -> None:
        decoded.append(path)
        time.sleep(0.2)
        decode(items, path, processes)

    def rank() -> NDArray[np.int16]:
        both.wait()
        with shared(pool, tmp_path, 1) as mapped:
            both.wait()
            return mapped.audio(pool.speech[0]).copy()

    decode = clip_file._decode
    monkeypatch.setattr(clip_file, "_decode", slowly)
    with ThreadPoolExecutor(2) as executor:
        heard = [future.result() for future in [executor.submit(rank), executor.submit(rank)]]
    assert len(decoded) == 1
    assert np.array_equal(heard[0], samples(1))
    assert np.array_equal(heard[1], samples(1))
    assert not list(tmp_path.glob("clips_*"))
