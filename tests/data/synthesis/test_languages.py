"""Languages: the code that was meant, and negatives of a language's own where there are no words of it."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kws.data import manifest
from kws.data.synthesis.config import SynthesisConfig
from kws.data.synthesis.corpus import synthesize
from kws.data.synthesis.plan import plan
from kws.data.synthesis.text import negatives, sentences
from kws.data.synthesis.voices import espeak
from kws.data.synthesis.voices.find import find_voices
from kws.errors import KwsError

POLISH = SynthesisConfig(language="pl", backends=("espeak",), positives=6, negatives=60, near_phrases=12)


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ("zh", "'cmn' (Chinese (Mandarin, latin as English)) or 'yue' (Chinese (Cantonese))"),
        ("zh-TW", "'cmn' "),
        ("gr", "'el' (Greek)"),
        ("jp", "'ja' (Japanese)"),
        ("no", "'nb' (Norwegian Bokmål)"),
        ("en_US", "'en-us' (English (America))"),
        ("us", "'en-us' (English (America))"),
        ("polish", "'pl' (Polish)"),
        ("deu", "'de' (German)"),
    ],
)
def test_an_unknown_code_names_what_may_be_meant(code: str, meant: str) -> None:
    with pytest.raises(
        KwsError, match=rf"language '{code}': espeak-ng does not speak it; did you mean {re.escape(meant)}"
    ):
        espeak.accents(code)


def test_what_is_like_nothing_is_told_where_to_look(tmp_path: Path) -> None:
    arguments = ["synth", "computer", "--language", "qqqq", "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-m", "kws", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "language 'qqqq': espeak-ng does not speak it; kws synth --list-voices lists" in done.stderr
    assert not (tmp_path / "out").exists()


def test_negatives_of_a_language_without_words_have_none_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts of the phrase, the phrase with other sounds, and numbers; once they were English words read as Polish."""
    clips = manifest.read(synthesize(POLISH, "komputer", tmp_path / "pl", 0, processes=1))
    assert (
        capsys.readouterr().err.count(
            "language 'pl': kws has no sentences in it, so the negatives are parts of the phrase"
        )
        == 1
    )
    texts = {clip.text for clip in clips if clip.label != "komputer"}
    assert texts
    words = {word.strip(",") for text in texts for word in re.sub(r"\[\[.*?\]\]", " ", text).split()}
    letters = {word for word in words if not word.isdigit()}
    assert all(letter_part in "komputer" for letter_part in letters), letters
    assert any(text.startswith("[[") for text in texts)
    assert any(text[0].isdigit() for text in texts)


def test_a_users_own_sentences_are_words_of_the_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "zdania.txt").write_text("Proszę włączyć światło.\nKomputery są drogie.\nKomuter jedzie do domu.\n")
    own = sentences.read_own(str(tmp_path / "zdania.txt"))
    polish = espeak.accents("pl")[0].identifier
    found = negatives.find("komputer", "pl", [polish], 12, np.random.default_rng(0), own)
    assert "komuter" in found.near
    config = SynthesisConfig(
        language="pl", backends=("espeak",), positives=6, negatives=60, sentences_path=str(tmp_path / "zdania.txt")
    )
    said = {job.text for job in plan(config, "komputer", find_voices(config), 0)}
    assert "Proszę włączyć światło." in said
    assert not {"the", "window", "bottle"} & {word for text in said for word in re.findall(r"\w+", text.lower())}


def test_languages_with_sentences_keep_their_words() -> None:
    assert {"window", "computer"} & set(sentences.words("en-us"))
    assert set(sentences.words("de")) == set(sentences.words("de", ["Eigenes hier"]))
    assert sentences.words("pl") == []
    assert sentences.words("pl", ["Proszę, proszę"]) == ["proszę"]
