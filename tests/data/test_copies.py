"""A recording that is there twice, by name, by link or byte for byte, and voices in several splits."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from kws.audio import write_audio
from kws.data import copies, corpus, manifest
from kws.data.corpora.adapter import Options
from kws.data.corpora.build import build
from kws.data.corpora.registry import ADAPTERS
from kws.data.manifest import REQUIRED, Clip
from kws.errors import KwsError
from kws.recipe import DataConfig, Recipe
from kws.train.recipe_data import read_data


def sound(path: Path, seed: int) -> Path:
    """All of one length, so that only what is in them tells them apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, np.random.default_rng(seed).integers(-900, 900, 16000).astype(np.int16))
    return path


def row(name: str, split: str = "test", label: str = "computer", speaker: str = "ann") -> str:
    return f"{name},{split},{label},{speaker},own,CC0,1,,,1"


def table(folder: Path, *rows: str) -> Path:
    (folder / "manifest.csv").write_text("\n".join([",".join(REQUIRED), *rows]) + "\n")
    return folder / "manifest.csv"


@pytest.mark.parametrize("again", ["a.wav", "./a.wav", ".//a.wav"])
def test_a_clip_that_stands_there_twice_is_refused_by_its_lines(tmp_path: Path, again: str) -> None:
    path = table(tmp_path, row("a.wav"), row("b.wav"), row(again, "train"))
    with pytest.raises(
        KwsError, match=rf"manifest\.csv, line 4: '{again}' is already in line 2; remove one of the rows"
    ):
        manifest.read(path)
    clip = Clip(str(tmp_path / "a.wav"), "test", "computer", "", "", "", 1.0)
    with pytest.raises(KwsError, match=r"the clip a\.wav would be listed twice"):
        manifest.write([clip, clip], tmp_path / "new.csv")


@pytest.mark.parametrize("make", [shutil.copy, os.symlink, os.link], ids=lambda make: make.__name__)
def test_a_recording_in_two_splits_is_refused(tmp_path: Path, make: object) -> None:
    first, other = sound(tmp_path / "a.wav", 1), sound(tmp_path / "b.wav", 2)
    make(first, tmp_path / "c.wav")  # type: ignore[operator]  # three functions of no common type
    path = table(tmp_path, row("a.wav", "train"), row("b.wav"), row("c.wav"))
    sentence = r"a\.wav \(train\) and .*c\.wav \(test\) are the same recording; .* remove one of them"
    with pytest.raises(KwsError, match=sentence):
        corpus.read(path)
    with pytest.raises(KwsError, match=sentence):
        read_data(Recipe("computer", data=(DataConfig(str(path)),))).check_copies()
    # In two manifests it is no other.
    (tmp_path / "mine").mkdir()
    shutil.copy(other, tmp_path / "mine" / "b.wav")
    entries = tuple(
        DataConfig(str(table(tmp_path / name, row("b.wav", split)))) for name, split in (("", "test"), ("mine", "dev"))
    )
    with pytest.raises(KwsError, match="are the same recording"):
        read_data(Recipe("computer", data=entries)).check_copies()


def test_copies_in_one_split_and_voices_in_several_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(sound(tmp_path / "a.wav", 1), tmp_path / "c.wav")
    sound(tmp_path / "b.wav", 2)
    corpus.read(table(tmp_path, row("a.wav"), row("b.wav", "train"), row("c.wav")))
    told = capsys.readouterr().err
    assert "manifest.csv: 1 clips are copies of others, such as " in told
    assert "manifest.csv: 1 speakers are in more than one split, such as ann" in told
    corpus.read(table(tmp_path, row("a.wav"), row("b.wav", "train", speaker="bob")))
    assert capsys.readouterr().err == ""


def test_noise_may_be_in_two_splits_and_what_is_not_there_is_nobodys_copy(tmp_path: Path) -> None:
    shutil.copy(sound(tmp_path / "a.wav", 1), tmp_path / "b.wav")
    rows = [
        row("a.wav", "train", "noise", ""),
        row("b.wav", "test", "noise", ""),
        row("gone.wav"),
        row("away.wav", "dev"),
    ]
    assert len(corpus.read(table(tmp_path, *rows)).clips) == 4


def test_files_that_differ_at_their_ends_alone_are_no_copies(tmp_path: Path) -> None:
    for name, ending in (("a", b"x"), ("b", b"y"), ("c", b"x")):
        (tmp_path / name).write_bytes(bytes(20000) + ending)
    clips = [Clip(str(tmp_path / name), "test", "computer", "", "", "", 1.0) for name in "abc"]
    assert [[Path(clip.path).name for clip in group] for group in copies.copies(clips)] == [["a", "c"]]


def test_a_corpus_keeps_one_of_two_splits(tmp_path: Path) -> None:
    for number, who in enumerate(("ann", "bob", "carl", "dora")):
        sound(tmp_path / "takes" / "computer" / who / "1.wav", number)
    report = build(ADAPTERS["folder"], tmp_path / "takes", Options())
    held_out = next(clip for clip in report.clips if clip.split == "test")
    learned = next(clip for clip in report.clips if clip.split == "train")
    shutil.copy(held_out.path, Path(learned.path).with_name("2.wav"))
    again = build(ADAPTERS["folder"], tmp_path / "takes", Options())
    assert {clip.path for clip in again.clips} == {clip.path for clip in report.clips}
    assert "left out: 1 (the same recording is in test)" in again.text()
