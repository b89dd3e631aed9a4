"""Manifests of corpora as files: where they lie, what they replace, broken sounds; the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws.audio import read_audio
from kws.cli import command
from kws.data import manifest, transcripts
from kws.data.corpora.adapter import Options
from kws.data.corpora.build import build
from kws.data.corpora.registry import ADAPTERS
from kws.data.examples.pool import read_pool
from kws.data.manifest import Clip
from kws.errors import KwsError

MakeTree = Callable[..., Path]
Read = Callable[..., tuple[Any, dict[str, Clip]]]
NAMES = tuple(f"{label}/{who}/1.wav" for label in ("hey", "neg_speech") for who in ("ann", "bob", "carl"))
SPEECH = {"train-clean-5/1/2/1-2-0000.flac": "1-2-0000 HELLO THERE"}


@pytest.fixture
def mine(tree: MakeTree) -> Path:
    return tree("mine", NAMES)


@pytest.fixture
def libri(tree: MakeTree) -> Path:
    return tree("LibriSpeech", tuple(SPEECH), {"train-clean-5/1/2/1-2.trans.txt": "1-2-0000 HELLO THERE\n"})


def kws(*arguments: str | Path) -> str:
    result = CliRunner().invoke(command, ["corpus", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_training_reads_the_manifest(mine: Path) -> None:
    report = build(ADAPTERS["folder"], mine)
    pool = read_pool(manifest.read(report.manifest), "hey", "train")
    assert len(pool.positives) >= 1
    assert len(pool.speech) >= 1
    assert len(pool.audio(pool.positives[0])) == 1600


def test_the_same_folder_gives_the_same_bytes_and_is_written_again(mine: Path) -> None:
    report = build(ADAPTERS["folder"], mine)
    first = report.manifest.read_bytes()
    assert build(ADAPTERS["folder"], mine).manifest.read_bytes() == first
    assert build(ADAPTERS["folder"], mine, Options(split="test")).manifest.read_bytes() != first
    assert {clip.split for clip in manifest.read(report.manifest)} == {"test"}
    assert {path.name for path in mine.iterdir()} == {"hey", "neg_speech", "manifest.csv", "manifest.corpus.json"}


@pytest.mark.parametrize("changed", [False, True])
def test_a_manifest_of_someone_else_is_kept(mine: Path, changed: bool) -> None:
    path = mine / "manifest.csv"
    if changed:
        build(ADAPTERS["folder"], mine)
        path.write_bytes(path.read_bytes().replace(b",ann,", b",Ann,"))
    else:
        path.write_text("mine")
    before = path.read_bytes()
    with pytest.raises(KwsError, match="was changed since" if changed else "was not written for this corpus"):
        build(ADAPTERS["folder"], mine)
    assert path.read_bytes() == before
    build(ADAPTERS["folder"], mine, force=True)
    assert len(manifest.read(path)) == 6


def test_transcripts_of_someone_else_are_kept(libri: Path, mine: Path) -> None:
    build(ADAPTERS["librispeech"], libri, out=libri.parent / "libri.csv")
    path = libri.parent / "utterances.csv"
    utterances = transcripts.read(libri.parent / "libri.csv")
    assert [one.transcript for (one,) in utterances.values()] == ["HELLO THERE"]
    before = path.read_bytes()
    build(ADAPTERS["folder"], mine, out=libri.parent / "mine.csv")
    assert path.read_bytes() == before, "a corpus without transcripts leaves those of others alone"
    with pytest.raises(KwsError, match=r"utterances\.csv: already exists and was not written for this corpus"):
        build(ADAPTERS["librispeech"], libri, out=libri.parent / "again.csv")
    assert not (libri.parent / "again.csv").exists()


def test_transcripts_that_are_no_longer_there_go(libri: Path) -> None:
    build(ADAPTERS["librispeech"], libri)
    assert (libri / "utterances.csv").is_file()
    build(ADAPTERS["folder"], libri, Options(pattern="{label}/*/*/*"))
    assert not (libri / "utterances.csv").exists()


def test_the_manifest_may_lie_in_a_folder_above(mine: Path) -> None:
    for out in (mine.parent, mine.parent / "all.csv"):
        path = build(ADAPTERS["folder"], mine, out=out).manifest
        assert path == (out / "manifest.csv" if out.is_dir() else out)
        assert path.read_text().splitlines()[1].startswith("mine/hey/ann/1.wav,")
        assert len(manifest.read(path)) == 6


@pytest.mark.parametrize(
    ("out", "sentence"),
    [
        ("elsewhere/manifest.csv", r"must be in .*/mine or a folder above it"),
        ("mine/hey/manifest.csv", r"must be in .*/mine or a folder above it"),
        ("mine/manifest.txt", r"a manifest's name ends in \.csv"),
    ],
)
def test_a_manifest_elsewhere_is_refused(mine: Path, out: str, sentence: str) -> None:
    with pytest.raises(KwsError, match=sentence):
        build(ADAPTERS["folder"], mine, out=mine.parent / out)


def test_a_read_only_corpus_is_linked_and_its_manifest_lies_outside(mine: Path, tmp_path: Path) -> None:
    """Root could write there, against the wish of whoever took the right away."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "linked").symlink_to(mine)
    mine.chmod(0o555)
    try:
        for folder in (mine, place / "linked"):
            with pytest.raises(KwsError, match=r"is read-only; link the corpus into a folder of yours and give --out"):
                build(ADAPTERS["folder"], folder, force=True)
        report = build(ADAPTERS["folder"], place / "linked", out=place / "mine.csv")
        assert {path.name for path in mine.iterdir()} == {"hey", "neg_speech"}
    finally:
        mine.chmod(0o755)
    assert len(manifest.read(report.manifest)) == 6
    assert "linked/hey/ann/1.wav" in report.manifest.read_text()


