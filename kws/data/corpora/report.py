"""What a corpus holds, for a person and for a program."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kws.data.copies import speakers_in_several_splits
from kws.data.corpora.adapter import Skips
from kws.data.licences import commercial_use
from kws.data.manifest import SPLITS, Clip
from kws.system.tables import SIMPLE, Table, clean, printed

SHOWN_LABELS = 20
SHOWN_NAMES = 3


@dataclass(frozen=True)
class Report:
    """The manifest of a corpus' folder, where its transcripts went if it has any, the clips, what was left out."""

    folder: Path
    manifest: Path
    utterances: Path | None
    clips: tuple[Clip, ...]
    skips: Skips

    def to_data(self) -> dict[str, Any]:
        """Return everything as JSON-ready data."""
        return {
            "manifest": str(self.manifest),
            "utterances": str(self.utterances) if self.utterances else None,
            "labels": [
                {"label": label, "split": split, **amount} for (label, split), amount in sorted(self._amounts().items())
            ],
            "speakers_in_several_splits": speakers_in_several_splits(self.clips),
            "licences": sorted({clip.licence for clip in self.clips}),
            "commercial_use": self._use().to_data(),
            "left_out": {reason: [self._short(name) for name in names] for reason, names in self._left_out()},
        }

    def text(self) -> str:
        """Return what a person should know before training with it."""
        lines = []
        for reason, names in self._left_out():
            some = ", ".join(map(self._short, names[:SHOWN_NAMES])) + (", .." if len(names) > SHOWN_NAMES else "")
            lines.append(f"left out: {len(names):,} ({reason}): {some}")
        if shared := speakers_in_several_splits(self.clips):
            lines.append(f"in more than one split: {len(shared):,} speakers, such as {shared[0]}")
        lines += [f"no clip in {split}" for split in SPLITS if all(clip.split != split for clip in self.clips)]
        lines.append(self._use().text())
        lines.append(str(self.manifest))
        return "\n".join([printed(self._table()), *map(clean, lines)])

    def _use(self) -> Any:
        return commercial_use(clip.licence for clip in self.clips)

    def _amounts(self) -> dict[tuple[str, str], dict[str, Any]]:
        groups: dict[tuple[str, str], list[Clip]] = defaultdict(list)
        for clip in self.clips:
            groups[clip.label, clip.split].append(clip)
        return {
            key: {
                "clips": len(clips),
                "hours": round(sum(clip.duration_s for clip in clips) / 3600.0, 4),
                "speakers": len({clip.speaker for clip in clips} - {""}),
            }
            for key, clips in groups.items()
        }

    def _table(self) -> Table:
        """A row for each label; where there are many, those with the fewest clips together in one."""
        amounts = self._amounts()
        clips_of = {
            label: sum(amount["clips"] for key, amount in amounts.items() if key[0] == label) for label, _ in amounts
        }
        labels = sorted(clips_of, key=lambda label: (-clips_of[label], label))
        shown = Table(box=SIMPLE, title=str(self.folder))
        for heading in ("label", *(f"{split}: clips, hours, speakers" for split in SPLITS)):
            shown.add_column(heading)
        for label in labels[:SHOWN_LABELS]:
            cells = (amounts.get((label, split)) for split in SPLITS)
            shown.add_row(
                label,
                *(f"{one['clips']:,}, {one['hours']:.2f}, {one['speakers']:,}" if one else "-" for one in cells),
            )
        rest = labels[SHOWN_LABELS:]
        if rest:
            sums = [[amounts[label, split] for label in rest if (label, split) in amounts] for split in SPLITS]
            shown.add_row(
                f"{len(rest)} more",
                *(f"{sum(one['clips'] for one in part):,}, {sum(one['hours'] for one in part):.2f}" for part in sums),
            )
        return shown

    def _left_out(self) -> list[tuple[str, list[str]]]:
        return sorted(self.skips.by_reason.items(), key=lambda item: (-len(item[1]), item[0]))

    def _short(self, name: str) -> str:
        """Return a file's name inside of the corpus."""
        path = Path(name)
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else name
