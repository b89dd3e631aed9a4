"""The calls of kws.h from programs of C and C++: errors as codes, two models at once, a stream of years."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware_export.c import bundle
from firmware_export.c.engine import compile_program, sources
from kws.detector import pipeline
from kws.detector.model_file import KwsModel

pytestmark = pytest.mark.slow

SANITIZE = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", *SANITIZE)


@pytest.fixture(scope="module")
def built(two_tone_model: KwsModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for two phrases, its objects compiled under sanitizers."""
    directory = tmp_path_factory.mktemp("c") / "tones"
    bundle.write_c(two_tone_model, directory)
    command = ["make", "-C", str(directory), "lib", f"CFLAGS={' '.join(SANITIZE)}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def objects(built: Path) -> list[Path]:
    return [built / "build" / f"{path.stem}.o" for path in sources(built)]


def compiled(built: Path, folder: Path, program: str, *others: Path) -> Path:
    """Compile a program and link it with the bundle."""
    (folder / "main.c").write_text(program)
    compile_program([*objects(built), *others, folder / "main.c"], built / "src", folder / "main", FLAGS)
    return folder / "main"


def test_two_different_models_in_one_program(
    tone_model: KwsModel, two_tone_model: KwsModel, built: Path, burst_sound: NDArray[np.int16], tmp_path: Path
) -> None:
    """Fed in turn with chunks of their own; each gives what it gives alone."""
    bundle.write_c(tone_model, tmp_path / "tone")
    other = tmp_path / "tone" / "src" / "model.c"
    compile_program([other], other.parent, tmp_path / "tone.o", (*FLAGS, "-c", "-Dkws_model=tone_model"))
    program = compiled(built, tmp_path, TWO_DETECTORS, tmp_path / "tone.o")
    samples = burst_sound[:48000]
    done = subprocess.run([str(program)], input=samples.astype("<i2").tobytes(), capture_output=True, check=True)
    rows = [[int(number) for number in line.split()] for line in done.stdout.decode().splitlines()]
    for index, each in enumerate((two_tone_model, tone_model)):
        last = {step: score for which, step, score in rows if which == index}
        wanted = pipeline.scores(each, samples, "graph")[:, 0].tolist()
        assert len(last) > len(wanted) // 4
        assert len(set(last.values())) > 5
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


def test_what_is_out_of_bounds_is_refused(built: Path, tmp_path: Path) -> None:
    """Memory that is missing, too small or not aligned; phrases and thresholds that do not exist."""
    phrases = 2
    program = compiled(
        built,
        tmp_path,
        f"""
        #include "kws_model.h"
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
          if (kws_set_threshold(kws, 0, 1) != KWS_ERROR_ARGUMENT || kws_steps(kws) != 0) return 13;
          if (kws_score(kws, 0) != 0 || kws_logits(kws) != 0) return 14;
          kws_reset(kws);
          if (kws_init(0, &kws_model, memory, NEEDED) != KWS_ERROR_ARGUMENT) return 15;
          if (kws_init(&kws, 0, memory, NEEDED) != KWS_ERROR_ARGUMENT) return 16;
          if (init(&kws, memory, NEEDED) != KWS_OK || kws_feed(kws, 0, 0, 0, 0) != 0) return 5;
          if (kws_feed(kws, 0, 1, 0, 0) != KWS_ERROR_ARGUMENT) return 17;
          if (kws_feed(kws, &sample, 1, 0, 1) != KWS_ERROR_ARGUMENT) return 18;
          if (KWS_MODEL_PHRASES != {phrases} || kws_set_threshold(kws, {phrases}, 1) != KWS_ERROR_ARGUMENT) return 6;
          if (kws_set_threshold(kws, -2, 1) != KWS_ERROR_ARGUMENT) return 7;
          if (kws_set_threshold(kws, 0, -1) != KWS_ERROR_ARGUMENT) return 8;
          if (kws_set_threshold(kws, 0, 0) != KWS_ERROR_ARGUMENT) return 14;
          if (kws_set_threshold(kws, 0, 32770) != KWS_ERROR_ARGUMENT) return 9;
          if (kws_set_threshold(kws, {phrases - 1}, 32769) != KWS_OK) return 10;
          if (kws_set_threshold(kws, KWS_EVERY_PHRASE, 1) != KWS_OK) return 11;
          return kws_score(kws, -1) == 0 && kws_score(kws, {phrases}) == 0 ? 0 : 12;
        }}""",
    )
    assert subprocess.run([str(program)]).returncode == 0


def test_a_model_that_does_not_fit_is_refused(built: Path, tmp_path: Path) -> None:
    """A model.c that was edited: the detector takes more labels than the network gives."""
    edited = (built / "src" / "model.c").read_text().replace(".labels = 3", ".labels = 4")
    (tmp_path / "model.c").write_text(edited)
    (tmp_path / "main.c").write_text("""
        #include "kws_model.h"
        static uint64_t memory[100000];
        kws_t *kws;
        int main(void) {
          if (kws_memory_bytes(&kws_model) != 0) return 2;
          return kws_init(&kws, &kws_model, memory, sizeof memory) == KWS_ERROR_MODEL ? 0 : 1;
        }
    """)
    runtime = [path for path in objects(built) if path.stem != "model"]
    compile_program([*runtime, tmp_path / "model.c", tmp_path / "main.c"], built / "src", tmp_path / "edited", FLAGS)
    assert subprocess.run([str(tmp_path / "edited")]).returncode == 0


def test_time_goes_on_when_the_step_counter_begins_anew(built: Path, two_tone_model: KwsModel, tmp_path: Path) -> None:
    """497 days of steps of 10 ms, by setting the counter: a detection still says its sample of the stream."""
    (tmp_path / "main.c").write_text(f"""
        #include "kws.c"
        #include "kws_model.h"
        static uint64_t memory[KWS_MODEL_MEMORY_BYTES / 8];
        static int16_t samples[{two_tone_model.step_end(0)}];
        int main(void) {{
          kws_t *kws;
          kws_detection_t found;
          if (kws_init(&kws, &kws_model, memory, sizeof memory) != KWS_OK) return 1;
          if (kws_set_threshold(kws, KWS_EVERY_PHRASE, 1) != KWS_OK) return 2;
          kws->steps = UINT64_C(0x100000000);
          if (kws_feed(kws, samples, {two_tone_model.step_end(0)}, &found, 1) < 1) return 3;
          if (found.step != 0 || kws_steps(kws) != 1) return 4;
          return found.sample == UINT64_C({two_tone_model.step_end(2**32)}) ? 0 : 5;
        }}""")
    runtime = [path for path in objects(built) if path.stem != "kws"]
    compile_program([*runtime, tmp_path / "main.c"], built / "src", tmp_path / "long", FLAGS)
    assert subprocess.run([str(tmp_path / "long")]).returncode == 0


def test_cplusplus_firmware_calls_it(built: Path, tmp_path: Path) -> None:
    compiler_plus = shutil.which("c++")
    if compiler_plus is None and not os.environ.get("CI"):
        pytest.skip("no C++ compiler (c++) here")
    (tmp_path / "main.cpp").write_text("""
        #include "kws_model.h"
        alignas(8) static uint8_t memory[KWS_MODEL_MEMORY_BYTES];
        int main() {
          kws_t *kws = nullptr;
          return kws_init(&kws, &kws_model, memory, sizeof memory) == KWS_OK && kws_steps(kws) == 0 ? 0 : 1;
        }""")
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Werror", "-I", str(built / "src"), *SANITIZE]
    program = str(tmp_path / "main")
    assert compiler_plus, "CI must have a C++ compiler (c++)"
    subprocess.run(
        [compiler_plus, *flags, "-o", program, str(tmp_path / "main.cpp"), *map(str, objects(built))], check=True
    )
    assert subprocess.run([program]).returncode == 0


def test_no_float_and_no_heap_in_what_ships(built: Path) -> None:
    for path in (built / "src").iterdir():
        code = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"\b(float|double|malloc|calloc|free)\b|\d\.\d", re.sub(r'"[^"]*"', "", code)), path
