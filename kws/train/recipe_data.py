"""What a recipe's manifests hold, read once and passed on: domains, clips, transcripts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from kws.data import copies, corpus, manifest, times
from kws.data.clip_sound import clip_seconds
from kws.data.corpus import Corpus
from kws.data.manifest import Clip
from kws.data.phrases import positive_labels
from kws.data.transcripts import Transcripts, Utterance
from kws.errors import KwsError
from kws.recipe import DataConfig, Recipe


@dataclass(frozen=True)
class Domain:
    """Clips of one origin, such as synthetic voices or a user's recordings (``recorded``); each weighs the same."""

    name: str
    clips: tuple[Clip, ...]
    recorded: bool = False


@dataclass(frozen=True, eq=False)
class RecipeData:
    """What is learned from and chosen on.

    Attributes:
        domains: one for each manifest, the clips that the recipe takes, each with its length.
        corpora: one for each manifest as well, the clips that the recipe takes as the manifest has them.
        whole: every manifest once, with all of its clips.
    """

    domains: tuple[Domain, ...] = ()
    corpora: tuple[Corpus, ...] = ()
    whole: tuple[Corpus, ...] = ()

    @cached_property
    def clips(self) -> tuple[Clip, ...]:
        """The clips of all domains, in their order."""
        return tuple(clip for domain in self.domains for clip in domain.clips)

    @cached_property
    def transcripts(self) -> Transcripts:
        """What is said in the clips, as far as the manifests' ``utterances.csv`` tell."""
        transcripts: dict[str, tuple[Utterance, ...]] = {}
        for one in self.corpora:
            transcripts.update(one.transcripts)
        return transcripts

    def check_copies(self) -> None:
        """Refuse recordings that are learned from and held out; tell of copies, and of voices in several splits.

        Raises:
            KwsError: the same recording is in two splits.
        """
        several = {(clip.path, clip.split): clip for clip in self.clips}  # two entries may take the same clip
        copies.check(list(several.values()), "the recipe's data")

    def __add__(self, other: "RecipeData") -> "RecipeData":
        """Return both, this one first."""
        return RecipeData(self.domains + other.domains, self.corpora + other.corpora, self.whole + other.whole)

    def with_domain(self, domain: Domain) -> "RecipeData":
        """Return the data with one more domain to learn from, on which no threshold is chosen."""
        return replace(self, domains=(*self.domains, domain))


def read_data(recipe: Recipe, manifests: Sequence[Path] = ()) -> RecipeData:
    """Return the clips of the manifests, such as synthetic ones, and of the recipe's own data with the labels it names.

    Raises:
        KwsError: a manifest is not as it must be, or has none of the labels.
    """
    return read_synthetic(manifests) + read_recordings(recipe)


def read_synthetic(manifests: Sequence[Path]) -> RecipeData:
    """Return all clips of the manifests, which are no recordings."""
    corpora = tuple(corpus.read(path, check=False) for path in manifests)
    return RecipeData(tuple(_domain(one, recorded=False) for one in corpora), corpora, corpora)


def read_recordings(recipe: Recipe) -> RecipeData:
    """Return the clips of the recipe's own data; a manifest that several of its entries name is read once."""
    whole: dict[str, Corpus] = {}
    corpora = []
    for entry in recipe.data:
        if entry.manifest not in whole:
            whole[entry.manifest] = _recordings(entry)
        corpora.append(_labelled(recipe, entry, whole[entry.manifest]))
    return RecipeData(tuple(_domain(one, recorded=True) for one in corpora), tuple(corpora), tuple(whole.values()))


def _recordings(entry: DataConfig) -> Corpus:
    path = Path(entry.manifest)
    if not path.exists():
        raise KwsError(
            f"{entry.manifest}: is not there; name the folder of your recordings by --data DIR "
            "(kws corpus makes manifests of downloaded ones), or correct the recipe's [[data]]"
        )
    return corpus.read(path, check=False)  # all of the recipe's data are checked together


def _labelled(recipe: Recipe, entry: DataConfig, whole: Corpus) -> Corpus:
    unknown = sorted(set(entry.labels) - {clip.label for clip in whole.clips})
    if unknown:
        raise KwsError(f"{entry.manifest}: has no clip with label {unknown[0]!r}; correct the recipe's data.labels")
    return replace(whole, clips=taken(recipe, entry, whole.clips))


def _domain(one: Corpus, recorded: bool) -> Domain:
    return Domain(one.folder.name, tuple(map(_with_duration, one.clips)), recorded)


def _with_duration(clip: Clip) -> Clip:
    """Return the clip with its length, which a manifest may leave empty."""
    if clip.duration_s > 0.0:
        return clip
    clip = replace(clip, duration_s=clip_seconds(clip))
    times.check_sound(clip, clip.duration_s)
    return clip


def taken(recipe: Recipe, entry: DataConfig, clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """Return those of a manifest's clips that the recipe's entry names, whatever their split."""
    own = own_labels(recipe)

    def is_taken(label: str) -> bool:
        if entry.labels and label not in entry.labels:
            return False
        if label in own:
            return entry.positives
        return entry.other_words or (label in manifest.RESERVED and label != manifest.WORD)

    return tuple(clip for clip in clips if is_taken(clip.label))


def own_labels(recipe: Recipe) -> set[str]:
    """Return the labels of clips in which one of the recipe's phrases is said."""
    return {label for phrase in recipe.wake_phrases for label in positive_labels(phrase)}
