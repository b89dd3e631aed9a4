"""MUSAN, ESC-50, RIRS_NOISES, MS-SNSD: trees of their layouts to splits, labels and the terms of each file."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kws.data.licences import commercial_use
from kws.data.manifest import Clip
from kws.errors import KwsError

MakeTree = Callable[..., Path]
Read = Callable[..., tuple[Any, dict[str, Clip]]]

LINE = "=" * 77
FMA = f"""music-fma-0000
"A" (by B)
CC BY 4.0
http://creativecommons.org/licenses/by/4.0/
{LINE}
music-fma-0001
Some Album is licensed under a Attribution-Noncommercial-Share Alike 3.0 United States License.
{LINE}
music-fma-0002
music-fma-0003
Public Domain Mark 1.0
{LINE}
music-fma-0004
All rights reserved
"""
SOUND_BIBLE = """noise-sound-bible-0001
Title: Creaky door
License: Attribution 3.0
Recorded by somebody
http://soundbible.com/1.html

noise-sound-bible-0002
Title: Bell
License: Public Domain
"""
MUSAN = {
    "music/fma/LICENSE": FMA,
    "music/fma/ANNOTATIONS": "music-fma-0000 jazz N Ann_Artist\nmusic-fma-0001 pop,rock Y Ann_Artist\n"
    "music-fma-0002 folk N Bob Composer\nmusic-fma-0003 folk N Carl\n",
    "noise/free-sound/LICENSE": "All selected recordings were marked as in the Public Domain on Free Sound\n",
    "noise/sound-bible/LICENSE": SOUND_BIBLE,
    "speech/us-gov/LICENSE": "These recordings are works of the U.S. government and in the public domain.\n",
}
MUSAN_SOUNDS = (
    *(f"music/fma/music-fma-000{number}.wav" for number in range(6)),
    *(f"noise/free-sound/noise-free-sound-000{number}.wav" for number in range(2)),
    *(f"noise/sound-bible/noise-sound-bible-000{number}.wav" for number in range(3)),
    *(f"speech/us-gov/speech-us-gov-000{number}.wav" for number in range(4)),
)
UNKNOWN = "unknown (MUSAN's LICENSE does not say)"


def by_stem(clips: dict[str, Clip]) -> dict[str, Clip]:
    return {Path(name).stem: clip for name, clip in clips.items()}


def test_musan_has_the_licence_of_each_file(tree: MakeTree, read: Read) -> None:
    report, clips = read("musan", tree("musan", MUSAN_SOUNDS, MUSAN))
    assert {stem: clip.licence for stem, clip in by_stem(clips).items() if not stem.startswith("speech")} == {
        "music-fma-0000": "CC-BY-4.0",
        "music-fma-0001": "CC-BY-NC-SA-3.0",
        "music-fma-0002": "public-domain",
        "music-fma-0003": "public-domain",
        "music-fma-0004": UNKNOWN,
        "music-fma-0005": UNKNOWN,
        "noise-free-sound-0000": "public-domain",
        "noise-free-sound-0001": "public-domain",
        "noise-sound-bible-0000": UNKNOWN,
        "noise-sound-bible-0001": "CC-BY-3.0",
        "noise-sound-bible-0002": "public-domain",
    }
    assert Counter(clip.label for clip in clips.values()) == {"music": 6, "noise": 5, "neg_speech": 4}
    assert not report.to_data()["commercial_use"]["clear"]


def test_musan_divides_noise_by_file_and_music_by_artist(tree: MakeTree, read: Read) -> None:
    _, clips = read("musan", tree("musan", MUSAN_SOUNDS, MUSAN))
    named = by_stem(clips)
    assert named["music-fma-0000"].split == named["music-fma-0001"].split, "one artist"
    for label in ("music", "noise"):
        assert {clip.split for clip in clips.values() if clip.label == label} == {"train", "dev", "test"}
    assert {clip.split for clip in clips.values() if clip.label == "neg_speech"} == {"train"}


def test_only_what_is_clear_is_kept_on_demand(tree: MakeTree, read: Read) -> None:
    report, clips = read("musan", tree("musan", MUSAN_SOUNDS, MUSAN), clear_only=True)
    assert commercial_use(clip.licence for clip in clips.values()).clear
    assert len(clips) == 15 - 4
    assert {reason: len(names) for reason, names in report.skips.by_reason.items()} == {
        "commercial use is not clear: CC-BY-NC-SA-3.0": 1,
        f"commercial use is not clear: {UNKNOWN}": 3,
    }


def test_a_musan_without_its_licence_files_is_not_clear(tree: MakeTree, read: Read) -> None:
    _, clips = read("musan", tree("musan", MUSAN_SOUNDS))
    assert {clip.licence for clip in clips.values()} == {UNKNOWN}


ESC_HEADER = "filename,fold,target,category,esc10,src_file,take\n"
ESC_ROWS = (
    "1-100032-A-0.wav,1,0,dog,True,100032,A\n1-100038-A-14.wav,1,14,chirping_birds,False,100038,A\n"
    "2-100648-A-43.wav,2,43,car_horn,False,100648,A\n3-100018-A-18.wav,3,18,toilet_flush,False,100018,A\n"
    "4-102844-A-49.wav,4,49,hand_saw,False,102844,A\n5-103415-A-2.wav,5,2,pig,False,103415,A\n"
)
ESC_SOUNDS = tuple(f"audio/{row.split(',')[0]}" for row in ESC_ROWS.splitlines())


def test_esc50_is_not_for_commercial_use_but_for_a_part(tree: MakeTree, read: Read) -> None:
    report, clips = read("esc50", tree("ESC-50-master", ESC_SOUNDS, {"meta/esc50.csv": ESC_HEADER + ESC_ROWS}))
    assert [clips[name].split for name in ESC_SOUNDS] == ["train", "train", "train", "train", "dev", "test"]
    assert {clip.label for clip in clips.values()} == {"noise"}
    assert [clips[name].licence for name in ESC_SOUNDS] == ["CC-BY-3.0 (ESC-10)", *["CC-BY-NC-3.0"] * 5]
    assert "commercial use: not clear because of CC-BY-NC-3.0 (non-commercial)" in report.text()
    assert report.utterances is None


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ({}, r"has no meta/esc50\.csv; give the folder ESC-50-master"),
        (
            {"meta/esc50.csv": ESC_HEADER.replace("fold", "part") + ESC_ROWS},
            r"esc50\.csv, line 1: column 'fold'",
        ),
        ({"meta/esc50.csv": ESC_HEADER + ESC_ROWS.replace("wav,5", "wav,7")}, r"5-103415-A-2\.wav is in fold '7'"),
        ({"meta/esc50.csv": ESC_HEADER + "a.wav,1\n"}, r"esc50\.csv, line 2: is cut short"),
        ({"meta/esc50.csv": ESC_HEADER + '"a'}, r"esc50\.csv, line 2: is not valid CSV"),
    ],
)
def test_an_esc50_that_is_none_is_refused(tree: MakeTree, read: Read, texts: dict[str, str], sentence: str) -> None:
    with pytest.raises(KwsError, match=sentence):
        read("esc50", tree("esc", ESC_SOUNDS, texts))


def test_a_table_may_not_name_files_outside(tree: MakeTree, read: Read) -> None:
    rows = ESC_ROWS + "../../secret.wav,1,0,dog,True,1,A\n/etc/hostname,1,0,dog,True,1,A\n"
    report, clips = read("esc50", tree("esc", ESC_SOUNDS, {"meta/esc50.csv": ESC_HEADER + rows}))
    assert set(clips) == set(ESC_SOUNDS)
    assert {reason: len(names) for reason, names in report.skips.by_reason.items()} == {
        "it is outside the corpus folder": 2
    }


REAL = "real_rirs_isotropic_noises"
ROOMS = [(size, f"Room00{number}") for size in ("smallroom", "largeroom") for number in (1, 2, 3)]
SIMULATED = [f"simulated_rirs/{size}/{room}/{room}-0000{n}.wav" for size, room in ROOMS for n in (1, 2)]
RIRS_SOUNDS = (
    *SIMULATED,
    f"{REAL}/RVB2014_type1_rir_largeroom1_near_angla.wav",
    f"{REAL}/RVB2014_type1_rir_largeroom1_far_angla.wav",
    f"{REAL}/RVB2014_type1_noise_largeroom1_1.wav",
    *(f"pointsource_noises/noise-free-sound-000{number}.wav" for number in range(4)),
)


def rirs_lists() -> dict[str, str]:
    lists = {
        f"simulated_rirs/{size}/rir_list": "".join(
            f"--rir-id {size}-{Path(path).stem} --room-id {size}-{Path(path).parent.name} RIRS_NOISES/{path}\n"
            for path in SIMULATED
            if f"/{size}/" in path
        )
        for size in ("smallroom", "largeroom")
    }
    lists[f"{REAL}/rir_list"] = "".join(
        f"--rir-id 0000{number} --room-id RVB2014_largeroom1 RIRS_NOISES/{path}\n"
        for number, path in enumerate(path for path in RIRS_SOUNDS if "_rir_" in path)
    )
    noise = f"RIRS_NOISES/{REAL}/RVB2014_type1_noise_largeroom1_1.wav"
    lists[f"{REAL}/noise_list"] = f"--noise-id 1 --noise-type isotropic --room-linkage RVB2014_largeroom1 {noise}\n"
    lists["pointsource_noises/noise_list"] = "".join(
        f'--noise-id p{number} --noise-type point-source --bg-fg-type foreground "RIRS_NOISES/{path}"\n'
        for number, path in enumerate(path for path in RIRS_SOUNDS if path.startswith("pointsource"))
    )
    return lists


def test_rirs_noises_keeps_rooms_together(tree: MakeTree, read: Read) -> None:
    report, clips = read("rirs_noises", tree("RIRS_NOISES", RIRS_SOUNDS, rirs_lists()))
    assert set(clips) == set(RIRS_SOUNDS)
    assert Counter(clip.label for clip in clips.values()) == {"rir": 14, "noise": 5}
    rooms = {(clip.speaker, clip.split) for clip in clips.values() if clip.label == "rir"}
    assert len(rooms) == 7, "every room in one split"
    assert {split for _, split in rooms} == {"train", "dev", "test"}
    assert clips[SIMULATED[0]].speaker == "room:smallroom-Room001"
    in_room = {clip.split for name, clip in clips.items() if "largeroom1" in name}
    assert len(in_room) == 1, "the noise of a room is with its responses"
    licences = {clip.licence.partition(" ")[0] for name, clip in clips.items() if "noise-free-sound" in name}
    assert licences == {"public-domain"}
    assert clips[SIMULATED[0]].licence == "Apache-2.0"
    assert report.to_data()["commercial_use"]["clear"]


def test_rirs_noises_refuses_a_part_without_lists_and_lines_that_are_none(tree: MakeTree, read: Read) -> None:
    lists = rirs_lists()
    broken = {**lists, "pointsource_noises/noise_list": "--noise-id p0 RIRS_NOISES/a.wav extra\n"}
    with pytest.raises(KwsError, match="noise_list: cannot read the line '--noise-id p0"):
        read("rirs_noises", tree("broken", RIRS_SOUNDS, broken))
    del lists["pointsource_noises/noise_list"]
    with pytest.raises(KwsError, match="pointsource_noises: has neither rir_list nor noise_list"):
        read("rirs_noises", tree("without", RIRS_SOUNDS, lists))


SNSD_SOUNDS = (
    *(f"noise_train/{kind}_{n}.wav" for kind in ("Babble", "Typing", "CopyMachine", "WasherDryer") for n in (1, 2)),
    *("noise_test/Babble_1.wav", "clean_train/clnsp1.wav", "clean_train/p234_002.wav", "clean_test/clnsp7.wav"),
)


def test_ms_snsd_holds_out_whole_kinds_of_noise(tree: MakeTree, read: Read) -> None:
    _, clips = read("ms_snsd", tree("MS-SNSD", SNSD_SOUNDS))
    kinds = {(Path(name).stem.split("_")[0], clip.split) for name, clip in clips.items() if "noise_train" in name}
    assert len(kinds) == 4
    assert Counter(split for _, split in kinds) == {"train": 3, "dev": 1}
    assert clips["noise_test/Babble_1.wav"].split == "test"
    assert [(clips[name].split, clips[name].label, clips[name].speaker) for name in SNSD_SOUNDS[-3:]] == [
        ("train", "neg_speech", ""),
        ("train", "neg_speech", "ms_snsd:p234"),
        ("test", "neg_speech", ""),
    ]
    noise, speech = (clips[name].licence for name in ("noise_test/Babble_1.wav", "clean_test/clnsp7.wav"))
    assert commercial_use([noise]).text() == "commercial use: clear, with attribution and share-alike"
    assert not commercial_use([speech]).clear


@pytest.mark.parametrize("kind", ["speech_commands", "librispeech", "musan", "rirs_noises", "ms_snsd", "folder"])
def test_another_folder_is_one_sentence(tree: MakeTree, read: Read, kind: str) -> None:
    folder = tree("other", (), {"readme.txt": "nothing"})
    for place in (folder, folder / "missing", folder / "readme.txt"):
        with pytest.raises(KwsError, match="other") as caught:
            read(kind, place)
        assert "\n" not in str(caught.value)
    assert [path.name for path in folder.iterdir()] == ["readme.txt"]
