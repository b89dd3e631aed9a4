"""A whole corpus: the same bytes from any number of processes, nothing overwritten, nothing half done."""

import errno
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.audio import read_audio
from kws.data import manifest
from kws.data.manifest import NEAR_PHRASE, SPEECH, Clip
from kws.data.synthesis import corpus
from kws.data.synthesis.config import SynthesisConfig
from kws.data.synthesis.corpus import synthesize
from kws.data.synthesis.plan import plan
from kws.data.synthesis.text import negatives
from kws.data.synthesis.voices import external
from kws.data.synthesis.voices.find import find_voices
from kws.data.synthesis.voices.timing import frame_energies
from kws.errors import KwsError

pytestmark = pytest.mark.slow

SMALL = SynthesisConfig(
    backends=("espeak",), positives=40, negatives=80, near_phrases=30, dev_share=0.2, test_share=0.2
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(SMALL, "Computer!", tmp_path_factory.mktemp("corpus") / "one", 7, processes=1)


def _files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_two_processes_make_the_same_bytes(made: Path, tmp_path: Path) -> None:
    again = synthesize(SMALL, "Computer!", tmp_path / "two", 7, processes=2)
    assert _files(again.parent) == _files(made.parent)


def test_another_seed_makes_other_clips() -> None:
    voices = find_voices(SMALL)
    assert plan(SMALL, "computer", voices, 1) == plan(SMALL, "computer", voices, 1)
    assert plan(SMALL, "computer", voices, 1) != plan(SMALL, "computer", voices, 2)


def test_what_the_manifest_says_is_so(made: Path) -> None:
    clips = manifest.read(made)
    assert Counter(clip.split for clip in clips) == {"train": 72, "dev": 24, "test": 24}
    labels = Counter(clip.label for clip in clips)
    assert labels["computer"] == 40
    assert labels[NEAR_PHRASE] + labels[SPEECH] == 80
    assert min(labels.values()) > 15
    phrase_filter = negatives.PhraseFilter("computer", ["gmw/en-US"])
    for clip in clips:
        samples = read_audio(clip.path)
        assert len(samples) == pytest.approx(clip.duration_s * 16000, abs=1)  # 0.1 ms
        assert 0.09 < np.abs(samples.astype(int)).max() / 32767 < 0.71
        if clip.label == "computer":
            _check_positive(clip, samples.astype(np.float32))
        else:
            assert clip.kw_start_s is None
            assert phrase_filter.without_phrase([clip.text]) == [clip.text]


def _check_positive(clip: Clip, samples: NDArray[np.float32]) -> None:
    assert clip.kw_start_s is not None
    assert clip.kw_end_s is not None
    assert (clip.kw_start_s, clip.kw_end_s) in [
        (word.start_s, word.end_s) for word in clip.words if word.text.lower() == "computer"
    ]
    energies = frame_energies(samples, 16000)
    inside = energies[int(clip.kw_start_s * 200) : int(clip.kw_end_s * 200) + 1]
    assert 0.2 < clip.kw_end_s - clip.kw_start_s < 2.0
    assert inside.mean() > 0.0
    if len(clip.words) == 1:
        assert inside.sum() > 0.9 * energies.sum()
        assert 0.09 < clip.kw_start_s < 0.45
        assert 0.09 < clip.duration_s - clip.kw_end_s < 0.6


def test_held_out_voices_and_sentences_are_not_in_training(made: Path) -> None:
    clips = manifest.read(made)
    for held_out in ("dev", "test"):
        for key in ("speaker", "text"):
            kept = [clip for clip in clips if key == "speaker" or clip.label == SPEECH]
            train = {getattr(clip, key) for clip in kept if clip.split == "train"}
            assert not train & {getattr(clip, key) for clip in kept if clip.split == held_out}


def test_a_complete_corpus_is_used_as_it_is(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = made.stat().st_mtime_ns
    assert synthesize(SMALL, "Computer!", made.parent, 7) == made
    assert made.stat().st_mtime_ns == before
    assert "using them as they are" in capsys.readouterr().err


def test_an_unfinished_corpus_is_finished(made: Path, tmp_path: Path) -> None:
    directory = tmp_path / "broken"
    shutil.copytree(made.parent, directory)
    (directory / "manifest.csv").unlink()
    (directory / manifest.read(made)[0].path[len(str(made.parent)) + 1 :]).unlink()
    synthesize(SMALL, "Computer!", directory, 7, processes=1)
    assert _files(directory) == _files(made.parent)


def test_nothing_of_the_users_is_touched(made: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(KwsError, match="holds other files"):
        synthesize(SMALL, "computer", tmp_path, 7)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(KwsError, match="another phrase, seed"):
        synthesize(SMALL, "Computer!", made.parent, 8)
    with pytest.raises(KwsError, match="cannot be used"):
        synthesize(SMALL, "computer", tmp_path / "thesis.txt", 7)


@pytest.mark.parametrize("phrase", ["", "!!!", "\U0001f916"])
def test_a_phrase_without_speech_leaves_nothing_behind(tmp_path: Path, phrase: str) -> None:
    with pytest.raises(KwsError, match="no letter and no digit; give words"):
        synthesize(SMALL, phrase, tmp_path / "new", 0)
    assert not (tmp_path / "new").exists()


def test_a_full_disk_is_one_sentence_and_no_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(KwsError, match="No space left on device"):
        synthesize(SMALL, "computer", tmp_path / "full", 0, processes=1)
    assert not (tmp_path / "full" / "manifest.csv").exists()


def test_voices_that_fail_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [external.ExternalVoice("command", name, "en", "", ("false",)) for name in "abcdef"]
    monkeypatch.setattr(corpus, "find_voices", lambda config: broken)
    with pytest.raises(KwsError, match="clips could not be synthesized; the first: command:"):
        synthesize(SMALL, "computer", tmp_path / "new", 0, processes=1)


def test_a_phrase_in_another_language(tmp_path: Path) -> None:
    config = SynthesisConfig(language="de", backends=("espeak",), positives=10, negatives=20, near_phrases=12)
    path = synthesize(config, "Grüß dich", tmp_path / "de", 0, processes=1)
    clips = manifest.read(path)
    assert {clip.speaker.split("+")[0] for clip in clips} == {"espeak:de"}
    positives = [clip for clip in clips if clip.label == manifest.slug("grüß dich")]
    assert len(positives) == 10
    for clip in positives:
        said = [word.text for word in clip.words if (clip.kw_start_s or 0.0) <= word.start_s < (clip.kw_end_s or 0.0)]
        assert said == ["Grüß", "dich"]
    marker = json.loads((tmp_path / "de" / "synthesis.json").read_text(encoding="utf-8"))
    assert marker["config"]["language"] == "de"


def test_voices_without_phonemes_are_given_words_only(monkeypatch: pytest.MonkeyPatch) -> None:
    others: Sequence[external.ExternalVoice] = [external.ExternalVoice("flite", n, "en", "", ()) for n in "abcdef"]
    jobs = plan(SMALL, "computer", others, 0)
    assert not [job for job in jobs if "[[" in job.text]
    mixed = plan(
        SynthesisConfig(positives=60, negatives=120, other_backends_share=0.5),
        "computer",
        [*find_voices(SMALL), *others],
        0,
    )
    assert {job.voice.name for job in mixed if "[[" in job.text} == {"espeak"}
    assert 40 < sum(job.voice.name == "flite" for job in mixed) < 110
