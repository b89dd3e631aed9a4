"""The ``.kws`` file: what is saved comes back, and what is not a whole model is refused in one sentence."""

import dataclasses
import hashlib
import json
import resource
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from kws import config as kws_config
from kws.detector import model_file
from kws.detector.decision import SCORE_ONE, DetectorConfig, OperatingPoint
from kws.detector.model_file import KwsModel, Source
from kws.errors import KwsError
from kws.frontend.config import FrontendConfig
from kws.graph.interpret import Interpreter
from kws.graph.ir import QuantGraph

MakeGraph = Callable[[int, int], QuantGraph]


@dataclasses.dataclass(frozen=True)
class Recipe:
    phrase: str = "hey marvin"
    rate: float = 0.1
    layers: tuple[int, ...] = (16, 16)


@pytest.fixture
def model(small_graph: MakeGraph) -> KwsModel:
    return KwsModel(
        graph=small_graph(3, 1),
        frontend=FrontendConfig(),
        detector=DetectorConfig.single("hey märvin", ("filler", "hey", "märvin")),
        thresholds=(20_000,),
        operating_points=(
            OperatingPoint(30_000, 0.0, 0.5, "dev", "hey märvin"),
            OperatingPoint(20_000, 0.5, 0.1, "dev", "hey märvin"),
        ),
        licences=(Source("espeak-ng", "CC0-1.0", 1000, 0.5), Source("noise", "CC-BY-4.0", 3, 1.25)),
        recipe=kws_config.to_data(Recipe()),
    )


@pytest.fixture
def content(model: KwsModel) -> bytes:
    return model_file.to_bytes(model)


def refused(content: bytes) -> str:
    """The sentence that a content is refused with; a sentence names the file and what to do."""
    with pytest.raises(KwsError) as caught:
        model_file.from_bytes(content, "x.kws")
    sentence = str(caught.value)
    assert sentence.startswith("x.kws: ")
    assert "; " in sentence
    assert "\n" not in sentence
    return sentence


def test_what_was_saved_comes_back(model: KwsModel, tmp_path: Path) -> None:
    path = tmp_path / "marvin.kws"
    model_file.save(model, path)
    loaded = model_file.load(path)
    for field in dataclasses.fields(KwsModel):
        if field.name != "graph":
            assert getattr(loaded, field.name) == getattr(model, field.name)
    features = np.random.default_rng(0).integers(-128, 128, (50, 40), np.int8)
    assert np.array_equal(Interpreter(loaded.graph).run(features), Interpreter(model.graph).run(features))
    assert model_file.digest(loaded) == model_file.digest(model)


def test_the_same_model_gives_the_same_bytes(model: KwsModel, content: bytes) -> None:
    assert model_file.to_bytes(model) == content
    assert model_file.to_bytes(model_file.from_bytes(content, "x.kws")) == content
    assert model_file.to_bytes(dataclasses.replace(model, thresholds=(19_999,))) != content


def test_a_model_for_several_phrases_comes_back(small_graph: MakeGraph) -> None:
    phrases, keywords = ("hey marvin", "hey alexa"), ((1, 2), (1, 3))
    detector = DetectorConfig(phrases, ("filler", "hey", "marvin", "alexa"), keywords)
    points = (OperatingPoint(9, 1.0, 0.0, "dev", "hey marvin"), OperatingPoint(8, 0.5, 0.1, "dev", "hey alexa"))
    model = KwsModel(small_graph(4, 1), FrontendConfig(), detector, (9, 8), points)
    loaded = model_file.from_bytes(model_file.to_bytes(model), "x.kws")
    assert (loaded.detector, loaded.thresholds, loaded.operating_points) == (detector, (9, 8), points)
    with pytest.raises(ValueError, match=r"^operating_points must be sorted by phrase"):
        dataclasses.replace(model, operating_points=points[::-1])


def test_a_file_of_version_1_is_read_as_one_phrase() -> None:
    """It was written before there were several phrases; what it detects may not change."""
    path = Path(__file__).parents[1] / "golden" / "computer.kws"
    header = model_file._metadata(path.read_bytes(), "computer.kws")
    assert header["version"] == 1
    loaded = model_file.load(path)
    assert loaded.detector == DetectorConfig.single("computer", ("filler", "computer"), 30, 100, 1000)
    assert loaded.thresholds == (header["threshold"],)
    assert [point.phrase for point in loaded.operating_points] == ["computer"] * len(header["operating_points"])
    again = model_file.from_bytes(model_file.to_bytes(loaded), "again.kws")
    assert (again.detector, again.thresholds) == (loaded.detector, loaded.thresholds)
    assert again.recipe_hash == header["recipe_hash"]


def test_a_file_of_version_1_with_a_wrong_threshold_is_refused() -> None:
    content = (Path(__file__).parents[1] / "golden" / "computer.kws").read_bytes()
    assert "do not fit together" in refused(resealed(content, lambda metadata: metadata.update(threshold=None)))


def test_any_safetensors_reader_opens_it(content: bytes) -> None:
    assert sum(array.nbytes for array in safetensors.numpy.load(content).values()) > 1000


def test_the_recipe_hash_is_the_configs(model: KwsModel) -> None:
    assert model.recipe_hash == kws_config.config_hash(Recipe())


def test_cut_short_at_every_length(content: bytes) -> None:
    lengths = [*range(400), *range(400, len(content), 97), *range(len(content) - 50, len(content))]
    for length in lengths:
        sentence = refused(content[:length])
        assert ("empty" if length == 0 else "cut short") in sentence, length


def test_more_than_the_file_is_refused(content: bytes) -> None:
    refused(content + b"\0")


