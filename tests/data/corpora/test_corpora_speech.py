"""Speech Commands, Common Voice, LibriSpeech: trees of their layouts to splits, labels, speakers, transcripts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kws.data.manifest import Clip
from kws.errors import KwsError

MakeTree = Callable[..., Path]
Read = Callable[..., tuple[Any, dict[str, Clip]]]
TranscriptsOf = Callable[[Path], dict[str, tuple[float, float, str]]]


def rows(clips: dict[str, Clip]) -> dict[str, tuple[str, str, str, str]]:
    return {name: (clip.split, clip.label, clip.speaker, clip.text) for name, clip in clips.items()}


WORDS = (
    "yes/0a7c2a8d_nohash_0.wav",
    "yes/0a7c2a8d_nohash_1.wav",
    "no/1b8d3c9e_nohash_0.wav",
    "no/2c9e4daf_nohash_0.wav",
)
NOISES = tuple(f"_background_noise_/{name}.wav" for name in ("running_tap", "white_noise", "doing_the_dishes"))
LISTS = {"validation_list.txt": "no/1b8d3c9e_nohash_0.wav\n", "testing_list.txt": "no/2c9e4daf_nohash_0.wav\n"}


def test_speech_commands(tree: MakeTree, read: Read, transcripts_of: TranscriptsOf) -> None:
    folder = tree("sc", (*WORDS, *NOISES), {**LISTS, "README.md": "words"})
    report, clips = read("speech_commands", folder)
    assert {name: row for name, row in rows(clips).items() if name not in NOISES} == {
        "yes/0a7c2a8d_nohash_0.wav": ("train", "yes", "speech_commands:0a7c2a8d", "yes"),
        "yes/0a7c2a8d_nohash_1.wav": ("train", "yes", "speech_commands:0a7c2a8d", "yes"),
        "no/1b8d3c9e_nohash_0.wav": ("dev", "no", "speech_commands:1b8d3c9e", "no"),
        "no/2c9e4daf_nohash_0.wav": ("test", "no", "speech_commands:2c9e4daf", "no"),
    }
    assert {clips[name].label for name in NOISES} == {"noise"}
    assert {clips[name].split for name in NOISES} == {"train", "dev", "test"}
    assert {clip.licence for clip in clips.values()} == {"CC-BY-4.0"}
    assert {clip.source for clip in clips.values()} == {"Google Speech Commands"}
    assert all(clip.duration_s == 0.1 for clip in clips.values())
    assert transcripts_of(report.manifest)["yes/0a7c2a8d_nohash_1.wav"] == (0.0, 0.1, "yes")
    assert len(transcripts_of(report.manifest)) == 4
    assert report.skips.count == 0


def test_speech_commands_names_what_it_leaves_out(tree: MakeTree, read: Read) -> None:
    lists = {**LISTS, "testing_list.txt": "no/2c9e4daf_nohash_0.wav\nup/3dafbe01_nohash_0.wav\n"}
    folder = tree("sc", (*WORDS, "yes/mine.wav", "loose.wav"), lists)
    report, clips = read("speech_commands", folder)
    assert set(clips) == set(WORDS)
    assert {reason: [Path(name).name for name in names] for reason, names in report.skips.by_reason.items()} == {
        "testing_list.txt names it, but it is not there": ["3dafbe01_nohash_0.wav"],
        "its name has no _nohash_, before which its speaker stands": ["mine.wav"],
        "it is not in the folder of a word": ["loose.wav"],
    }


def test_the_test_archive_of_speech_commands_has_no_lists(tree: MakeTree, read: Read) -> None:
    folder = tree("sc", ("yes/0a_nohash_0.wav", "_unknown_/0b_nohash_0.wav", "_silence_/x.wav"))
    with pytest.raises(KwsError, match=r"sc: has no validation_list\.txt.* or give --split"):
        read("speech_commands", folder)
    _, clips = read("speech_commands", folder, split="test")
    assert {name: (clip.split, clip.label) for name, clip in clips.items()} == {
        "yes/0a_nohash_0.wav": ("test", "yes"),
        "_unknown_/0b_nohash_0.wav": ("test", "neg_word"),
        "_silence_/x.wav": ("test", "noise"),
    }


def test_a_file_in_both_lists_is_refused(tree: MakeTree, read: Read) -> None:
    folder = tree("sc", WORDS, {**LISTS, "testing_list.txt": LISTS["validation_list.txt"]})
    with pytest.raises(KwsError, match=r"testing_list\.txt: lists no/1b8d3c9e_nohash_0\.wav, which is listed already"):
        read("speech_commands", folder)


HEADER = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\n"


def table(*lines: tuple[str, str, str]) -> str:
    return HEADER + "".join("\t".join((*line, "2", "0", "", "", "", "en")) + "\n" for line in lines)


CLIPS = tuple(f"clips/common_voice_en_{number}.mp3" for number in range(1, 6))
ANN, BOB, CARL = "a" * 128, "b" * 128, "c" * 128
TABLES = {
    "train.tsv": table(
        (ANN, "common_voice_en_1.mp3", 'He said "wait", and left.'),
        (ANN, "common_voice_en_2", "A line separator\u2028inside"),
    ),
    "dev.tsv": table((BOB, "common_voice_en_3.mp3", "Firefox")),
    "test.tsv": table((CARL, "common_voice_en_4.mp3", "Ünder the bridge")),
    "validated.tsv": table((CARL, "common_voice_en_5.mp3", "Never in a split")),
}


def test_common_voice(tree: MakeTree, read: Read, transcripts_of: TranscriptsOf) -> None:
    folder = tree("en", CLIPS, TABLES)
    report, clips = read("common_voice", folder)
    assert rows(clips) == {
        CLIPS[0]: ("train", "neg_speech", "common_voice:" + "a" * 16, 'He said "wait", and left.'),
        CLIPS[1]: ("train", "neg_speech", "common_voice:" + "a" * 16, "A line separator\u2028inside"),
        CLIPS[2]: ("dev", "neg_word", "common_voice:" + "b" * 16, "Firefox"),
        CLIPS[3]: ("test", "neg_speech", "common_voice:" + "c" * 16, "Ünder the bridge"),
    }
    assert {clip.licence for clip in clips.values()} == {"CC0-1.0"}
    assert all(abs(clip.duration_s - 0.1) < 0.08 for clip in clips.values()), "an MP3 is padded"
    assert transcripts_of(report.manifest)[CLIPS[0]][2] == 'He said "wait", and left.'


def test_common_voice_tells_durations_itself_and_lists_what_is_not_there(tree: MakeTree, read: Read) -> None:
    durations = "clip\tduration[ms]\n" + "".join(f"{Path(clip).name}\t{3141}\n" for clip in CLIPS)
    folder = tree("en", CLIPS[:1], {**TABLES, "clip_durations.tsv": durations})
    report, clips = read("common_voice", folder)
    assert [(name, clip.duration_s) for name, clip in clips.items()] == [(CLIPS[0], 3.141)]
    assert {reason: len(names) for reason, names in report.skips.by_reason.items()} == {"does not exist": 3}


def test_common_voice_without_splits_is_split_by_speaker(tree: MakeTree, read: Read) -> None:
    lines = [(speaker * 128, f"common_voice_en_{n}.mp3", "Some words") for n, speaker in enumerate("aabbc", 1)]
    folder = tree("delta", CLIPS, {"validated.tsv": table(*lines)})
    _, clips = read("common_voice", folder)
    splits = [clips[name].split for name in CLIPS]
    assert splits[0] == splits[1] != splits[2] == splits[3] != splits[4]
    assert set(splits) == {"train", "dev", "test"}


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ({}, r"en: has no train\.tsv and no validated\.tsv; give the folder of one language"),
        ({"train.tsv": "client_id\tpath\n"}, r"train\.tsv, line 1: column 'sentence' is missing"),
        ({"train.tsv": HEADER + "abc\tcommon_voice_en_1.mp3\n"}, r"train\.tsv, line 2: is cut short"),
        ({**TABLES, "clip_durations.tsv": "clip\tduration[ms]\nx.mp3\tlong\n"}, "a duration is not a number"),
    ],
)
def test_a_common_voice_that_is_none_is_refused(
    tree: MakeTree, read: Read, texts: dict[str, str], sentence: str
) -> None:
    with pytest.raises(KwsError, match=sentence):
        read("common_voice", tree("en", CLIPS[:1], texts))


def test_the_folder_above_gets_a_hint(tree: MakeTree, read: Read) -> None:
    folder = tree("cv-corpus", ("de/clips/a.mp3",), {"de/train.tsv": TABLES["train.tsv"]})
    with pytest.raises(KwsError, match=r"cv-corpus: has no train.tsv .* \(did you mean .*cv-corpus/de\?\)"):
        read("common_voice", folder)


SPEAKERS = """; Some pipe(|) separated metadata about all the speakers
;ID  |SEX| SUBSET           |MINUTES| NAME
19   | F | train-clean-100  | 25.19 | Kara Shallenberg
84   | F | dev-clean        | 8.02  | Christie Nowak
61   | M | test-clean       | 8.08  | Paul | with a bar
"""
UTTERANCES = (
    "train-clean-100/19/198/19-198-0000.flac",
    "train-clean-100/19/198/19-198-0001.flac",
    "dev-clean/84/121123/84-121123-0000.flac",
    "test-clean/61/70968/61-70968-0000.flac",
)
TEXTS = {
    "SPEAKERS.TXT": SPEAKERS,
    "train-clean-100/19/198/19-198.trans.txt": "19-198-0000 NORTHANGER ABBEY\n19-198-0001 THIS LITTLE WORK\n",
    "dev-clean/84/121123/84-121123.trans.txt": "84-121123-0000 GO DO YOU HEAR\n",
    "test-clean/61/70968/61-70968.trans.txt": "61-70968-0000 HE BEGAN A CONFUSED COMPLAINT\n",
}


def test_librispeech(tree: MakeTree, read: Read, transcripts_of: TranscriptsOf) -> None:
    folder = tree("LibriSpeech", UTTERANCES, TEXTS)
    report, clips = read("librispeech", folder)
    assert rows(clips) == {
        UTTERANCES[0]: ("train", "neg_speech", "librispeech:19", "NORTHANGER ABBEY"),
        UTTERANCES[1]: ("train", "neg_speech", "librispeech:19", "THIS LITTLE WORK"),
        UTTERANCES[2]: ("dev", "neg_speech", "librispeech:84", "GO DO YOU HEAR"),
        UTTERANCES[3]: ("test", "neg_speech", "librispeech:61", "HE BEGAN A CONFUSED COMPLAINT"),
    }
    assert {clip.licence for clip in clips.values()} == {"CC-BY-4.0"}
    assert transcripts_of(report.manifest) == {name: (0.0, 0.1, clip.text) for name, clip in clips.items()}


def test_librispeech_names_what_does_not_fit_together(tree: MakeTree, read: Read) -> None:
    extra = "train-clean-100/19/198/19-198-0002.flac"
    listed = {**TEXTS, "dev-clean/84/121123/84-121123.trans.txt": "84-121123-0000 GO\n84-121123-0009 GONE\n"}
    report, clips = read("librispeech", tree("LibriSpeech", (*UTTERANCES, extra), listed))
    assert set(clips) == set(UTTERANCES)
    assert {reason: [Path(name).name for name in names] for reason, names in report.skips.by_reason.items()} == {
        "no .trans.txt beside it has its transcript": ["19-198-0002.flac"],
        "its .trans.txt names it, but it is not there": ["84-121123-0009.flac"],
    }


@pytest.mark.parametrize(
    ("speakers", "sentence"),
    [
        (
            SPEAKERS.replace("train-clean-100", "dev-clean"),
            r"train-clean-100/19: SPEAKERS\.TXT has this speaker in dev",
        ),
        (SPEAKERS.replace("19   |", "20   |"), r"train-clean-100/19: SPEAKERS\.TXT does not list this speaker"),
    ],
)
def test_a_mixed_up_librispeech_is_refused(tree: MakeTree, read: Read, speakers: str, sentence: str) -> None:
    with pytest.raises(KwsError, match=sentence):
        read("librispeech", tree("LibriSpeech", UTTERANCES, {**TEXTS, "SPEAKERS.TXT": speakers}))


def test_a_subset_alone_gets_a_hint(tree: MakeTree, read: Read) -> None:
    folder = tree("LibriSpeech", UTTERANCES, TEXTS)
    with pytest.raises(KwsError, match=r"dev-clean: has no folder such as .* \(did you mean .*/LibriSpeech\?\)"):
        read("librispeech", folder / "dev-clean")
