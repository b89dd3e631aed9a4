"""A tiny task: "hey" is a rising tone, "marvin" a falling one."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.data import manifest
from kws.data.augment import AugmentConfig
from kws.data.examples.draw import ExampleConfig
from kws.data.examples.pool import read_pool
from kws.data.manifest import Clip, Word
from kws.frontend import FrontendConfig
from kws.models.configs import DeepKwsConfig, ModelConfig
from kws.recipe import DetectorSettings, QuantizeConfig, Recipe
from kws.recipe.train import TrainConfig
from kws.train.fit.loop import Task
from kws.train.labels import Labeller
from kws.train.recipe_data import read_data
from kws.train.run import TRAIN, _drawn, build_model, make_held_out, make_labeller
from kws.train.selection import HeldOut

RATE = 16000
Say = Callable[[str, np.random.Generator], tuple[NDArray[np.int16], tuple[Word, ...]]]
MakeTask = Callable[..., Task]


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    return Recipe(
        phrase="hey marvin",
        label_unit="words",
        frontend=FrontendConfig(bands=16),
        examples=ExampleConfig(window_ms=1500, cut_weight=0.0),
        augment=AugmentConfig(
            snr_db_min=10.0,
            snr_db_max=30.0,
            room_share=0.1,
            simulated_room_share=0.0,
            mask_share=0.0,
            equalizer_db=2.0,
            level_dbfs_min=-35.0,
        ),
        model=ModelConfig("deepkws", deepkws=DeepKwsConfig(layers=2, width=24, past_frames=12, future_frames=4)),
        train=TrainConfig(
            steps=150,
            batch_clips=16,
            learning_rate=1e-2,
            average_decay=0.0,
            loss="frame",
            hard_weight=0.0,
            trials=3,
            dev_clips=32,
            frame_step=2,
            reuse=1,  # with more, processes lay other noise under the clips than one process does
            workers=1,
            threads=1,
            device="cpu",
            tensorboard=False,
        ),
        quantize=QuantizeConfig(calibration_clips=32),
        detector=DetectorSettings(smooth_frames=10, max_frames=60),
    )


def sweep(start_hz: float, end_hz: float, seconds: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A gliding tone with overtones: this test's speech."""
    hertz = np.linspace(start_hz, end_hz, int(seconds * RATE)) * rng.uniform(0.9, 1.1)
    turn = 2 * np.pi * np.cumsum(hertz) / RATE
    return np.asarray(3000.0 * (np.sin(turn) + np.sin(2 * turn) / 2 + np.sin(3 * turn) / 3))


@pytest.fixture(scope="session")
def say() -> Say:
    """ "hey" rises, "marvin" falls; near: one of them alone; speech: level tones."""

    def spoken(kind: str, rng: np.random.Generator) -> tuple[NDArray[np.int16], tuple[Word, ...]]:
        silence = np.zeros(RATE // 10)
        up, down = sweep(300, 900, 0.2, rng), sweep(2000, 800, 0.25, rng)
        parts = {"hey_marvin": [up, down], "neg_phrase": [up if rng.random() < 0.5 else down]}
        parts["neg_speech"] = [sweep(hertz, hertz, 0.2, rng) for hertz in rng.uniform(200, 2000, 4)]
        samples = np.concatenate([silence, *parts[kind], silence]).astype(np.int16)
        return samples, (Word("hey", 0.1, 0.3), Word("marvin", 0.3, 0.55)) if kind == "hey_marvin" else ()

    return spoken


@pytest.fixture(scope="session")
def clips_manifest(tmp_path_factory: pytest.TempPathFactory, say: Say) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    clips = []
    for split, count in (("train", 12), ("dev", 6)):
        for kind in ("hey_marvin", "neg_phrase", "neg_speech"):
            for number in range(count):
                samples, words = say(kind, rng)
                path = folder / f"{split}_{kind}_{number}.wav"
                write_audio(path, samples)
                source, seconds = f"voice {kind}", len(samples) / RATE
                clips.append(Clip(str(path), split, kind, f"{split} ann", source, "CC0", seconds, words=words))
    manifest.write(clips, folder / "manifest.csv")
    return folder / "manifest.csv"


@pytest.fixture(scope="session")
def make_task(clips_manifest: Path, tiny: Recipe) -> MakeTask:
    """Give what ``Trainer`` is to do, for the tiny recipe or another one."""

    @functools.cache
    def judge(recipe: Recipe, labeller: Labeller) -> HeldOut:
        return make_held_out(recipe, read_data(recipe, [clips_manifest]), labeller)

    @functools.cache
    def label(recipe: Recipe) -> Labeller:
        return make_labeller(recipe, build_model(recipe))

    def make(directory: Path, recipe: Recipe = tiny) -> Task:
        pool = read_pool(read_data(recipe, [clips_manifest]).clips, recipe.phrase, "train")
        labeller = label(recipe)
        return Task(
            examples=_drawn(recipe, pool, TRAIN),
            labeller=labeller,
            held_out=judge(recipe, labeller),
            identity="0123",
            checkpoint=directory / "checkpoint.pt",
        )

    return make
