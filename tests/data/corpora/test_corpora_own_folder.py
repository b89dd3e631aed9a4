"""A folder of one's own recordings: labels, speakers and splits by names, or by a pattern."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kws.data.corpora.splits import by_name
from kws.data.manifest import Clip
from kws.errors import KwsError

MakeTree = Callable[..., Path]
Read = Callable[..., tuple[Any, dict[str, Clip]]]
PEOPLE = ("ann", "bob", "carl", "dora")


def test_folders_are_labels_and_speakers(tree: MakeTree, read: Read) -> None:
    phrase = [f"Hey Marvin/{who}/take {number}.wav" for who in PEOPLE for number in (1, 2)]
    other = [f"neg_speech/{who}/{number}.flac" for who in PEOPLE for number in (1, 2)]
    noises = [f"noise/kitchen/{number}.ogg" for number in range(3)]
    _, clips = read("folder", tree("mine", (*phrase, *other, *noises)), licence="own recordings")
    assert {clip.label for name, clip in clips.items() if name.startswith("Hey")} == {"hey_marvin"}
    assert {clip.licence for clip in clips.values()} == {"own recordings"}
    assert clips["Hey Marvin/bob/take 2.wav"].speaker == "bob"
    of_speaker = {who: {clip.split for clip in clips.values() if clip.speaker == who} for who in PEOPLE}
    assert all(len(splits) == 1 for splits in of_speaker.values()), "a speaker is in one split"
    assert set.union(*of_speaker.values()) == {"train", "dev", "test"}
    assert {(clips[name].label, clips[name].speaker) for name in noises} == {("noise", "")}
    assert {clips[name].split for name in noises} == {"train", "dev", "test"}


def test_every_split_has_all_that_three_people_say(tree: MakeTree, read: Read) -> None:
    """Many who only talk must not take the few who say the phrase out of dev and test."""
    phrase = [f"hey/{who}/1.wav" for who in PEOPLE[:3]]
    other = [f"neg_speech/person{number:02d}/1.wav" for number in range(30)]
    _, clips = read("folder", tree("mine", (*phrase, *other)))
    assert {clips[name].split for name in phrase} == {"train", "dev", "test"}
    assert {clips[name].split for name in other} == {"train", "dev", "test"}


def test_one_persons_clips_are_split_each_label_by_itself(tree: MakeTree, read: Read) -> None:
    names = [f"{label}/{number:02d}.wav" for label in ("hey", "neg_speech") for number in range(6)]
    report, clips = read("folder", tree("mine", tuple(names)))
    assert {clip.speaker for clip in clips.values()} == {"mine"}
    for label in ("hey", "neg_speech"):
        assert {clip.split for clip in clips.values() if clip.label == label} == {"train", "dev", "test"}
    assert "in more than one split: 1 speakers, such as mine" in report.text()
    assert "commercial use: not clear because of unknown (no licence is named)" in report.text()


@pytest.mark.parametrize(
    ("pattern", "name", "wanted"),
    [
        ("{speaker}_{label}_*", "ann_hey_marvin_01.wav", ("hey_marvin", "ann")),
        ("{label}/{speaker}_*", "hey marvin/bob_3_b.wav", ("hey_marvin", "bob")),
        ("{speaker}/{label}-*", "carl/computer-7.wav", ("computer", "carl")),
        ("*/{label}", "session 1/NOISE.wav", ("noise", "")),
    ],
)
def test_a_pattern_says_how_names_are_read(
    tree: MakeTree, read: Read, pattern: str, name: str, wanted: tuple[str, str]
) -> None:
    report, clips = read("folder", tree("mine", (name, "x.wav")), pattern=pattern)
    assert [(clip.label, clip.speaker) for clip in clips.values()] == [wanted]
    assert report.skips.by_reason == {f"its name does not fit {pattern}": [str(report.folder / "x.wav")]}


def test_a_pattern_can_name_the_split(tree: MakeTree, read: Read) -> None:
    names = ("dev/hey/1.wav", "test/hey/1.wav", "train/hey/1.wav")
    _, clips = read("folder", tree("mine", names), pattern="{split}/{label}/*")
    assert {name: clip.split for name, clip in clips.items()} == {name: name.split("/")[0] for name in names}
    with pytest.raises(KwsError, match=r"its split 'other' is none of train, dev, test"):
        read("folder", tree("wrong", ("other/hey/1.wav",)), pattern="{split}/{label}/*")


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("{speaker}/*", "{label} is missing"),
        ("{label}/{label}", "{label} must be one of .* each at most once"),
        ("{label}/{who}", "{who} must be one of {label}, {speaker}, {split}"),
    ],
)
def test_a_pattern_that_says_nothing_is_refused(tree: MakeTree, read: Read, pattern: str, sentence: str) -> None:
    with pytest.raises(KwsError, match=sentence):
        read("folder", tree("mine", ("hey/1.wav",)), pattern=pattern)


def test_a_folder_without_sound_is_refused(tree: MakeTree, read: Read) -> None:
    with pytest.raises(KwsError, match=r"mine: has no sound file; give the folder that holds the recordings"):
        read("folder", tree("mine", (), {"notes.txt": "none yet"}))


def test_a_label_needs_a_letter(tree: MakeTree, read: Read) -> None:
    with pytest.raises(KwsError, match=r"!!!/1\.wav: its label '!!!' has no letter and no digit"):
        read("folder", tree("mine", ("!!!/1.wav",)))


def test_names_decide_splits_and_further_names_move_few() -> None:
    few, many = by_name(f"s{number}" for number in range(200)), by_name(f"s{number}" for number in range(220))
    assert few == by_name(f"s{number}" for number in reversed(range(200))), "their order does not matter"
    assert all(many[name] == split for name, split in few.items()), "with many names the hash alone decides"
    shares = [sum(split == wanted for split in many.values()) / 220 for wanted in ("dev", "test")]
    assert all(0.09 < share < 0.21 for share in shares)
    assert [sorted(by_name("abcdef"[:count]).values()) for count in (0, 1, 2)] == [[], ["train"], ["dev", "train"]]
    for count in range(3, 12):
        splits = list(by_name(f"x{number}" for number in range(count)).values())
        assert set(splits) == {"train", "dev", "test"}
        assert max(splits.count("dev"), splits.count("test")) <= count // 3


def test_a_label_that_would_lose_a_sign_is_refused(tree: MakeTree, read: Read) -> None:
    """ "C++" and "C#" would both be "c"."""
    with pytest.raises(KwsError, match=r"C#/ann/1\.wav: its label 'C#' would lose '#'; rename it"):
        read("folder", tree("takes", ("C++/ann/1.wav", "C#/ann/1.wav")))
