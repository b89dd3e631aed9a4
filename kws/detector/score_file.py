"""The whole curve of scores as a CSV file: what ``kws detect --scores`` writes (docs/python.md has the format)."""

import contextlib
import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kws.detector.config import SCORE_ONE
from kws.detector.files import Partial
from kws.detector.model_file import KwsModel
from kws.detector.pipeline import step_time_s
from kws.system import files


@contextlib.contextmanager
def writing_scores(path: Path, model: KwsModel) -> Iterator[Callable[[Partial], None]]:
    """Yield a function that writes each ``Partial`` of a sound file; ``path`` is replaced only if the block succeeds.

    Raises:
        KwsError: the folder is missing or not writable, or the disk is full.
    """
    with files.replacing(path) as file:
        file.write(_line("time_s", *model.detector.phrases))

        def take(partial: Partial) -> None:
            for step, scores in enumerate((partial.scores / SCORE_ONE).tolist(), partial.first_step):
                file.write(_line(f"{step_time_s(model, step):.3f}", *(f"{score:.6f}" for score in scores)))

        yield take


def _line(*cells: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()
