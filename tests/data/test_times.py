"""Times that contradict a clip's length, its words or one another are refused with file, line, values and a guess."""

from pathlib import Path

import numpy as np
import pytest

from kws.audio import write_audio
from kws.data import corpus, manifest
from kws.data.manifest import COLUMNS
from kws.data.phrases import locate, word_times
from kws.errors import KwsError
from kws.recipe import DataConfig, Recipe
from kws.streams.conditions import Condition
from kws.streams.layout import build
from kws.streams.plan import plans
from kws.train.clips import pool_of
from kws.train.recipe_data import read_data

SECOND = np.zeros(17600, np.int16)


def write(
    folder: Path, *, label: str = "computer", duration: str = "1.1", kw: str = ",", text: str = "", words: str = ""
) -> Path:
    """A clip of 1.1 s and what a manifest says of it."""
    write_audio(folder / "a.wav", SECOND)
    write_audio(folder / "other.wav", SECOND)
    quoted = words.replace('"', '""')
    rows = [
        f'a.wav,test,{label},ann,own,CC0,{duration},{kw},1,"{text}","{quoted}",',
        "other.wav,test,neg_speech,bob,own,CC0,1.1,,,1,,,",
    ]
    (folder / "manifest.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    return folder / "manifest.csv"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"kw": "210,740"},
            r"kw_end_s is 740, but duration_s is 1\.1 \(are they milliseconds\? they must be seconds\)",
        ),
        ({"kw": "3360,11840"}, r"kw_end_s is 11840, but duration_s is 1\.1 \(are they samples\?"),
        ({"kw": "0.5,1.5"}, r"kw_end_s is 1\.5, but duration_s is 1\.1; correct the times"),
        ({"words": '[["hey",210,480],["computer",480,740]]'}, "the end of word 'hey' is 480, .*milliseconds"),
        ({"words": '[["hey",0.5,0.9],["computer",0.2,0.5]]'}, r"'computer' starts at 0\.2, before 'hey' at 0\.5"),
        (
            {"kw": "210,740", "words": '[["computer",0.2,0.7]]', "duration": ""},
            "words go from 0.2 to 0.7 .*milliseconds",
        ),
        ({"kw": "0.2,0.7", "words": '[["computer",210,740]]', "duration": ""}, "words go from 210 to 740"),
        ({"kw": "0.2,0.7", "text": "good morning"}, "say where 'computer' is, but text is 'good morning'"),
        ({"kw": "0.2,0.7", "label": "neg_speech"}, "label 'neg_speech' is not a phrase, but kw_start_s is given"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(tmp_path: Path, fields: dict[str, str], sentence: str) -> None:
    with pytest.raises(KwsError, match=rf"manifest\.csv, line 2: .*{sentence}"):
        manifest.read(write(tmp_path, **fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"kw": "0.21,1.15"},  # marked late
        {"kw": "0.2,0.7", "text": "my computer's fan", "words": '[["my",0.1,0.3],["computer\'s",0.3,0.7]]'},
        {"kw": "0.2,0.7", "label": "channel_2", "text": "channel two"},
        {"kw": "0.2,0.7", "label": "phrase_noise", "text": "noise"},
        {"kw": "0.2,0.7", "label": "sentence:computer", "text": "hey computer"},
    ],
)
def test_a_row_that_agrees_with_itself_is_read(tmp_path: Path, fields: dict[str, str]) -> None:
    assert len(manifest.read(write(tmp_path, **fields))) == 2


@pytest.mark.parametrize("fields", [{"kw": "210,740"}, {"words": '[["computer",210,740]]'}])
def test_without_a_length_the_sound_decides(tmp_path: Path, fields: dict[str, str]) -> None:
    path = write(tmp_path, duration="", **fields)
    clip, sentence = manifest.read(path)[0], r"a\.wav: .* is 740, but the sound is 1\.1 s long \(are they milliseconds"
    with pytest.raises(KwsError, match=sentence):
        word_times(clip, SECOND, "computer")
    with pytest.raises(KwsError, match=sentence):
        locate(clip, ("computer",), SECOND)
    with pytest.raises(KwsError, match=sentence):
        build(plans([clip], Condition("test"), "computer")[0])
    with pytest.raises(KwsError, match=r"a\.wav: .* is 740.*milliseconds"):
        read_data(Recipe("computer", data=(DataConfig(str(path)),)))


def test_a_length_in_milliseconds_is_seen_at_the_sound(tmp_path: Path) -> None:
    clip = manifest.read(write(tmp_path, duration="1100", kw="210,740"))[0]
    with pytest.raises(
        KwsError, match=r"a\.wav: kw_end_s is 740, but the sound is 1\.1 s long \(are they milliseconds"
    ):
        build(plans([clip], Condition("test"), "computer")[0])
    negative = manifest.read(write(tmp_path, duration="1100", label="neg_speech"))[0]
    with pytest.raises(KwsError, match=r"duration_s is 1100, but the sound is 1\.1 s long \(are they milliseconds"):
        build(plans([negative], Condition("test"), "computer")[0])


def test_utterances_behind_the_end_are_refused(tmp_path: Path) -> None:
    """They would be cut to a stretch of negative length, and the hours of other speech grow by it."""
    path = write(tmp_path, label="neg_speech")
    (tmp_path / "utterances.csv").write_text("path,start_s,end_s,transcript\na.wav,0,1.1,HI\na.wav,400,1100,COMPUTER\n")
    behind = r"an utterance is at 400 to 1100, but its clip is 1\.1 s long \(are they milliseconds"
    with pytest.raises(KwsError, match=rf"utterances\.csv, line 3: {behind}"):
        corpus.read(path)
    write(tmp_path, duration="", label="neg_speech")  # then the sound's own length tells
    recipe = Recipe("computer", data=(DataConfig(str(path)),))
    data = read_data(recipe)
    with pytest.raises(KwsError, match=rf"utterances\.csv, .*a\.wav: {behind}"):
        pool_of(recipe, data, "test")
    with pytest.raises(KwsError, match=behind):
        build(plans(data.clips, Condition("test"), "computer")[0], data.transcripts)
