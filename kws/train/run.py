"""From a recipe and manifests to a quantized detector."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from kws.compress.quantize import quantize_model
from kws.compress.quantize.calibrate import INPUT_QUANT, quantized_input, softmax
from kws.config import load, to_data
from kws.data import manifest
from kws.data.dataset import Batch, BatchDataset, Dataset, ShardDataset
from kws.data.examples.clip_file import shared
from kws.data.examples.pool import ClipPool
from kws.detector.model_file import KwsModel, Source
from kws.errors import KwsError
from kws.frontend import FrontendConfig
from kws.graph.arithmetic import input_quant, quantize_features
from kws.graph.interpret import Interpreter
from kws.graph.ir import Quant, QuantGraph, WeightBits
from kws.models.layers import Sequential
from kws.models.registry import build
from kws.recipe import Recipe
from kws.recipe.train import TeacherConfig, TrainConfig
from kws.system.files import replace_file
from kws.train.clips import identity, ledger, pool_of, shard_ledger
from kws.train.distributed import Ranks, choose_device
from kws.train.fit.loop import Fit, Task, Trainer
from kws.train.fit.memory import keep_freed_memory
from kws.train.held_out import held_out_streams
from kws.train.labels import Labeller
from kws.train.lessons import PhoneLesson, find_tap
from kws.train.phones.align import PhoneLabels, spoken_phones
from kws.train.recipe_data import Domain, RecipeData
from kws.train.selection import HeldOut, whole_steps

TRAIN, HELD_OUT = range(2)
"""The sequences of examples that a recipe's seed starts, independent of one another."""

BATCH_CLIPS = 32
COMPARED_CLIPS = 32


@dataclass(frozen=True, eq=False)
class Material:
    """What is learned from: clips, pieces of recorded speech among them, and the phones of recordings."""

    data: RecipeData
    phones: PhoneLabels

    def identity(self, recipe: Recipe) -> str:
        """Return a hash of a recipe and of this; see ``clips.identity``."""
        return identity(recipe, self.data, self.phones.name)


def train(
    recipe: Recipe, data: RecipeData, directory: Path, resume: bool = True, ranks: Ranks | None = None
) -> KwsModel:
    """Train, choose by held-out streams, calibrate, lower; return the detector.

    The clips are those of ``data`` (``read_data``). Splits train and dev are used, test never.
    ``directory`` gets a checkpoint, from which the same recipe on the same clips is taken up again when ``resume``,
    logs for TensorBoard, and ``training.json``: how the run went. The thresholds are those of the held-out streams;
    measured operating points replace them (``kws.evaluate``). With ``ranks``, every process returns the detector, and
    the first alone writes.

    Raises:
        KwsError: a clip or the directory is not as it must be, or training diverged.
    """
    ranks = ranks or Ranks(device=choose_device(recipe.train.device))
    keep_freed_memory()
    if recipe.train.threads:  # from the first on: aligning recordings trains, too
        torch.set_num_threads(recipe.train.threads)
    model, teacher = build_models(recipe)
    make_directory(directory)
    material = _with_phones(recipe, data, directory, ranks)
    name, labeller = material.identity(recipe), make_labeller(recipe, model)
    held_out = make_held_out(recipe, material.data, labeller) if ranks.first else None
    with _examples(recipe, material, directory, ranks) as (examples, sources):
        task = Task(
            phones=PhoneLesson.of(material.phones.symbols, recipe.phones, recipe.frontend, recipe.seed),
            examples=examples,
            labeller=labeller,
            held_out=held_out,
            identity=name,
            seed=recipe.seed,
            frontend=recipe.frontend,
            augment=recipe.augment,
            checkpoint=directory / f"checkpoint_{name}.pt",
            logs=directory / "tensorboard" if recipe.train.tensorboard else None,
        )
        if teacher is not None:
            own = teacher_recipe(recipe)
            task = _teach(teacher, own.train, task, material.identity(own), resume, ranks)
        fit = Trainer(model, recipe.train, task, resume, ranks).fit()
        model = model.cpu().eval()
        batches = ranks.share(draw(examples, recipe.quantize.calibration_clips) if ranks.first else [])
    graph = quantize(model, batches, recipe.quantize.weight_bits, input_quant(recipe.frontend))
    if held_out is not None:
        _write_report(fit, quantization_error(model, graph, held_out.batches), directory / "training.json")
    return KwsModel(
        graph=graph,
        frontend=recipe.frontend,
        detector=recipe.detector_config(),
        thresholds=fit.best.thresholds,
        licences=sources,
        recipe=to_data(recipe),
    )


