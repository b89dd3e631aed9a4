"""From a recipe and manifests to a quantized detector."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from kws.compress.calibrate import INPUT_QUANT, calibrate, quantized_input, softmax
from kws.compress.lower import lower
from kws.compress.stages import stages
from kws.config import config_hash, to_data
from kws.data import manifest
from kws.data.dataset import Batch, Dataset
from kws.data.manifest import Clip
from kws.data.pool import ClipPool, read_pool
from kws.errors import KwsError
from kws.files import replace_file
from kws.graph.arithmetic import quantize_features
from kws.graph.interpret import Interpreter
from kws.graph.ir import QuantGraph
from kws.model_file import KwsModel, Source
from kws.models.layers import Sequential
from kws.models.registry import build
from kws.progress import bar
from kws.recipe import Recipe
from kws.train.loop import Fit, Task, Trainer

TRAIN, HELD_OUT, CALIBRATION = range(3)
"""The sequences of examples that a recipe's seed starts, independent of one another."""

BATCH_CLIPS = 32
COMPARED_CLIPS = 32


def train(recipe: Recipe, manifests: Sequence[Path], directory: Path, resume: bool = True) -> KwsModel:
    """Train, choose by held-out voices, calibrate, lower; return the detector.

    The clips are those of ``manifests`` and of the recipe's own ``data``. Splits train and dev are used, test never.
    ``directory`` gets a checkpoint, from which the same recipe on the same clips is taken up again when ``resume``,
    and ``training.json``: how the run went. The threshold lets 1 % of the held-out negative clips fire; measured
    operating points replace it (``kws.evaluate``).

    Raises:
        KwsError: a manifest, a clip or the directory is not as it must be, or training diverged.
    """
    clips = read_clips(recipe, manifests)
    pool, held_out_pool = (read_pool(clips, recipe.phrase, split) for split in ("train", "dev"))
    make_directory(directory)
    identity = _identity(recipe, clips)
    model = build_model(recipe)
    held_out = _draw(recipe, held_out_pool, HELD_OUT, recipe.train.dev_clips, "Held-out clips")
    task = Task(
        examples=_dataset(recipe, pool, TRAIN),
        held_out=held_out,
        detector=recipe.detector_config(),
        step_ms=model.stride * recipe.frontend.hop_ms,
        edge_frames=round(recipe.train.edge_ms / recipe.frontend.hop_ms),
        identity=identity,
        checkpoint=directory / f"checkpoint_{identity}.pt",
    )
    fit = Trainer(model, recipe.train, task, resume).fit()
    model.eval()
    graph = quantize(model, recipe, pool)
    _write_report(fit, quantization_error(model, graph, held_out), directory / "training.json")
    return KwsModel(
        graph=graph,
        frontend=recipe.frontend,
        detector=recipe.detector_config(),
        threshold=fit.best.threshold,
        licences=ledger([item.clip for group in pool.groups() for item in group]),
        recipe=to_data(recipe),
    )


def read_clips(recipe: Recipe, manifests: Sequence[Path]) -> list[Clip]:
    """Return the clips of the manifests, and of the recipe's data with the labels it names."""
    clips = [clip for path in manifests for clip in manifest.read(path)]
    for entry in recipe.data:
        found = manifest.read(Path(entry.manifest))
        unknown = sorted(set(entry.labels) - {clip.label for clip in found})
        if unknown:
            raise KwsError(f"{entry.manifest}: has no clip with label {unknown[0]!r}; correct the recipe's data.labels")
        clips += [clip for clip in found if not entry.labels or clip.label in entry.labels]
    return clips


def build_model(recipe: Recipe) -> Sequential:
    """Return the recipe's model with its first weights, from the recipe's seed."""
    generator = torch.Generator().manual_seed(recipe.seed)
    return build(recipe.model, recipe.frontend.bands, len(recipe.labels()), generator)


def quantize(model: Sequential, recipe: Recipe, pool: ClipPool) -> QuantGraph:
    """Calibrate on examples drawn as in training, and lower to the integer graph."""
    batches = _draw(recipe, pool, CALIBRATION, recipe.quantize.calibration_clips, "Calibration")
    features = quantized_input(torch.cat([batch.features for batch in batches])).double().numpy()
    parts = stages(model)
    frames = features.shape[1] - features.shape[1] % model.stride
    return lower(parts, calibrate(parts, features[:, :frames]), model.latency)


def quantization_error(model: Sequential, graph: QuantGraph, batches: Sequence[Batch]) -> dict[str, float]:
    """Return mean and largest difference of posteriors between the float model and the integer graph."""
    clips = torch.cat([batch.features for batch in batches])[:COMPARED_CLIPS]
    clips = clips[:, : clips.shape[1] - clips.shape[1] % model.stride]
    scale = graph.tensor(graph.output).quant.scale
    interpreter = Interpreter(graph)
    differences = []
    for clip in clips:
        interpreter.reset()
        quantized = interpreter.run(quantize_features(clip.numpy(), INPUT_QUANT)).astype(np.float64) * scale
        with torch.no_grad():
            wanted = model(quantized_input(clip[None]))[0].double().numpy()
        differences.append(np.abs(softmax(quantized) - softmax(wanted)))
    return {"posterior_mean": float(np.mean(differences)), "posterior_max": float(np.max(differences))}


def ledger(clips: Sequence[Clip]) -> tuple[Source, ...]:
    """Return what a model learned from, by source and licence, in alphabetical order."""
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for clip in clips:
        groups[clip.source, clip.licence].append(clip.duration_s)
    return tuple(
        Source(name, licence, len(durations), round(sum(durations) / 3600.0, 4))
        for (name, licence), durations in sorted(groups.items())
    )


def make_directory(path: Path) -> None:
    """Create the folder where it is missing."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KwsError(f"{path}: cannot be made a folder ({error.strerror}); choose another place") from error


def _dataset(recipe: Recipe, pool: ClipPool, sequence: int) -> Dataset:
    return Dataset(pool, recipe.frontend, recipe.examples, recipe.augment, (recipe.seed, sequence))


def _draw(recipe: Recipe, pool: ClipPool, sequence: int, clips: int, title: str) -> list[Batch]:
    dataset = _dataset(recipe, pool, sequence)
    size = min(clips, BATCH_CLIPS)
    batches = []
    with bar(title, clips // size) as advance:
        for number in range(clips // size):
            batches.append(dataset.batch(number, size))
            advance()
    return batches


def _identity(recipe: Recipe, clips: Sequence[Clip]) -> str:
    """Return a hash of the recipe and of the clips it is trained on, wherever they lie."""
    digest = hashlib.sha256(config_hash(recipe).encode())
    for clip in clips:
        row = (Path(clip.path).name, clip.split, clip.label, clip.duration_s, [asdict(word) for word in clip.words])
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()[:16]


def _write_report(fit: Fit, quantization: dict[str, float], path: Path) -> None:
    data = {**asdict(fit), "quantization": quantization}
    replace_file(path, (json.dumps(data, indent=1) + "\n").encode())
