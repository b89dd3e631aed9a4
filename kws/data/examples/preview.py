"""Examples to listen to and to look at: `kws augment`."""

import dataclasses
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.config import to_data
from kws.data.augment import AugmentConfig
from kws.data.augment.features import Masks, draw_masks, masked
from kws.data.examples.draw import Example, ExampleConfig, backgrounds, draw_example
from kws.data.examples.pool import SAMPLE_RATE_HZ, ClipPool
from kws.frontend import FrontendConfig, compute
from kws.frontend.config import LFBE_FRACTION_BITS
from kws.system import files, progress
from kws.system.lock import locked

LIST = "preview.json"


@dataclasses.dataclass(frozen=True)
class Drawing:
    """What examples are drawn from: the parts of a recipe that decide it, and its seed."""

    pool: ClipPool
    frontend: FrontendConfig
    examples: ExampleConfig
    augmentation: AugmentConfig
    seed: int


def preview(drawing: Drawing, directory: Path, count: int) -> str:
    """Write ``count`` examples to ``directory`` and return how long they took, as text.

    Each is a WAV file and a picture of the same name; ``preview.json``, written last, lists what was drawn for them.
    Needs matplotlib (kws[train]).

    Raises:
        KwsError: a clip cannot be read, or the directory cannot be written.
    """
    began = time.perf_counter()
    rooms = len(backgrounds(drawing.pool, drawing.augmentation).simulated)
    rooms_s = time.perf_counter() - began
    entries: list[dict[str, Any]] = []
    seconds: list[float] = []
    with locked(directory), progress.bar("Drawing examples", count) as advance:
        for index in range(count):
            example, masks = _draw(drawing, index)
            began = time.perf_counter()
            _draw(drawing, index)  # once more, when its clips are decoded, as in training
            seconds.append(time.perf_counter() - began)
            name = f"{index:04d}_{example.kind}"
            write_audio(directory / f"{name}.wav", example.samples)
            features = masked(compute(example.samples, drawing.frontend), masks)
            files.replace_file(directory / f"{name}.png", _picture(example, features, drawing.frontend, name))
            entries.append({"name": name, **_described(example, masks)})
            advance()
        data = {"config": to_data(drawing.augmentation), "examples": entries}
        files.replace_file(directory / LIST, (json.dumps(data, indent=1) + "\n").encode())
    return (
        f"{directory}: {count} examples; {LIST} lists what was drawn for each\n"
        f"{1000.0 * float(np.mean(seconds)):.1f} ms to draw an example whose clips are decoded; "
        f"{rooms} simulated rooms took {rooms_s:.2f} s, once"
    )


def _draw(drawing: Drawing, index: int) -> tuple[Example, Masks]:
    """Return example ``index`` and its masks, drawn with a generator of its own."""
    rng = np.random.default_rng(np.random.SeedSequence(drawing.seed, spawn_key=(index,)))
    example = draw_example(drawing.pool, drawing.examples, drawing.augmentation, rng)
    frames = len(compute(example.samples, drawing.frontend))
    return example, draw_masks(frames, drawing.frontend.bands, drawing.augmentation, rng)


def _described(example: Example, masks: Masks) -> dict[str, Any]:
    """Return what was drawn as plain data."""
    words = [
        {"phrase": phrase, "word": word, "start_s": round(start_s, 4), "end_s": round(end_s, 4)}
        for phrase, word, start_s, end_s in example.words
    ]
    return {
        "kind": example.kind,
        "words": words,
        "voices": [dataclasses.asdict(voice) for voice in example.voices],
        "drawn": dataclasses.asdict(example.drawn),
        "masks": dataclasses.asdict(masks),
    }


def _picture(example: Example, features: NDArray[np.int16], frontend: FrontendConfig, name: str) -> bytes:
    """Return a PNG: the wave, and the features as the model gets them; the words are marked in both."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 5.0), layout="constrained")
    wave, bands = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    time_s = np.arange(len(example.samples)) / SAMPLE_RATE_HZ
    wave.plot(time_s, example.samples, linewidth=0.4)
    wave.set(title=f"{name}: {_title(example)}", ylabel="sample")
    wave.title.set_fontsize(8)
    hop_s, window_s = frontend.hop_ms / 1000.0, frontend.window_ms / 1000.0
    # The first frame's middle is half a window from the start.
    first_s = (window_s - hop_s) / 2.0
    picture = bands.imshow(
        features.T / 2.0**LFBE_FRACTION_BITS / frontend.units_per_octave,
        origin="lower",
        aspect="auto",
        extent=(first_s, first_s + len(features) * hop_s, 0, frontend.bands),
    )
    bands.set(xlabel="seconds", ylabel="band")
    figure.colorbar(picture, ax=bands, label="log2 energy")
    for axes in (wave, bands):
        for _, _, start_s, end_s in example.words:
            axes.axvspan(start_s, end_s, color="C1", alpha=0.25)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return png.getvalue()


def _title(example: Example) -> str:
    """Return the most audible of the drawn values."""
    drawn = example.drawn
    parts = [f"{drawn.noise} at {drawn.snr_db:.0f} dB" if drawn.noise else "no noise"]
    if drawn.room is not None:
        parts.append(f"{drawn.room.kind} room")
    if drawn.microphone is not None:
        parts.append("microphone")
    if drawn.codec is not None:
        parts.append(drawn.codec.name)
    if drawn.overdrive_db > 0.0:
        parts.append(f"clipped {drawn.overdrive_db:.0f} dB")
    return ", ".join(parts)
