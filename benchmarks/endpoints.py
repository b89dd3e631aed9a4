"""Energy endpoints against known word times: python benchmarks/endpoints.py CORPUS_DIRECTORY [--split test]

Takes every clip of the corpus's manifest.csv that holds one phrase alone and has keyword times, estimates them from
energy, and prints the distribution of the error (estimate minus manifest; below zero is early) per label.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kws.data import manifest
from kws.data.clip_sound import read_clip
from kws.data.manifest import Clip
from kws.data.sounds.endpoints import estimate


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("corpus", type=Path, help="directory that holds manifest.csv")
    parser.add_argument("--split", help="train, dev or test; all when left out")
    arguments = parser.parse_args()
    clips = [clip for clip in manifest.read(arguments.corpus / "manifest.csv") if _is_known(clip, arguments.split)]
    if not clips:
        parser.error(f"{arguments.corpus}: no clip of one phrase with keyword times")
    print(f"{'label':<16}{'clips':>6}  {'start: median':>14}{'|error| median':>16}{'p95':>7}", end="")
    print(f"  {'end: median':>12}{'|error| median':>16}{'p95':>7}   (ms)")
    for label in sorted({clip.label for clip in clips}):
        _print_row(label, [clip for clip in clips if clip.label == label])
    _print_row("all", clips)


def _is_known(clip: Clip, split: str | None) -> bool:
    alone = not clip.label.startswith("sentence:")
    return alone and clip.kw_end_s is not None and split in (None, clip.split)


def _print_row(label: str, clips: Sequence[Clip]) -> None:
    estimates = [estimate(read_clip(clip)) for clip in clips]
    known = [(clip.kw_start_s or 0.0, clip.kw_end_s or 0.0) for clip in clips]
    error = 1000.0 * (np.array(estimates) - np.array(known))
    bias = np.median(error, axis=0)
    middle = np.median(np.abs(error), axis=0)
    tail = np.percentile(np.abs(error), 95, axis=0)
    print(f"{label:<16}{len(clips):>6}  {bias[0]:>14.0f}{middle[0]:>16.0f}{tail[0]:>7.0f}", end="")
    print(f"  {bias[1]:>12.0f}{middle[1]:>16.0f}{tail[1]:>7.0f}")


if __name__ == "__main__":
    main()
