"""The C99 bundle: builds by itself, and computes what the pipeline computes, bit for bit, under sanitizers."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware_export.c import bundle, figures, marker
from kws.detector import model_file, pipeline
from kws.detector.decision import SCORE_ONE, DetectorConfig, OperatingPoint
from kws.detector.model_file import KwsModel, Source
from kws.detector.pipeline import Pipeline
from kws.frontend.config import FrontendConfig
from kws.graph.interpret import Interpreter
from kws.graph.ir import Conv2D, QuantGraph

pytestmark = pytest.mark.slow

MakeGraph = Callable[[int, int], QuantGraph]
SANITIZE = "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all"


def deepkws_model(graph: QuantGraph, frontend: FrontendConfig | None = None) -> KwsModel:
    """Random weights: what matters here is that the numbers are the same, not that they mean something."""
    detector = DetectorConfig.single('hey "märvin" */ ??/', ("filler", "hey", "märvin")[: graph.outputs], 7, 20, 300)
    points = (OperatingPoint(30_000, 0.0, 0.5, "a stream */ of dev", detector.phrases[0]),)
    ledger = (Source("espeak-ng", "CC0-1.0", 1000, 0.5),)
    return KwsModel(graph, frontend or FrontendConfig(), detector, (20_000,), points, ledger, {"seed": 1})


def narrow(graph: QuantGraph) -> QuantGraph:
    """The same graph with weights of four bits, as training with --weight-bits 4 makes them."""
    ops = [
        replace(op, weights=(op.weights // 16).clip(-7, 7), weight_scales=op.weight_scales * 16, weight_bits=4)
        if isinstance(op, Conv2D)
        else op
        for op in graph.ops
    ]
    return replace(graph, ops=tuple(ops))


def several_phrases(graph: QuantGraph) -> KwsModel:
    """Three phrases over four outputs: two share a word, and one of a single word is heard in neither."""
    phrases, keywords = ("hey märvin", "hey alexa", "stop"), ((1, 2), (1, 3), (4,))
    detector = DetectorConfig(phrases, ("filler", "hey", "märvin", "alexa", "stop"), keywords, 7, 20, 300)
    return KwsModel(graph, FrontendConfig(), detector, (20_000, 15_000, 32_769))


@pytest.fixture(scope="module", params=["stride 1", "stride 3", "three phrases", "four bits"])
def model(request: pytest.FixtureRequest, small_graph: MakeGraph) -> KwsModel:
    if request.param == "three phrases":
        return several_phrases(small_graph(5, 1))
    if request.param == "four bits":
        return deepkws_model(narrow(small_graph(3, 1)))
    return deepkws_model(small_graph(3, int(request.param[-1])))


@pytest.fixture(scope="module")
def built(model: KwsModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, made with its own Makefile under address and undefined behaviour sanitizers."""
    directory = tmp_path_factory.mktemp("c") / "marvin"
    bundle.write_c(model, directory)
    make(directory, "all", "test", CFLAGS=SANITIZE)
    return directory