def test_broken_sounds_are_named_and_left_out(mine: Path) -> None:
    (mine / "hey/ann/empty.wav").write_bytes(b"")
    (mine / "hey/ann/text.wav").write_text("hello world\n" * 100)
    whole = (mine / "hey/ann/1.wav").read_bytes()
    (mine / "hey/ann/cut.wav").write_bytes(whole[: len(whole) // 2])
    soundfile.write(mine / "hey/ann/nothing.wav", np.zeros(0), 16000)
    (mine / "hey/ann/phone.m4a").write_bytes(b"\0" * 64)
    (mine / "hey/ann/notes.txt").write_text("no sound")
    (mine / "hey/ann/._1.wav").write_bytes(b"\0")
    report = build(ADAPTERS["folder"], mine)
    assert len(report.clips) == 6
    assert {reason: [Path(name).name for name in names] for reason, names in report.skips.by_reason.items()} == {
        "the file is empty": ["empty.wav"],
        "is not a sound file": ["text.wav"],
        "is cut short": ["cut.wav"],
        "holds no sound": ["nothing.wav"],
        "kws cannot read .m4a: convert it to WAV or FLAC": ["phone.m4a"],
    }
    assert "left out: 1 (is cut short): hey/ann/cut.wav" in report.text()


def test_check_finds_what_only_decoding_finds(tree: MakeTree) -> None:
    folder = tree("mine", ("hey/1.wav",))
    noise = np.random.default_rng(0).integers(-9999, 9999, 64000).astype(np.int16)
    soundfile.write(folder / "hey/cut.flac", noise, 16000)
    (folder / "hey/cut.flac").write_bytes((folder / "hey/cut.flac").read_bytes()[:60000])
    assert len(build(ADAPTERS["folder"], folder).clips) == 2
    report = build(ADAPTERS["folder"], folder, check=True)
    assert [(Path(clip.path).name, clip.duration_s) for clip in report.clips] == [("1.wav", 0.1)]
    assert report.skips.count == 1


@pytest.mark.parametrize(
    ("name", "rate_hz", "channels", "within_s"),
    [
        ("a.wav", 44100, 2, 0.0001),
        ("a.flac", 16000, 1, 0.0),
        ("a.ogg", 48000, 1, 0.0001),
        ("a.opus", 48000, 1, 0.0001),
        ("a.mp3", 22050, 1, 0.0001),
        ("streamed.flac", 16000, 1, 0.0),
    ],
)
def test_lengths_are_those_of_the_decoded_sound(
    tmp_path: Path, name: str, rate_hz: int, channels: int, within_s: float
) -> None:
    path = tmp_path / "hey" / name
    path.parent.mkdir()
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (rate_hz // 3, channels))
    kind = {".opus": ("OGG", "OPUS")}.get(path.suffix, (path.suffix[1:].upper(), None))
    soundfile.write(path, noise, rate_hz, format=kind[0], subtype=kind[1])
    if name.startswith("streamed"):  # STREAMINFO's 36 bits of a length, which a pipe leaves at 0
        content = bytearray(path.read_bytes())
        content[21] &= 0xF0
        content[22:26] = bytes(4)
        path.write_bytes(content)
    (clip,) = build(ADAPTERS["folder"], tmp_path).clips
    assert abs(clip.duration_s - len(read_audio(path)) / 16000) <= within_s
    assert clip.duration_s > 0.3


def test_a_folder_of_nothing_usable_writes_nothing(tree: MakeTree) -> None:
    folder = tree("mine", (), {"hey/a.wav": "text " * 99})
    with pytest.raises(KwsError, match=r"no clip can be used, 1 left out; the first, .*a\.wav: is not a sound file"):
        build(ADAPTERS["folder"], folder)
    assert [path.name for path in folder.iterdir()] == ["hey"]


def test_the_command_writes_and_tells(mine: Path) -> None:
    output = kws("folder", mine, "--licence", "CC0-1.0")
    assert output.splitlines()[-2:] == ["commercial use: clear", str(mine / "manifest.csv")]
    data = json.loads(kws("folder", mine, "--split", "dev", "--json"))
    assert data["commercial_use"]["because"] == ["unknown (no licence is named)"]
    assert data["labels"] == [
        {"label": label, "split": "dev", "clips": 3, "hours": 0.0001, "speakers": 3} for label in ("hey", "neg_speech")
    ]
    assert "no clip in train\nno clip in test" in kws("folder", mine, "--split", "dev")


def test_many_labels_are_shown_together(tree: MakeTree) -> None:
    folder = tree("mine", tuple(f"word{number:02d}/1.wav" for number in range(25)))
    output = kws("folder", folder)
    assert "word19" in output
    assert "word20" not in output
    assert "5 more" in output


def test_the_list_names_every_kind_its_licences_and_commercial_use() -> None:
    output = kws("--list")
    rows = {row["kind"]: row for row in json.loads(kws("--list", "--json"))}
    assert set(rows) == set(ADAPTERS)
    assert all(kind in output for kind in ADAPTERS)
    assert rows["esc50"]["licences"] == [
        {"licence": "CC-BY-NC-3.0", "commercial_use": "no (non-commercial)"},
        {"licence": "CC-BY-3.0 (ESC-10)", "commercial_use": "yes (attribution)"},
    ]
    assert "no (non-commercial)" in output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("corpus",), "give a kind and its folder"),
        (("corpus", "folder"), "give a kind and its folder"),
        (("corpus", "nonsense", "."), "there is no kind 'nonsense'; the kinds are folder, speech_commands"),
        (("corpus", "folder", ".", "--split", "other"), "'other' is not one of"),
    ],
)
def test_bad_usage_is_told(arguments: tuple[str, ...], named: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert named in result.output


def test_a_pattern_is_for_a_folder_of_recordings_alone(libri: Path) -> None:
    with pytest.raises(KwsError, match="--pattern is for the kind folder, your own recordings"):
        build(ADAPTERS["librispeech"], libri, Options(pattern="{label}/*"))


def test_a_corpus_with_a_manifest_of_its_own_needs_no_adapter(tree: MakeTree) -> None:
    """The layout of shared/corpus: manifest.csv without text and words, utterances.csv for packed negatives."""
    sounds = ("train/alexa/pva013_244.flac", "dev/neg_speech/ls_7367_fe9b_000.flac", "train/rir/surreyA_12_L.flac")
    columns = "path,split,label,speaker,source,licence,duration_s,kw_start_s,kw_end_s,n_utts\n"
    lines = (
        f"{sounds[0]},train,alexa,pva013,Picovoice/wake-word-benchmark,Apache-2.0,0.1,,,1\n"
        f'{sounds[1]},dev,neg_speech,ls_7367,"LibriSpeech, via x",CC-BY-4.0,0.1,,,2\n'
        f"{sounds[2]},train,rir,room_surreyA,IoSR-Surrey/RealRoomBRIRs,MIT,0.1,,,1\n"
    )
    utterances = (
        f"path,start_s,end_s,utt,transcript\n{sounds[1]},0.0,0.04,a-0,CHAPTER ONE\n{sounds[1]},0.04,0.1,a-1,AND TWO\n"
    )
    folder = tree("corpus", sounds, {"manifest.csv": columns + lines, "utterances.csv": utterances})
    clips = manifest.read(folder / "manifest.csv")
    assert [(clip.label, clip.split, clip.n_utts) for clip in clips] == [
        ("alexa", "train", 1),
        ("neg_speech", "dev", 2),
        ("rir", "train", 1),
    ]
    assert [one.transcript for one in transcripts.read(folder / "manifest.csv")[clips[1].path]] == [
        "CHAPTER ONE",
        "AND TWO",
    ]
    with pytest.raises(KwsError, match=r"manifest\.csv: already exists"):
        build(ADAPTERS["folder"], folder)
