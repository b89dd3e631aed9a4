"""Tables as other programs save them: read alike by everything that reads tables, or refused by file and line."""

import json
from pathlib import Path

import pytest

from kws.config import read_text
from kws.data import csv_table, manifest, transcripts
from kws.data.corpora.adapter import read_lines, read_table
from kws.data.manifest import REQUIRED
from kws.data.shards.write import FORMAT, read_index
from kws.data.synthesis.text import sentences
from kws.errors import KwsError
from kws.recipe import load_recipe

ROW = "a.wav,test,computer,ann,own,CC0,1,,,1"
MANIFEST = ",".join(REQUIRED) + f"\n{ROW}\n"
UTTERANCES = "path,start_s,end_s,transcript\na.wav,0,1,HELLO\n"
AS_SAVED = {
    "plain": lambda text: text.encode(),
    "byte order mark": lambda text: text.encode("utf-8-sig"),
    "blank lines": lambda text: (text.replace("\n", "\n\n") + "\n  \n").encode(),
    "blank rows of a spreadsheet": lambda text: (text + ",,,\n").encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "no last line end": lambda text: text.rstrip("\n").encode(),
    "spaces in the header": lambda text: text.replace(",", " ,", 2).replace("a.wav ,", "a.wav,").encode(),
}


@pytest.mark.parametrize("saved", AS_SAVED)
def test_tables_are_read_as_programs_save_them(tmp_path: Path, saved: str) -> None:
    (tmp_path / "manifest.csv").write_bytes(AS_SAVED[saved](MANIFEST))
    (tmp_path / "utterances.csv").write_bytes(AS_SAVED[saved](UTTERANCES))
    (clip,) = manifest.read(tmp_path / "manifest.csv")
    assert (clip.path, clip.label, clip.duration_s) == (str(tmp_path / "a.wav"), "computer", 1.0)
    assert transcripts.read(tmp_path / "manifest.csv")[clip.path] == (transcripts.Utterance(0.0, 1.0, "HELLO"),)
    assert read_table(tmp_path / "utterances.csv", ("path", "transcript")) == [{"path": "a.wav", "transcript": "HELLO"}]
    (tmp_path / "tabs.tsv").write_bytes(AS_SAVED[saved](UTTERANCES).replace(b",", b"\t"))
    assert read_table(tmp_path / "tabs.tsv", ("path",), tabs=True) == [{"path": "a.wav"}]


def test_recipes_sentences_lists_and_json_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    def saved(name: str, text: str) -> Path:
        (tmp_path / name).write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
        return tmp_path / name

    assert load_recipe(saved("r.toml", '# mine\nphrase = "computer"\n\n')).phrase == "computer"
    assert sentences.read_own(str(saved("s.txt", "Grüß Gott.\n\n"))) == ["Grüß Gott."]
    assert read_lines(saved("list.txt", "one\ntwo\n")) == ["one", "two"]
    saved("shards.json", json.dumps({"format": FORMAT}))
    assert read_index(tmp_path) == {"format": FORMAT}


def test_a_quoted_value_may_hold_lines_and_the_line_named_is_where_a_row_starts(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,"two\nlines"\n\n3,4\n5\n')
    rows = csv_table.read(path, ("a", "b"))
    assert [next(rows), next(rows)] == [(2, {"a": "1", "b": "two\nlines"}), (5, {"a": "3", "b": "4"})]
    with pytest.raises(KwsError, match=r"t\.csv, line 6: has 1 values, the header names 2"):
        next(rows)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (UTTERANCES.encode("utf-16"), "looks like UTF-16; save a table as UTF-8"),
        (UTTERANCES.encode("utf-16-le"), "looks like UTF-16"),
        (UTTERANCES.encode("utf-16-be"), "looks like UTF-16"),
        (UTTERANCES.replace("HELLO", "GRÜSSE").encode("cp1252"), "line 2: is not a text file in UTF-8"),
        (
            UTTERANCES.replace(",", ";").encode(),
            "line 1: the columns are separated by semicolons; save the table with commas",
        ),
        (UTTERANCES.replace("end_s", "start_s").encode(), "line 1: column 'start_s' appears twice"),
        (UTTERANCES.replace("end_s", "stop").encode(), "line 1: column 'end_s' is missing"),
        (UTTERANCES.replace("HELLO", '"HELLO').encode(), "line 2: is not valid CSV"),
        (UTTERANCES.replace(",HELLO", "").encode(), "line 2: has 3 values, the header names 4"),
        (UTTERANCES.replace("0,1", "2,1").encode(), r"line 2: end_s \(1\) is before start_s \(2\)"),
        (UTTERANCES.replace("0,1", "0,inf").encode(), "line 2: end_s is 'inf'"),
        (b"", "line 1: the file is empty"),
        (b"\xef\xbb\xbf\n\n", "line 1: the file is empty"),
    ],
)
def test_what_is_no_table_is_refused_by_file_and_line(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "utterances.csv").write_bytes(content)
    with pytest.raises(KwsError, match=rf"utterances\.csv.*{sentence}"):
        transcripts.read(tmp_path / "manifest.csv")


def test_rows_of_a_corpus_that_are_cut_short_are_named(tmp_path: Path) -> None:
    path = tmp_path / "validated.tsv"
    path.write_text('path\tsentence\tage\na.mp3\tsaid "hi\t20\nb.mp3\tbye\nc.mp3\n')
    with pytest.raises(KwsError, match=r"validated\.tsv, line 4: is cut short; unpack the corpus again"):
        read_table(path, ("path", "sentence"), tabs=True)
    path.write_text('path\tsentence\tage\na.mp3\tsaid "hi\t20\nb.mp3\tbye\n')
    assert [row["sentence"] for row in read_table(path, ("path", "sentence"), tabs=True)] == ['said "hi', "bye"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KwsError, match=r"r\.toml: cannot be read .*give the path of a recipe"):
        read_text(tmp_path / "r.toml", "a recipe")
