"""The clips of a split -> plans of streams: what evaluation and the held-out part of training lay out alike.

Some ten minutes at most lie in one stream. Every speaker's positives have streams of their own, and so has each label
without the phrase.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kws.data.manifest import Clip
from kws.data.phrases import label_contains, positive_labels
from kws.streams.conditions import Condition
from kws.streams.noise import NoiseBed
from kws.streams.room import Rooms

LEAD_IN_S = 1.5
"""Before the first clip: the detector's windows are full of something when the first word comes."""

TAIL_S = 1.5
"""After a positive clip: longer than a hit may be late, and than a second detection is ignored."""

NEGATIVE_GAP_S = 0.5
STREAM_S = 600.0
UNHEARD = frozenset({"rir", "array"})
"""Labels of what is no sound to listen to."""

Kind = Literal["positive", "negative"]


@dataclass(frozen=True)
class Plan:
    """The clips of one stream and how to lay them; the same plan always gives the same samples.

    With ``noise_snr_db`` the noise is drawn from the recordings ``noises``, or is built-in noise where there are
    none.
    """

    name: str
    label: str
    kind: Kind
    phrase: str
    clips: tuple[Clip, ...]
    noises: tuple[Clip, ...] = ()
    noise_snr_db: float | None = None
    seed: int = 0
    rooms: tuple[Clip, ...] = ()

    @property
    def duration_s(self) -> float:
        """Seconds of recordings, as the manifest declares them."""
        return sum(clip.duration_s for clip in self.clips)


def plans(clips: Iterable[Clip], condition: Condition, phrases: str | Sequence[str]) -> tuple[Plan, ...]:
    """Plan every stream of a split, some ten minutes at most each; every speaker's positives have their own.

    Negatives are all other labels that are sound to listen to, each label in its own streams. Labels that contain the
    phrase's words ("hey_computer" for "computer") are neither and are left out. With several phrases a plan has the one
    that it is a positive of, else the first that it is a negative of; ``layout_for`` says what it is to the others.
    In a room every clip but noise and music is convolved with one of the split's room responses ("rir").

    Raises:
        KwsError: noise or a room is asked for and the split has none.
    """
    mine = [clip for clip in clips if clip.split == condition.split]
    noise_snr_db = condition.noise_snr_db
    noises = noise_of(mine, condition.split) if noise_snr_db is not None else ()
    if noise_snr_db is not None:
        NoiseBed(noises, noise_snr_db)  # refuses a split without noise before any work is done
    rooms = Rooms([clip for clip in mine if clip.label == "rir"]).clips if condition.room else ()
    planned = []
    for (label, kind, phrase, name), members in _group(mine, _several(phrases)).items():
        unmixed = label in ("noise", "music")  # nothing is mixed into the noise itself
        under, snr_db, walls = ((), None, ()) if unmixed else (noises, noise_snr_db, rooms)
        full_name = f"{condition.split}/{label}/{name}"
        planned.append(Plan(full_name, label, kind, phrase, tuple(members), under, snr_db, condition.seed, walls))
    return tuple(planned)


def both_ways(
    clips: Sequence[Clip],
    split: str,
    phrases: str | Sequence[str],
    noises: tuple[Clip, ...],
    snr_db: float,
    twice: bool = False,
) -> list[Plan]:
    """Plan every other clip of a split clean and the rest with noise; with ``twice`` every clip both ways.

    Without ``noises`` the noise is a built-in one; see ``Plan``.
    """
    clean, noisy = (clips, clips) if twice else (clips[::2], clips[1::2])
    under = [
        replace(plan, name=f"{plan.name}/noise", noises=noises, noise_snr_db=snr_db)
        for plan in plans(noisy, Condition(split), phrases)
    ]
    return [*plans(clean, Condition(split), phrases), *under]


def noise_of(clips: Iterable[Clip], split: str) -> tuple[Clip, ...]:
    """Return a split's recordings of noise."""
    return tuple(clip for clip in clips if clip.split == split and clip.label == "noise")


def _several(phrases: str | Sequence[str]) -> tuple[str, ...]:
    return (phrases,) if isinstance(phrases, str) else tuple(phrases)


def _group(clips: Sequence[Clip], phrases: Sequence[str]) -> dict[tuple[str, Kind, str, str], list[Clip]]:
    groups: dict[tuple[str, Kind, str, str], list[Clip]] = {}
    filled_s: dict[tuple[str, str], float] = {}
    roles = {label: _role(label, phrases) for label in {clip.label for clip in clips}}
    for clip in clips:
        role = roles[clip.label]
        if role is None:
            continue
        kind, phrase = role
        owner = clip.speaker if kind == "positive" else ""
        filled_s[clip.label, owner] = filled_s.get((clip.label, owner), 0.0) + clip.duration_s + gap_s(kind)
        part = f"{int(filled_s[clip.label, owner] // STREAM_S):03d}"
        groups.setdefault((clip.label, kind, phrase, f"{owner}/{part}" if owner else part), []).append(clip)
    return groups


def _role(label: str, phrases: Sequence[str]) -> tuple[Kind, str] | None:
    """Return what a label is to the phrase that it is a positive of, else to the first that it is a negative of."""
    kinds = {phrase: kind_of(label, phrase) for phrase in phrases}
    order: tuple[Kind, Kind] = ("positive", "negative")
    return next(((kind, phrase) for kind in order for phrase in phrases if kinds[phrase] == kind), None)


def kind_of(label: str, phrase: str) -> Kind | None:
    """Return what a label is to a phrase; None: neither, it is not to be used."""
    if label in positive_labels(phrase):
        return "positive"
    if label in UNHEARD or label_contains(label, phrase):
        return None
    return "negative"


def gap_s(kind: Kind) -> float:
    """Return the seconds between two clips of a stream."""
    return LEAD_IN_S + TAIL_S if kind == "positive" else NEGATIVE_GAP_S
