"""The C99 bundle: builds by itself, and computes what the pipeline computes, bit for bit, under sanitizers."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware_export import bundle, figures
from firmware_export.bundle_engine import compile_program
from kws import model_file, pipeline
from kws.detect import SCORE_ONE, DetectorConfig, OperatingPoint
from kws.frontend.config import FrontendConfig
from kws.graph.interpret import Interpreter
from kws.graph.ir import QuantGraph
from kws.model_file import KwsModel, Source
from kws.pipeline import Pipeline

MakeGraph = Callable[[int, int], QuantGraph]
SANITIZE = "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
RUNTIME = ["kws.c", "lfbe.c", "lfbe_frame.c", "ops.c", "ops_conv.c", "ops_map.c", "detector.c", "model.c"]


def deepkws_model(graph: QuantGraph, frontend: FrontendConfig | None = None) -> KwsModel:
    """Random weights: what matters here is that the numbers are the same, not that they mean something."""
    detector = DetectorConfig.single('hey "märvin" */ ??/', ("filler", "hey", "märvin")[: graph.outputs], 7, 20, 300)
    points = (OperatingPoint(30_000, 0.0, 0.5, "a stream */ of dev", detector.phrases[0]),)
    ledger = (Source("espeak-ng", "CC0-1.0", 1000, 0.5),)
    return KwsModel(graph, frontend or FrontendConfig(), detector, (20_000,), points, ledger, {"seed": 1})


def several_phrases(graph: QuantGraph) -> KwsModel:
    """Three phrases over four outputs: two share a word, and one of a single word is heard in neither."""
    phrases, keywords = ("hey märvin", "hey alexa", "stop"), ((1, 2), (1, 3), (4,))
    detector = DetectorConfig(phrases, ("filler", "hey", "märvin", "alexa", "stop"), keywords, 7, 20, 300)
    return KwsModel(graph, FrontendConfig(), detector, (20_000, 15_000, 32_769))


@pytest.fixture(scope="module", params=["stride 1", "stride 3", "three phrases"])
def model(request: pytest.FixtureRequest, small_graph: MakeGraph) -> KwsModel:
    if request.param == "three phrases":
        return several_phrases(small_graph(5, 1))
    return deepkws_model(small_graph(3, int(request.param[-1])))


@pytest.fixture(scope="module")
def built(model: KwsModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, made with its own Makefile under address and undefined behaviour sanitizers."""
    directory = tmp_path_factory.mktemp("c") / "marvin"
    bundle.write_c(model, directory)
    make(directory, "all", "test", "lib", CFLAGS=SANITIZE)
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


def test_two_different_models_in_one_program(
    tone_model: KwsModel, built: Path, model: KwsModel, tmp_path: Path
) -> None:
    """Fed in turn with chunks of their own; each gives what it gives alone."""
    bundle.write_c(tone_model, tmp_path / "tone")
    tone = (tmp_path / "tone" / "model.c").read_text().replace("kws_model =", "tone_model =")
    (tmp_path / "tone.c").write_text(tone.replace('#include "model.h"', '#include "kws.h"'))
    (tmp_path / "main.c").write_text(TWO_DETECTORS)
    program = tmp_path / "two"
    sources = [built / name for name in RUNTIME] + [tmp_path / "tone.c", tmp_path / "main.c"]
    compile_program(sources, built, program, ("-std=c99", "-Wall", "-Wextra", "-Werror", *SANITIZE.split()))
    samples = bursts(3.0)
    done = subprocess.run([str(program)], input=samples.astype("<i2").tobytes(), capture_output=True, check=True)
    rows = [[int(number) for number in line.split()] for line in done.stdout.decode().splitlines()]
    for index, each in enumerate((model, tone_model)):
        last = {step: score for which, step, score in rows if which == index}
        wanted = pipeline.scores(each, samples, "graph")[:, 0].tolist()
        assert len(last) > len(wanted) // 4
        assert all(wanted[step - 1] == score for step, score in last.items() if step)