def make(directory: Path, *targets: str, **variables: str) -> str:
    arguments = [f"{name}={value}" for name, value in variables.items()]
    done = subprocess.run(["make", "-C", str(directory), *targets, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_example(directory: Path, samples: NDArray[np.int16], *arguments: str) -> str:
    program = str(directory / "build" / "example")
    done = subprocess.run([program, *arguments], input=samples.astype("<i2").tobytes(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def bursts(seconds: float) -> NDArray[np.int16]:
    rng = np.random.default_rng(3)
    levels = np.repeat(2.0 ** rng.uniform(0, 15, int(seconds * 10)), 1600)
    return np.clip(rng.standard_normal(len(levels)) * levels, -32768, 32767).astype(np.int16)


def test_make_test_passes_under_sanitizers(built: Path) -> None:
    out = make(built, "test", CFLAGS=SANITIZE)
    passed = re.search(r"PASS .*: (\d+) steps and (\d+) detections equal", out)
    assert passed
    assert int(passed[1]) >= 90
    assert int(passed[2]) >= 1


def test_logits_scores_and_detections_equal_the_pipelines(model: KwsModel, built: Path) -> None:
    samples = bursts(6.0)
    scores = pipeline.scores(model, samples, "graph")
    phrases = scores.shape[1]
    threshold = int(np.quantile(scores, 0.8, axis=0).min())
    out = run_example(built, samples, "--steps", "--threshold", str(threshold))
    steps = [[int(number) for number in re.findall(r"-?\d+", line)] for line in out.splitlines() if "step " in line]
    assert [row[0] for row in steps] == list(range(len(scores)))
    assert [row[1 : 1 + phrases] for row in steps] == scores.tolist()
    assert [row[1 + phrases :] for row in steps] == pipeline.logits(model, samples, "graph").tolist()
    wanted = Pipeline(model, "graph", threshold).push(samples)
    found = re.findall(r"^([\d.]+) s  (.*)  score (\d+)/32768  sample (\d+)$", out, re.MULTILINE)
    assert len(wanted) >= 2
    assert [(phrase, int(score), int(sample)) for _, phrase, score, sample in found] == [
        (detection.phrase, round(detection.score * SCORE_ONE), round(detection.time_s * 16000)) for detection in wanted
    ]
    assert {detection.phrase for detection in wanted} == set(model.detector.phrases)
    assert all(abs(float(time) - int(sample) / 16000) < 1e-3 for time, _, _, sample in found)


def test_the_example_reads_a_file_as_it_reads_standard_input(
    tone_model: KwsModel, burst_sound: NDArray[np.int16], burst_times_s: tuple[float, ...], tmp_path: Path
) -> None:
    """The default threshold, real detections: what `kws detect` would print."""
    bundle.write_c(tone_model, tmp_path / "tone")
    make(tmp_path / "tone")
    raw = tmp_path / "sound.raw"
    burst_sound.astype("<i2").tofile(raw)
    out = run_example(tmp_path / "tone", np.zeros(0, np.int16), str(raw))
    assert out == run_example(tmp_path / "tone", burst_sound)
    times = [float(line.split(" s  beep  score ")[0]) for line in out.splitlines()]
    wanted = Pipeline(tone_model).push(burst_sound)
    assert len(times) == len(burst_times_s)
    assert [int(time * 1000) for time in times] == [int(detection.time_s * 1000 + 1e-6) for detection in wanted]


def test_the_network_alone_equals_the_graph(model: KwsModel, built: Path, tmp_path: Path) -> None:
    """The engine of `verify`: state is carried over between runs and gone after a reset."""
    stride = model.graph.stride
    features = np.random.default_rng(1).integers(-128, 128, (600 * stride, 40), np.int8)
    wanted = Interpreter(model.graph).run(features)
    engine = bundle.build_host_engine(built, tmp_path / "build")
    assert (engine.name, engine.stride) == ("C bundle", stride)
    parts = [engine.run(features[: 100 * stride]), engine.run(features[100 * stride : 101 * stride])]
    parts += [engine.run(features[:0]), engine.run(features[101 * stride :])]
    assert np.array_equal(np.concatenate(parts), wanted)
    engine.reset()
    assert np.array_equal(engine.run(features), wanted)
    with pytest.raises(ValueError, match="give int8"):
        engine.run(features.astype(np.int16))


@pytest.mark.parametrize("strict", ["-pedantic -Wconversion -Wshadow", "-O3", "-Os -funsigned-char"])
def test_it_compiles_and_passes_with_other_flags(tone_model: KwsModel, tmp_path: Path, strict: str) -> None:
    """Plain char is unsigned on ARM: nothing may depend on it."""
    bundle.write_c(tone_model, tmp_path / "c")
    assert "PASS" in make(tmp_path / "c", "test", CFLAGS=strict)


@pytest.mark.parametrize(
    "frontend",
    [FrontendConfig(window_ms=32, hop_ms=16, bands=40), FrontendConfig(window_ms=30, hop_ms=20, fft_size=1024)],
)
def test_other_frontends(small_graph: MakeGraph, tmp_path: Path, frontend: FrontendConfig) -> None:
    model = deepkws_model(small_graph(2, 1), frontend)
    bundle.write_c(model, tmp_path / "c", audio=bursts(2.0))
    assert "PASS" in make(tmp_path / "c", "test", CFLAGS=SANITIZE)


def test_silence_still_makes_a_self_test(tone_model: KwsModel, tmp_path: Path) -> None:
    bundle.write_c(tone_model, tmp_path / "c", np.zeros(400, np.int16))
    assert "PASS beep: 1 steps and 1 detections" in make(tmp_path / "c", "test")


def test_a_changed_weight_fails_the_self_test(tone_model: KwsModel, tmp_path: Path) -> None:
    """The self-test can fail: one weight, one table entry or one bit of the decision changed."""
    bundle.write_c(tone_model, tmp_path / "c")
    source = tmp_path / "c" / "src" / "model.c"
    original = source.read_text()
    for old, new in ((" 117,", " 107,"), ("smooth_frames = 10", "smooth_frames = 9"), ("    32768,", "    32000,")):
        assert old in original
        source.write_text(original.replace(old, new))
        checked = {name: (tmp_path / "c" / name).read_bytes() for name in bundle.GENERATED}
        (tmp_path / "c" / "model.sha256").write_text(marker.sums(checked))  # the numbers must tell, not the checksum
        done = subprocess.run(["make", "-C", str(tmp_path / "c"), "test"], capture_output=True, text=True)
        assert done.returncode != 0
        assert "FAIL" in done.stdout


def test_a_model_that_was_edited_fails_make_test(tone_model: KwsModel, tmp_path: Path) -> None:
    """Even where no golden number changes; the runtime may be ported, its numbers are compared."""
    bundle.write_c(tone_model, tmp_path / "c")
    runtime = tmp_path / "c" / "src" / "kws.c"
    runtime.write_text(runtime.read_text() + "/* ported */\n")
    assert "PASS" in make(tmp_path / "c", "test")
    for name in bundle.GENERATED:
        path = tmp_path / "c" / name
        original = path.read_text()
        path.write_text(original + "/* mine */\n")
        done = subprocess.run(["make", "-C", str(tmp_path / "c"), "test"], capture_output=True, text=True)
        assert done.returncode != 0
        assert f"{name}: FAILED" in done.stdout
        path.write_text(original)


def test_the_model_and_the_golden_numbers_of_two_exports_do_not_mix(tone_model: KwsModel, tmp_path: Path) -> None:
    bundle.write_c(tone_model, tmp_path / "a")
    bundle.write_c(replace(tone_model, recipe={"seed": 2}), tmp_path / "b")
    (tmp_path / "a" / "src" / "kws_golden.h").write_bytes((tmp_path / "b" / "src" / "kws_golden.h").read_bytes())
    make(tmp_path / "a", "build/selftest")
    done = subprocess.run([str(tmp_path / "a" / "build" / "selftest")], capture_output=True, text=True)
    assert done.returncode == 1
    assert "FAIL model_hash of model.c" in done.stdout


def test_figures_are_what_was_built(model: KwsModel, built: Path) -> None:
    readme = (built / "README.txt").read_text()
    assert f"{figures.memory_bytes(model):,} bytes" in readme
    assert f"{sum(figures.flash_bytes(model).values()):,} bytes" in readme
    assert model.recipe_hash in readme
    assert model_file.digest(model) in (built / "src" / "model.c").read_text()
    constants = re.findall(r"^static const (\w+)_t \w+\[(\d+)\]", (built / "src" / "model.c").read_text(), re.MULTILINE)
    width = {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4}
    sizes = [width[kind] * int(count) for kind, count in constants if kind in width]
    assert sum(sizes) == sum(figures.flash_bytes(model).values())


def test_other_flags_compile_everything_anew(tone_model: KwsModel, tmp_path: Path) -> None:
    bundle.write_c(tone_model, tmp_path / "bundle")
    assert "kws.o" in make(tmp_path / "bundle", "lib")
    assert "kws.o" not in make(tmp_path / "bundle", "lib"), "nothing changed"
    assert "kws.o" in make(tmp_path / "bundle", "lib", CFLAGS="-O0")