def _with_phones(recipe: Recipe, data: RecipeData, directory: Path, ranks: Ranks) -> Material:
    """Return the data with the phones of its recordings and the pieces of them, where the recipe asks for these."""
    phones = spoken_phones(recipe, data, directory, ranks)
    if phones.pieces is not None:
        data = data.with_domain(Domain("pieces", tuple(manifest.read(phones.pieces))))
    return Material(data, phones)


def _teach(teacher: Sequential, config: TrainConfig, task: Task, name: str, resume: bool, ranks: Ranks) -> Task:
    """Train the larger model on the same examples and return the task of learning from it.

    It is what a recipe without a teacher would train: it has that recipe's identity, ``name``, and a checkpoint of its
    own, and need not be trained again when only the smaller model is another.
    """
    own = replace(task, identity=name, checkpoint=task.checkpoint.with_name(f"teacher_{name}.pt"), logs=None)
    Trainer(teacher, config, own, resume, ranks).fit()
    return replace(task, teacher=teacher.requires_grad_(False).eval())


def teacher_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe that the teacher is trained by."""
    teacher = recipe.teacher
    config = replace(
        recipe.train,
        steps=teacher.steps,
        learning_rate=teacher.learning_rate,
        teacher_weight=TrainConfig().teacher_weight,
    )
    return replace(recipe, model=teacher.model, train=config, teacher=TeacherConfig())


def build_models(recipe: Recipe) -> tuple[Sequential, Sequential | None]:
    """Return the recipe's model and its teacher, if it has one, with their first weights.

    Raises:
        KwsError: they do not decide at the same times, or have no layer to read phones off.
    """
    model, teacher = build_model(recipe), build_model(teacher_recipe(recipe)) if recipe.teacher.steps else None
    if teacher is not None and (model.stride, model.latency) != (teacher.stride, teacher.latency):
        raise KwsError("teacher.model decides at other times than the model; give both the same stride and latency")
    for each in (model, teacher) if recipe.phones.weight > 0.0 else ():
        if each is not None:
            find_tap(each, recipe.phones.layer)
    return model, teacher


def build_model(recipe: Recipe) -> Sequential:
    """Return the recipe's model with its first weights, from the recipe's seed."""
    generator = torch.Generator().manual_seed(recipe.seed)
    return build(recipe.model, recipe.frontend.bands, len(recipe.labels()), generator)


def make_labeller(recipe: Recipe, model: Sequential) -> Labeller:
    """Return what turns the recipe's examples into targets for the model."""
    outputs = recipe.word_labels()
    return Labeller(outputs, recipe.label_unit, recipe.train, recipe.frontend, model.stride, model.latency)


def make_held_out(recipe: Recipe, data: RecipeData, labeller: Labeller) -> HeldOut:
    """Return what the model's states are judged on: the dev split of every domain."""
    config = recipe.train
    return HeldOut(
        streams=held_out_streams(
            data.domains, recipe.wake_phrases, data.transcripts, recipe.frontend, config, recipe.seed
        ),
        batches=draw(_drawn(recipe, pool_of(recipe, data, "dev"), HELD_OUT), config.dev_clips),
        labeller=labeller,
        detector=recipe.detector_config(),
        frontend=recipe.frontend,
        config=config,
    )