TWO_DETECTORS = """
#include <stdio.h>
#include "kws.h"
extern const kws_model_t kws_model, tone_model;
static uint64_t memory[2][20000];
static int16_t samples[48000];
static uint8_t bytes[96000];
int main(void) {
  const kws_model_t *models[2] = {&kws_model, &tone_model};
  static const size_t chunks[2] = {333, 500};
  size_t at[2] = {0, 0}, count = fread(bytes, 2, 48000, stdin), i;
  kws_t *kws[2];
  for (i = 0; i < count; ++i) samples[i] = (int16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
  for (i = 0; i < 2; ++i) if (kws_init(&kws[i], models[i], memory[i], sizeof memory[i]) != KWS_OK) return 1;
  while (at[0] < count || at[1] < count) for (i = 0; i < 2; ++i) {
    size_t taken = count - at[i] < chunks[i] ? count - at[i] : chunks[i];
    if (kws_feed(kws[i], samples + at[i], taken, NULL, 0) < 0) return 2;
    at[i] += taken;
    printf("%d %d %d\\n", (int)i, (int)kws_steps(kws[i]), (int)kws_score(kws[i], 0));
  }
  return 0;
}
"""


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


def test_what_is_out_of_bounds_is_refused(model: KwsModel, built: Path, tmp_path: Path) -> None:
    """Memory that is missing, too small or not aligned; phrases and thresholds that do not exist."""
    phrases = len(model.detector.phrases)
    (tmp_path / "main.c").write_text(f"""
        #include "model.h"
        #define NEEDED KWS_MODEL_MEMORY_BYTES
        static uint64_t memory[NEEDED / 8 + 1];
        static int32_t init(kws_t **kws, void *at, size_t bytes) {{ return kws_init(kws, &kws_model, at, bytes); }}
        int main(void) {{
          kws_t *kws = (kws_t *)(void *)memory;
          int16_t sample = 0;
          if (init(&kws, 0, NEEDED) != KWS_ERROR_ARGUMENT || kws != 0) return 1;
          if (init(&kws, memory, NEEDED - 1) != KWS_ERROR_MEMORY || kws != 0) return 2;
          if (init(&kws, (char *)memory + 4, NEEDED) != KWS_ERROR_ALIGNMENT || kws != 0) return 3;
          if (kws_feed(kws, &sample, 1, 0, 0) != KWS_ERROR_ARGUMENT || kws_memory_bytes(0) != 0) return 4;
          if (init(&kws, memory, NEEDED) != KWS_OK || kws_feed(kws, 0, 0, 0, 0) != 0) return 5;
          if (KWS_MODEL_PHRASES != {phrases} || kws_set_threshold(kws, {phrases}, 1) != KWS_ERROR_ARGUMENT) return 6;
          if (kws_set_threshold(kws, -2, 1) != KWS_ERROR_ARGUMENT) return 7;
          if (kws_set_threshold(kws, 0, -1) != KWS_ERROR_ARGUMENT) return 8;
          if (kws_set_threshold(kws, 0, 32770) != KWS_ERROR_ARGUMENT) return 9;
          if (kws_set_threshold(kws, {phrases - 1}, 32769) != KWS_OK) return 10;
          if (kws_set_threshold(kws, KWS_EVERY_PHRASE, 0) != KWS_OK) return 11;
          return kws_score(kws, -1) == 0 && kws_score(kws, {phrases}) == 0 ? 0 : 12;
        }}""")
    sources = [built / name for name in RUNTIME] + [tmp_path / "main.c"]
    compile_program(sources, built, tmp_path / "bounds", ("-std=c99", *SANITIZE.split()))
    assert subprocess.run([str(tmp_path / "bounds")]).returncode == 0


def test_a_model_that_does_not_fit_is_refused(model: KwsModel, built: Path, tmp_path: Path) -> None:
    """A model.c that was edited: the detector takes more labels than the network gives."""
    outputs = model.graph.outputs
    edited = (built / "model.c").read_text().replace(f".labels = {outputs}", f".labels = {outputs + 1}")
    (tmp_path / "model.c").write_text(edited)
    (tmp_path / "main.c").write_text("""
        #include "model.h"
        static uint64_t memory[100000];
        kws_t *kws;
        int main(void) { return kws_init(&kws, &kws_model, memory, sizeof memory) == KWS_ERROR_MODEL ? 0 : 1; }
    """)
    sources = [built / name for name in RUNTIME[:-1]] + [tmp_path / "model.c", tmp_path / "main.c"]
    compile_program(sources, built, tmp_path / "edited")
    assert subprocess.run([str(tmp_path / "edited")]).returncode == 0


