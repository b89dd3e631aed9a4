"""Phones reach the batch and stand where they sound, whatever is done to the voice."""

import dataclasses
import pickle

import numpy as np
import pytest

from kws.audio import write_audio
from kws.data.augment import AugmentConfig
from kws.data.dataset import Dataset
from kws.data.examples.batches import ArrayBatch
from kws.data.examples.draw import ExampleConfig
from kws.data.examples.pool import UNKNOWN_PHONE, ClipPool, read_pool
from kws.data.examples.prefetch import _packed
from kws.data.manifest import Clip
from kws.frontend import FrontendConfig, compute

RATE = 16000
TONE = 3
SPEECH = ExampleConfig(
    window_ms=2000, positive_weight=1e-9, cut_weight=0, near_weight=0, speech_weight=1, noise_weight=0
)
PLAIN = dataclasses.replace(AugmentConfig.off(), level_share=1.0, level_dbfs_min=-20.0, level_dbfs_max=-20.0)
CHANGED = dataclasses.replace(
    PLAIN, speed_percent=15.0, voice_share=1.0, pitch_semitones=2.0, tempo_percent=10.0, formant_percent=5.0
)
FRONTENDS = [FrontendConfig(), FrontendConfig(hop_ms=8, window_ms=32)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """A recording of 7 s with a burst of 2 kHz every 0.5 to 1 s in soft noise, and a phrase that is never drawn."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    samples = rng.normal(0.0, 30.0, 7 * RATE)
    at = 0
    while (at := at + int(rng.integers(RATE // 2, RATE))) < len(samples) - RATE // 2:
        count = int(rng.integers(RATE // 10, RATE // 4))
        samples[at : at + count] += 8000 * np.sin(2 * np.pi * 2000 * np.arange(count) / RATE)
    write_audio(folder / "long.wav", np.rint(samples).astype(np.int16))
    write_audio(folder / "other.wav", rng.normal(0.0, 30.0, RATE).astype(np.int16))
    found = []
    for name, label in (("long", "neg_speech"), ("other", "hey")):
        found.append(Clip(str(folder / f"{name}.wav"), "train", label, "ann", "made", "CC0", 7.0))
    return found


def pool_for(clips: list[Clip], frontend: FrontendConfig) -> ClipPool:
    """Every frame of the recording whose middle is in a burst is the phone ``TONE``, the others are silence."""
    pool = read_pool(clips, "hey", "train")
    samples = pool.audio(pool.speech[0])
    first, size = frontend.window_samples // 2 - 40, 80
    count = len(compute(samples, frontend))
    middles = [samples[first + hop * frontend.hop_samples :][:size].astype(float) for hop in range(count)]
    labels = np.array([TONE if np.abs(middle).max() > 4000 else 0 for middle in middles], np.int8)
    assert 0.1 < (labels == TONE).mean() < 0.4
    return dataclasses.replace(pool, phones={clips[0].path: labels}, phone_hop=frontend.hop_samples)


@pytest.mark.parametrize("frontend", FRONTENDS, ids=["10 ms", "8 ms"])
@pytest.mark.parametrize("augment", [PLAIN, CHANGED], ids=["plain", "changed"])
def test_labels_line_up_with_the_features(frontend: FrontendConfig, augment: AugmentConfig, clips: list[Clip]) -> None:
    dataset = Dataset(pool_for(clips, frontend), frontend, SPEECH, augment, (1, 2))
    batch = dataset.batch(0, 24)
    assert batch.phones is not None
    assert batch.phones.shape == batch.features.shape[:2]
    phones, features = batch.phones.numpy(), batch.features.numpy() / 512.0
    known = phones != UNKNOWN_PHONE
    assert 0.5 < known.mean() < 1.0
    peak = features.max(axis=(1, 2), keepdims=True)
    sounds = (features > peak - 12.0).sum(axis=2) >= 2  # a tone fills its band and the next ones
    agree = sounds == (phones == TONE)
    assert agree[known].mean() > 0.93
    # Where two frames around have the same label, the burst's edge is not near, and there is nothing to argue about.
    inner = known.copy()
    for shift in (-2, -1, 1, 2):
        inner &= np.roll(phones, shift, axis=1) == phones
    inner[:, :2] = inner[:, -2:] = False
    assert (phones[inner] == TONE).sum() > 100
    assert agree[inner].mean() > 0.985


def test_what_is_heard_does_not_depend_on_the_labels(clips: list[Clip]) -> None:
    pool = pool_for(clips, FrontendConfig())
    with_phones = Dataset(pool, FrontendConfig(), SPEECH, CHANGED, (1, 2)).batch(0, 4)
    without = Dataset(dataclasses.replace(pool, phones={}), FrontendConfig(), SPEECH, CHANGED, (1, 2)).batch(0, 4)
    assert without.phones is None
    assert (with_phones.features == without.features).all()


def test_clips_without_phones_are_unknown(clips: list[Clip]) -> None:
    """A batch of positives and speech: the positives' frames are unknown, all of them."""
    mixed = dataclasses.replace(SPEECH, positive_weight=1.0, before_share=0.0, after_share=0.0)
    batch = Dataset(pool_for(clips, FrontendConfig()), FrontendConfig(), mixed, PLAIN, (3, 4)).batch(0, 16)
    assert batch.phones is not None
    assert {"positive", "speech"} == set(batch.kinds)
    for kind, phones in zip(batch.kinds, batch.phones.numpy(), strict=True):
        assert (phones != UNKNOWN_PHONE).any() == (kind == "speech")


def test_phones_come_through_shared_memory(clips: list[Clip]) -> None:
    source = Dataset(pool_for(clips, FrontendConfig()), FrontendConfig(), SPEECH, CHANGED, (1, 2)).source
    batch: ArrayBatch = pickle.loads(pickle.dumps(source)).batch(3, 4)
    memory = memoryview(bytearray(1 << 20))
    parcel = _packed(batch, memory)
    opened = parcel.open(memory)
    assert sum(parcel.sizes) == batch.features.nbytes + batch.spans.nbytes + batch.phones.nbytes  # type: ignore[union-attr]
    assert np.array_equal(opened.phones, source.batch(3, 4).phones)  # type: ignore[arg-type]