def quantize(
    model: Sequential, batches: Sequence[Batch], weight_bits: WeightBits = 8, quant: Quant = INPUT_QUANT
) -> QuantGraph:
    """Calibrate on examples as training draws them, and lower to the integer graph."""
    features = torch.cat([batch.features for batch in batches])
    return quantize_model(model, quantized_input(features, quant).numpy(), weight_bits, quant)


def quantization_error(model: Sequential, graph: QuantGraph, batches: Sequence[Batch]) -> dict[str, float]:
    """Return mean and largest difference of posteriors between the float model and the integer graph."""
    clips = whole_steps(torch.cat([batch.features for batch in batches])[:COMPARED_CLIPS], model.stride)
    scale, quant = graph.tensor(graph.output).quant.scale, graph.tensor(graph.input).quant
    interpreter = Interpreter(graph)
    differences = []
    for clip in clips:
        interpreter.reset()
        quantized = interpreter.run(quantize_features(clip.numpy(), quant)).astype(np.float64) * scale
        with torch.no_grad():
            expected = model(quantized_input(clip[None], quant))[0].double().numpy()
        differences.append(np.abs(softmax(quantized) - softmax(expected)))
    return {"posterior_mean": float(np.mean(differences)), "posterior_max": float(np.max(differences))}


def draw(examples: BatchDataset, clips: int) -> list[Batch]:
    """Return the first ``clips`` examples of a sequence, or up to a batch more, in batches of one size."""
    size = min(clips, BATCH_CLIPS)
    return [examples.batch(number, size) for number in range(math.ceil(clips / size))]


def make_directory(path: Path) -> None:
    """Create the folder where it is missing."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KwsError(f"{path}: cannot be made a folder ({error.strerror}); choose another place") from error


@contextmanager
def _examples(
    recipe: Recipe, material: Material, directory: Path, ranks: Ranks
) -> Iterator[tuple[BatchDataset, tuple[Source, ...]]]:
    """Give the examples to train on, drawn from the clips or read from the recipe's shards, and their sources."""
    if recipe.train.shards:
        yield _from_shards(recipe)
        return
    pool = replace(
        pool_of(recipe, material.data, "train"),
        phones=material.phones.by_path,
        phone_hop=recipe.frontend.hop_samples,
    )
    with ExitStack() as sounds:
        with ranks.first_before_others():  # the first decodes, and the others find what it has made
            common = sounds.enter_context(shared(pool, directory))
        yield (
            _drawn(recipe, common, TRAIN),
            ledger([item.clip for group in (*pool.groups(), pool.rooms) for item in group]),
        )
        ranks.wait()  # nobody needs the sounds any more


def _drawn(recipe: Recipe, pool: ClipPool, sequence: int) -> Dataset:
    # Masks make learning harder on purpose; nobody hears them.
    augment = recipe.augment if sequence == TRAIN else replace(recipe.augment, mask_share=0.0)
    return Dataset(pool, recipe.frontend, recipe.examples, augment, (recipe.seed, sequence))


def _from_shards(recipe: Recipe) -> tuple[ShardDataset, tuple[Source, ...]]:
    examples = ShardDataset([recipe.train.shards], (recipe.seed, TRAIN))
    index = examples.shards.index
    for key, expected in (("phrases", recipe.wake_phrases), ("frontend", recipe.frontend)):
        there = load(FrontendConfig, index[key], key) if key == "frontend" else tuple(index[key])
        if there != expected:
            raise KwsError(f"{recipe.train.shards}: was written for another {key} than the recipe's; write it again")
    return examples, shard_ledger(examples.shards.sources)


def _write_report(fit: Fit, quantization: dict[str, float], path: Path) -> None:
    data = {**asdict(fit), "quantization": quantization}
    replace_file(path, (json.dumps(data, indent=1) + "\n").encode())