def test_no_float_no_heap_and_no_written_global_in_what_ships(built: Path) -> None:
    objects = [str(built / "build" / name.replace(".c", ".o")) for name in RUNTIME]
    make(built, "clean")
    make(built, "lib", CFLAGS="-O2 -fno-pie")  # position independent code relocates constants
    symbols = subprocess.run(["nm", *objects], capture_output=True, text=True, check=True).stdout
    undefined = set(re.findall(r"^\s+U (\w+)$", symbols, re.MULTILINE))
    assert {name for name in undefined if not name.startswith("kws_")} <= {"memcpy", "memmove", "memset"}
    assert not re.findall(r"^\w+ [bBcCdD] ", symbols, re.MULTILINE), "a variable outside the caller's memory"
    for name in [*RUNTIME, "kws.h", "lfbe.h", "lfbe_frame.h", "ops.h", "ops_kernels.h", "detector.h"]:
        code = re.sub(r"/\*.*?\*/", "", (built / name).read_text(), flags=re.DOTALL)
        assert not re.search(r"\b(float|double|malloc|calloc|free)\b|\d\.\d", re.sub(r'"[^"]*"', "", code)), name
    make(built, "all", CFLAGS=SANITIZE)


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


def test_cplusplus_firmware_calls_it(built: Path, tmp_path: Path) -> None:
    compiler_plus = shutil.which("c++")
    if compiler_plus is None:
        pytest.skip("no C++ compiler (c++) here")
    (tmp_path / "main.cpp").write_text("""
        #include "model.h"
        alignas(8) static uint8_t memory[KWS_MODEL_MEMORY_BYTES];
        int main() {
          kws_t *kws = nullptr;
          return kws_init(&kws, &kws_model, memory, sizeof memory) == KWS_OK && kws_steps(kws) == 0 ? 0 : 1;
        }""")
    objects = [str(built / "build" / name.replace(".c", ".o")) for name in RUNTIME]
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Werror", "-I", str(built), *SANITIZE.split()]
    program = str(tmp_path / "main")
    subprocess.run([compiler_plus, *flags, "-o", program, str(tmp_path / "main.cpp"), *objects], check=True)
    assert subprocess.run([program]).returncode == 0


def test_silence_still_makes_a_self_test(tone_model: KwsModel, tmp_path: Path) -> None:
    bundle.write_c(tone_model, tmp_path / "c", np.zeros(400, np.int16))
    assert "PASS beep: 1 steps and 1 detections" in make(tmp_path / "c", "test")


def test_a_changed_weight_fails_the_self_test(tone_model: KwsModel, tmp_path: Path) -> None:
    """The self-test can fail: one weight, one table entry or one bit of the decision changed."""
    bundle.write_c(tone_model, tmp_path / "c")
    source = tmp_path / "c" / "model.c"
    original = source.read_text()
    for old, new in ((" 117,", " 107,"), ("smooth_frames = 10", "smooth_frames = 9"), ("    32768,", "    32000,")):
        assert old in original
        source.write_text(original.replace(old, new))
        done = subprocess.run(["make", "-C", str(tmp_path / "c"), "test"], capture_output=True, text=True)
        assert done.returncode != 0
        assert "FAIL" in done.stdout


def test_figures_are_what_was_built(model: KwsModel, built: Path) -> None:
    readme = (built / "README.txt").read_text()
    assert f"{figures.memory_bytes(model):,} bytes" in readme
    assert f"{sum(figures.flash_bytes(model).values()):,} bytes" in readme
    assert model.recipe_hash in readme
    assert model_file.digest(model) in (built / "model.c").read_text()
    constants = re.findall(r"^static const (\w+)_t \w+\[(\d+)\]", (built / "model.c").read_text(), re.MULTILINE)
    width = {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4}
    sizes = [width[kind] * int(count) for kind, count in constants if kind in width]
    assert sum(sizes) == sum(figures.flash_bytes(model).values())


def test_other_flags_compile_everything_anew(tone_model: KwsModel, tmp_path: Path) -> None:
    bundle.write_c(tone_model, tmp_path / "bundle")
    assert "kws.o" in make(tmp_path / "bundle", "lib")
    assert "kws.o" not in make(tmp_path / "bundle", "lib"), "nothing changed"
    assert "kws.o" in make(tmp_path / "bundle", "lib", CFLAGS="-O0")
