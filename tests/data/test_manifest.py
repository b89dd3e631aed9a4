"""The manifest: what is written is read back, and every fault is named with its line."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws.data.manifest import COLUMNS, REQUIRED, RESERVED, Clip, Word, read, slug, write
from kws.errors import KwsError

TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co", "Cf")), max_size=20)
SECONDS = st.integers(0, 99999).map(lambda value: value / 10000)


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    start, length = draw(SECONDS), draw(SECONDS)
    label = draw(st.sampled_from(["computer", "noise", "smart_mirror"]))
    known = draw(st.booleans()) and label != "noise"
    text = draw(TEXT) + (f" {label.replace('_', ' ')}" if known else "")
    words = draw(st.lists(TEXT.filter(bool), max_size=3))
    name = draw(st.text("abcäöü .,'\"-", min_size=1, max_size=12).filter(lambda text: text.strip(". ") == text))
    return Clip(
        path=f"sub/{name}.flac",
        split=draw(st.sampled_from(["train", "dev", "test"])),
        label=label,
        speaker=draw(TEXT),
        source=draw(TEXT),
        licence=draw(TEXT),
        duration_s=draw(st.sampled_from([0.0, round(20.0 + start, 4)])),
        kw_start_s=start if known else None,
        kw_end_s=round(start + length, 4) if known else None,
        n_utts=draw(st.integers(0, 1000)),
        text=text,
        words=tuple(Word(word, start, round(start + length, 4)) for word in words),
    )


@settings(deadline=None)
@given(st.lists(clips(), max_size=5, unique_by=lambda clip: clip.path))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[Clip]) -> None:
    path = tmp_path_factory.mktemp("manifest") / "manifest.csv"
    write(rows, path)
    back = read(path)
    assert [os.path.relpath(clip.path, path.parent) for clip in back] == [row.path for row in rows]
    assert [vars(clip) | {"path": ""} for clip in back] == [vars(row) | {"path": ""} for row in rows]
    again = path.with_name("again.csv")
    write(back, again)  # absolute paths become relative
    assert again.read_bytes() == path.read_bytes()


def _write_rows(folder: Path, *rows: str, header: str = ",".join(REQUIRED)) -> Path:
    path = folder / "manifest.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


GOOD = "dev/a.opus,dev,alexa,pva013,Picovoice/wake-word-benchmark,Apache-2.0,2.34,,,1"


def test_reads_a_manifest_without_the_last_two_columns(tmp_path: Path) -> None:
    (clip,) = read(_write_rows(tmp_path, GOOD))
    assert clip == Clip(
        str(tmp_path / "dev/a.opus"), "dev", "alexa", "pva013", "Picovoice/wake-word-benchmark", "Apache-2.0", 2.34
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (GOOD.replace("dev,alexa", "val,alexa"), "split is 'val'"),
        (GOOD.replace("2.34", "long"), "duration_s is 'long'"),
        (GOOD.replace("2.34", "-1"), "duration_s is '-1'"),
        (GOOD.replace("2.34", "nan"), "duration_s is 'nan'"),
        (GOOD.replace(",,,1", ",0.5,,1"), "kw_start_s and kw_end_s"),
        (GOOD.replace(",,,1", ",0.5,0.1,1"), "before kw_start_s"),
        (GOOD.replace(",,,1", ",,,one"), "n_utts is 'one'"),
        (GOOD.replace("dev/a.opus", ""), "path is empty"),
        (GOOD.replace("dev/a.opus", "../a.opus"), "must lie below"),
        (GOOD.replace("alexa", ""), "label is empty"),
        (GOOD.replace("alexa", "Alexa"), "label is 'Alexa'; write it as 'alexa'"),
        (GOOD.replace("alexa", "hey Marvin"), "write it as 'hey_marvin'"),
        (GOOD.replace("alexa", "sentence:hey-marvin"), "write it as 'sentence:hey_marvin'"),
        (GOOD + ",more", "has 11 values"),
        (GOOD.replace("pva013", '"pva'), "line 3"),
    ],
)
def test_names_the_line_of_a_fault(tmp_path: Path, row: str, message: str) -> None:
    path = _write_rows(tmp_path, GOOD, row)
    with pytest.raises(KwsError) as error:
        read(path)
    assert message in str(error.value)
    assert "manifest.csv, line 3" in str(error.value)


@pytest.mark.parametrize(
    "words", ["{}", "[[1]]", '[["a","b","c"]]', '[["a",2,1]]', "nonsense", '[["a",0,1,2]]', '[["a",0,Infinity]]']
)
def test_refuses_bad_words(tmp_path: Path, words: str) -> None:
    quoted = words.replace('"', '""')
    path = _write_rows(tmp_path, f'{GOOD},text,"{quoted}",', header=",".join(COLUMNS))
    if words == "{}":
        assert read(path)[0].words == ()
        return
    with pytest.raises(KwsError, match=r"line 2.*word"):
        read(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("path,split", "'label' is missing"),
        (",".join(REQUIRED) + ",size", "unknown column 'size'"),
        ("", "empty|unknown"),
    ],
)
def test_refuses_bad_headers(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(KwsError, match=message):
        read(_write_rows(tmp_path, header=header))


def test_refuses_files_that_are_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(KwsError, match="cannot be read"):
        read(tmp_path / "missing.csv")
    binary = tmp_path / "a.csv"
    binary.write_bytes(b"\xff\xfe\x00RIFF")
    with pytest.raises(KwsError, match="not a text file"):
        read(binary)


def test_a_full_disk_keeps_the_old_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "manifest.csv"
    clip = Clip("a.flac", "train", "noise", "", "own", "CC0", 1.0)
    write([clip], path)
    old = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(KwsError, match="No space left"):
        write([clip, replace(clip, path="b.flac")], path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["manifest.csv"]


def test_refuses_to_write_a_clip_that_it_could_not_read(tmp_path: Path) -> None:
    with pytest.raises(KwsError, match="below the manifest"):
        write([Clip("/elsewhere/a.flac", "train", "noise", "", "own", "CC0", 1.0)], tmp_path / "manifest.csv")
    with pytest.raises(KwsError, match="split"):
        write([Clip("a.flac", "training", "noise", "", "own", "CC0", 1.0)], tmp_path / "manifest.csv")
    assert os.listdir(tmp_path) == []


@given(st.text(max_size=30))
def test_slugs_are_plain_and_stable(text: str) -> None:
    try:
        label = slug(text)
    except KwsError:
        assert not any(sign.isascii() and sign.isalnum() for sign in text)
        return
    assert label not in RESERVED
    assert "/" not in label
    assert "." not in label
    assert " " not in label
    assert slug(label) == label or label.startswith("phrase_")