@pytest.mark.slow
def test_a_changed_byte_anywhere_is_refused(content: bytes) -> None:
    """Every place, with one other value each; in the header, where bytes mean something, with eight."""
    rng = np.random.default_rng(0)
    header = 8 + struct.unpack("<Q", content[:8])[0]
    for place in range(len(content)):
        for flip in rng.integers(1, 256, 8 if place < header else 1).tolist():
            refused(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])


def resealed(content: bytes, change: Callable[[dict[str, object]], None]) -> bytes:
    """The file with its metadata changed, and with a hash that fits again: what only a tool could have made."""
    tensors = safetensors.numpy.load(content)
    metadata = model_file._metadata(content, "x.kws")
    change(metadata)
    metadata["sha256"] = "0" * 64
    text = json.dumps(metadata, separators=(",", ":"))
    blank = safetensors.numpy.save(tensors, metadata={"kws": text})
    digest = hashlib.sha256(blank).hexdigest().encode()
    return blank.replace(b"0" * 64, digest, 1)


def test_resealing_is_faithful(content: bytes) -> None:
    assert resealed(content, lambda metadata: None) == content


def test_a_future_version_asks_for_an_upgrade(content: bytes) -> None:
    sentence = refused(resealed(content, lambda metadata: metadata.update(version=model_file.VERSION + 1)))
    assert "made by a newer kws" in sentence
    assert "upgrade" in sentence


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("recipe_hash", "0" * 16, "recipe's hash"),
        ("recipe", {"rate": 2}, "recipe's hash"),
        ("thresholds", [SCORE_ONE + 2], "threshold"),
        ("thresholds", "high", "do not fit together"),
        ("thresholds", [1, 2], "thresholds are 2 for 1"),
        ("frontend", {"bands": 39}, "39"),
        ("frontend", {"hop": 10}, "unknown key 'hop'"),
        ("detector", {"phrases": ["x"], "labels": ["a", "b"], "keywords": [[1]]}, "2 detector.labels"),
        ("graph", {}, "'tensors' is missing"),
        ("graph", None, "do not fit together"),
        ("operating_points", [{"threshold": 1}], "is missing"),
        ("operating_points", 3, "do not fit together"),
    ],
)
def test_a_well_sealed_file_with_wrong_parts_is_refused(content: bytes, key: str, value: object, words: str) -> None:
    assert words in refused(resealed(content, lambda metadata: metadata.update({key: value})))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (b"RIFF\x24\x08\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00", "not a .kws file"),
        (b"path,split,label\n" * 10, "not a .kws file"),
        (b"hello world", "not a .kws file"),
        (safetensors.numpy.save({"x": np.zeros(3, np.float32)}), "safetensors"),
        (safetensors.numpy.save({"x": np.zeros(3, np.float32)}, {"format": "pt"}), "safetensors"),
        (bytes(1000), "not a .kws file"),
        (b"\xff" * 1000, "not a .kws file"),
    ],
)
def test_another_kind_of_file_is_refused(other: bytes, words: str) -> None:
    assert words in refused(other)


def test_paths_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.kws").touch()
    for name, words in (("missing.kws", "No such file"), ("", "directory"), ("empty.kws", "is empty")):
        with pytest.raises(KwsError, match=words):
            model_file.load(tmp_path / name)


def test_a_full_disk_leaves_the_old_file(model: KwsModel, content: bytes, tmp_path: Path) -> None:
    """The kernel refuses to write more than 1000 bytes, as a full disk would."""
    path = tmp_path / "old.kws"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(KwsError, match=r"old\.kws: cannot be written \(File too large\)"):
            model_file.save(model, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.kws"]
    model_file.save(model, path)
    assert path.read_bytes() == content


def test_a_missing_folder_is_one_sentence(model: KwsModel, tmp_path: Path) -> None:
    with pytest.raises(KwsError, match="cannot be written"):
        model_file.save(model, tmp_path / "missing" / "x.kws")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frontend": FrontendConfig(bands=20)}, "^graph takes 40 bands"),
        ({"detector": DetectorConfig.single("x", ("filler", "x"))}, "^graph gives 3 logits"),
        ({"thresholds": (-1,)}, "^threshold must"),
        ({"thresholds": ()}, "^thresholds are 0 for 1"),
        ({"operating_points": (OperatingPoint(1, 2.0, 0.0, "", "y"),)}, "^operating_points name 'y'"),
        (
            {"operating_points": tuple(OperatingPoint(1, rate, 0.0, "", "hey märvin") for rate in (2.0, 1.0))},
            "^operating_points must be sorted",
        ),
    ],
)
def test_parts_that_do_not_fit_make_no_model(model: KwsModel, change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(model, **change)  # type: ignore[arg-type]  # the values' types differ by row


def test_summary_is_plain_data(model: KwsModel) -> None:
    data = json.loads(json.dumps(model_file.summary(model)))
    assert data["phrases"] == ["hey märvin"]
    assert data["thresholds"] == [20_000]
    assert data["labels"] == ["filler", "hey", "märvin"]
    assert data["parameters"] == 41 * 40 * 16 + 16 + 2 * (16 * 16 + 16) + 16 * 3 + 3
    assert data["macs_per_second"] == 100 * (41 * 40 * 16 + 2 * 16 * 16 + 16 * 3)
    assert data["weight_bytes"] >= 41 * 40 * 16
    assert data["state_bytes"] >= 40 * 40
    assert data["recipe_hash"] == model.recipe_hash
    assert [point["threshold"] for point in data["operating_points"]] == [30_000, 20_000]
    assert data["licences"][1] == {"name": "noise", "licence": "CC-BY-4.0", "clips": 3, "hours": 1.25}
