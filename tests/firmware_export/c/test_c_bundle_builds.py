"""The ways a bundle is built: compilers with every warning, cppcheck, bare metal, CMake, ESP-IDF, Zephyr, Arduino."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from numpy.typing import NDArray

from firmware_export.c import bundle
from firmware_export.c.arduino import library_name, library_properties
from firmware_export.c.engine import compiler, sources
from firmware_export.simulate import build, elf
from firmware_export.simulate.machine import Machine
from firmware_export.simulate.targets import TARGETS
from kws.detector.decision import SCORE_ONE
from kws.detector.model_file import KwsModel
from kws.detector.pipeline import Pipeline

pytestmark = pytest.mark.slow

TOOLS = Path(sys.executable).parent
CLANG = [sys.executable, "-m", "ziglang", "cc"]
HELPERS = re.compile(r"__aeabi_(mem(cpy|move|set|clr)[48]?|l(mul|lsl|lsr|asr)|u?idiv(mod)?|uldivmod)|__clz[sd]i2")
"""What a compiler calls where the processor lacks an instruction: its own library has it (libgcc, compiler-rt)."""


@pytest.fixture(scope="module")
def written(two_tone_model: KwsModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("c") / "tones"
    bundle.write_c(two_tone_model, directory)
    return directory


def run(command: Sequence[str | Path], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["the host's", "clang"])
def test_it_compiles_without_a_warning(written: Path, tmp_path: Path, name: str, warnings: tuple[str, ...]) -> None:
    """The host's links programs; Zig's clang would build a C library for one, half a minute the first time."""
    clang = [*CLANG, "-O0", "-fno-sanitize=all", "-nostdlib", "-r"]
    command = clang if name == "clang" else [*compiler(), "-O2"]
    files = [*sources(written), written / "src" / "kws_selftest.c"]
    mains = list(written.glob("*_main.c"))
    assert len(mains) >= 2
    for main in mains:
        run([*command, *warnings, f"-I{written / 'src'}", "-o", main.stem, *map(str, [*files, main])], tmp_path)


@pytest.mark.parametrize(
    "header", ["kws.h", "kws_model.h", "kws_selftest.h", "kws_lfbe.h", "kws_ops.h", "kws_detector.h"]
)
def test_a_header_stands_by_itself_in_c_and_in_cplusplus(written: Path, tmp_path: Path, header: str) -> None:
    (tmp_path / "one.c").write_text(f'#include "{header}"\n#include "{header}"\ntypedef int not_empty;\n')
    for language in ("-xc", "-xc++"):
        standard = "-std=c99" if language == "-xc" else "-std=c++11"
        command = [*CLANG, "-c", standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", language]
        run([*command, f"-I{written / 'src'}", "one.c"], tmp_path)


BARE_METAL = {
    "cortex-m0plus": ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus"),
    "cortex-m4": ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4"),
    "rv32imc": ("-target", "riscv32-freestanding", "-mcpu=generic_rv32+m+c"),
}


@pytest.mark.parametrize("target", BARE_METAL)
def test_on_bare_metal_it_wants_memcpy_and_memset_and_writes_no_global(
    written: Path, tmp_path: Path, target: str, warnings: tuple[str, ...]
) -> None:
    """One relocatable object of everything, self-test included: what is undefined in it the firmware must bring."""
    declared = "#include <stddef.h>\nvoid *memcpy(void *restrict, const void *restrict, size_t);\n"
    (tmp_path / "string.h").write_text(declared + "void *memset(void *, int, size_t);\n")
    files = [*sources(written), written / "src" / "kws_selftest.c"]
    flags = [*warnings, "-Os", "-ffreestanding", "-fno-sanitize=all", "-g0", "-fno-stack-protector"]
    flags += ["-fno-unwind-tables", "-fno-asynchronous-unwind-tables", f"-I{tmp_path}"]
    command = [*CLANG, *BARE_METAL[target], *flags, "-nostdlib", "-r", "-o", "all.o", *map(str, files)]
    run(command, tmp_path)
    with (tmp_path / "all.o").open("rb") as file:
        elf = ELFFile(file)
        written_to = {
            section.name: section["sh_size"]
            for section in elf.iter_sections()
            if section["sh_flags"] & 3 == 3 and section["sh_size"]  # SHF_WRITE and SHF_ALLOC
        }
        symbols = [
            s for table in elf.iter_sections() if isinstance(table, SymbolTableSection) for s in table.iter_symbols()
        ]
    undefined = {s.name for s in symbols if s["st_shndx"] == "SHN_UNDEF" and s.name}
    defined = {s.name for s in symbols if s["st_info"]["bind"] == "STB_GLOBAL" and s["st_shndx"] != "SHN_UNDEF"}
    assert not written_to
    assert {name for name in undefined if not HELPERS.fullmatch(name)} <= {"memcpy", "memset"}
    assert {name for name in defined if not name.startswith("kws_")} == set(), "names that others may have, too"


@pytest.mark.emulator
@pytest.mark.parametrize("target", ["cortex-m4", "rv32imc"])
def test_the_self_test_passes_on_an_emulated_board(written: Path, tmp_path: Path, target: str) -> None:
    """And fails there, told what differs, when one golden number is another."""
    folder = written / "src"
    golden = (folder / "kws_golden.h").read_text()
    selftest = (folder / "kws_selftest.c").read_text()
    length = re.search(r"KWS_MODEL_MEMORY_BYTES (\d+)", (folder / "kws_model.h").read_text())
    assert length
    memory_bytes = 2 * int(length[1])
    for content, wanted in ((golden, 0), (re.sub(r"(golden_scores.*\n *)(\d+)", r"\g<1>9\2", golden), 1)):
        source = tmp_path / f"selftest{wanted}.c"  # one file, since the image is kept by what its sources hold
        source.write_text(selftest.replace('#include "kws_golden.h"', content))
        image = build.image(TARGETS[target], folder / "model.c", folder, whole=True, extra=[source])
        machine = Machine(TARGETS[target], elf.read(image))
        memory, result = machine.allocate(memory_bytes), machine.allocate(24)
        assert machine.call("kws_selftest", memory, memory_bytes, result) == wanted
        what, where = (int.from_bytes(machine.read(result + at, 4), "little") for at in (0, 4))
        if wanted:
            assert (machine.read(what, 14), where) == (b"score of step\0", 0)
        else:
            assert what == 0


def test_cppcheck_finds_nothing(written: Path) -> None:
    """Every check of severity warning, style, performance and portability, on what is not generated."""
    files = [str(path) for path in sources(written) if path.name != "model.c"]
    suppressed = [
        "--suppress=shiftTooManyBitsSigned",  # x >> 31 of a negative x: kws.c has a check that it is arithmetic
    ]
    options = ["--quiet", "--std=c99", "--enable=warning,style,performance,portability", "--error-exitcode=1"]
    run([sys.executable, "-m", "cppcheck", *options, *suppressed, "-UKWS_HOST", "-UKWS_DSP", *files], written)


def test_the_interface_breaks_no_other_misra_rule_than_the_documented(written: Path) -> None:
    """What every call goes through; the whole runtime takes the addon longer than a test may."""
    rules = (Path(__file__).parents[3] / "docs" / "c99.md").read_text().split("### MISRA")[1]
    documented = {
        rule for row in re.findall(r"^\| (\d[^|]*)\|", rules, re.MULTILINE) for rule in row.strip().split(", ")
    }
    assert len(documented) > 20
    files = [str(written / "src" / name) for name in ("kws.c", "detector.c", "lfbe_check.c")]
    options = ["--quiet", "--std=c99", "--enable=style", "--addon=misra", "-UKWS_HOST", "--template={id}"]
    out = run([sys.executable, "-m", "cppcheck", *options, *files], written)
    found = set(re.findall(r"misra-c2012-([\d.]+)", out))
    assert {"15.5", "11.6"} <= found, "the addon looked"
    assert found <= documented


# ---- CMake, ESP-IDF, Zephyr ----


def cmake(*arguments: str, cwd: Path) -> str:
    """Run the cmake that the dev extra installs."""
    return run([TOOLS / "cmake", *arguments], cwd)


def test_cmake_builds_and_tests_it(written: Path, tmp_path: Path) -> None:
    cmake("-S", str(written), "-B", "build", "-DCMAKE_C_FLAGS=-Werror", cwd=tmp_path)
    cmake("--build", "build", cwd=tmp_path)
    out = run([TOOLS / "ctest", "--output-on-failure"], tmp_path / "build")
    assert "100% tests passed" in out
    assert "out of 2" in out


def test_another_project_links_it_as_a_library(written: Path, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(f"""
        cmake_minimum_required(VERSION 3.13)
        project(app CXX C)
        add_subdirectory({written} detector)
        add_executable(app app.cpp)
        target_link_libraries(app kws)
    """)
    (tmp_path / "app.cpp").write_text("""
        #include <kws_model.h>
        int main() { return kws_memory_bytes(&kws_model) == KWS_MODEL_MEMORY_BYTES ? 0 : 1; }
    """)
    cmake("-S", ".", "-B", "build", cwd=tmp_path)
    cmake("--build", "build", cwd=tmp_path)
    assert subprocess.run([str(tmp_path / "build" / "app")]).returncode == 0
    assert not list((tmp_path / "build").rglob("kws_selftest")), "the programs are for those who build it alone"


def test_esp_idf_sees_a_component(written: Path, tmp_path: Path) -> None:
    """ESP-IDF reads a component's CMakeLists.txt twice, once in a script that may register and nothing else."""
    (tmp_path / "script.cmake").write_text(f"""
        set(ESP_PLATFORM 1)
        function(idf_component_register)
          message("registered: ${{ARGN}}")
        endfunction()
        include({written / "CMakeLists.txt"})
    """)
    assert "registered: SRC_DIRS;src;INCLUDE_DIRS;src" in cmake("-P", "script.cmake", cwd=tmp_path)


@pytest.mark.parametrize("chosen", ["y", ""])
def test_zephyr_sees_a_module(written: Path, tmp_path: Path, chosen: str) -> None:
    """The functions of Zephyr's build that a module calls, noting what they are given."""
    module = dict(re.findall(r"^  (\w+): (\S+)$", (written / "zephyr" / "module.yml").read_text(), re.MULTILINE))
    assert "config KWS\n\tbool " in (written / module["kconfig"]).read_text()
    (tmp_path / "CMakeLists.txt").write_text(f"""
        cmake_minimum_required(VERSION 3.20)
        project(zephyr NONE)
        set(CONFIG_KWS {chosen})
        foreach(name zephyr_library_named zephyr_library_sources zephyr_include_directories)
          function(${{name}})
            message("${{CMAKE_CURRENT_FUNCTION}}: ${{ARGN}}")
          endfunction()
        endforeach()
        add_subdirectory({written / module["cmake"]} kws)
    """)
    out = cmake("-S", ".", "-B", "build", cwd=tmp_path)
    calls = dict(re.findall(r"^(zephyr_\w+): (.*)$", out, re.MULTILINE))
    if not chosen:
        assert calls == {}
        return
    assert (calls["zephyr_library_named"], calls["zephyr_include_directories"]) == ("kws", "src")
    assert {Path(path).name for path in calls["zephyr_library_sources"].split(";")} == {
        path.name for path in (written / "src").glob("*.c")
    }


# ---- Arduino ----

ARDUINO_H = """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#define LED_BUILTIN 13
#define OUTPUT 1
#define HIGH 1
#define LOW 0
inline void pinMode(int, int) {}
inline void digitalWrite(int, int value) { printf("light %d\\n", value); }
inline void delay(int) { exit(3); }
struct {
  void begin(long) {}
  void print(const char *text) { printf("%s", text); }
  void println(const char *text) { printf("%s\\n", text); }
  void println(long value) { printf("%ld\\n", value); }
  void println(float value) { printf("%.4f\\n", (double)value); }
} Serial;
"""
PDM_H = """
#include <string.h>
static struct {
  void (*callback)();
  int16_t samples[512];
  int count;
  void onReceive(void (*called)()) { callback = called; }
  int begin(int channels, long rate) { return channels == 1 && rate == 16000; }
  int available() { return count * 2; }
  int read(void *target, int bytes) { memcpy(target, samples, (size_t)bytes); count -= bytes / 2; return bytes; }
} PDM;
"""
LISTEN_MAIN = """
int main() {
  setup();
  while ((PDM.count = (int)fread(PDM.samples, 2, 256, stdin)) > 0) { PDM.callback(); loop(); loop(); }
  return 0;
}
"""


def build_sketch(written: Path, folder: Path, name: str, main: str) -> Path:
    """Compile a sketch as Arduino's builder does, against stand-ins for the board's headers, and link the library."""
    (folder / "Arduino.h").write_text(ARDUINO_H)
    (folder / "PDM.h").write_text(PDM_H)
    sketch = (written / "examples" / name / f"{name}.ino").read_text()
    (folder / "sketch.cpp").write_text(f"#include <Arduino.h>\n{sketch}\n{main}")
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Werror", f"-I{folder}", f"-I{written / 'src'}"]
    run([*CLANG[:-1], "c++", "-O1", *flags, "-c", "sketch.cpp"], folder)
    run([*compiler(), "-O1", "-c", f"-I{written / 'src'}", *map(str, (written / "src").glob("*.c"))], folder)
    run([*compiler(), "-o", name, *(path.name for path in folder.glob("*.o"))], folder)
    return folder / name


def test_the_sketch_hears_what_kws_detect_hears(
    written: Path, two_tone_model: KwsModel, burst_sound: NDArray[np.int16], tmp_path: Path
) -> None:
    program = build_sketch(written, tmp_path, "Listen", LISTEN_MAIN)
    done = subprocess.run([str(program)], input=burst_sound.tobytes(), capture_output=True, check=True)
    wanted = Pipeline(two_tone_model).push(burst_sound)
    assert len(wanted) >= 7
    assert done.stdout.decode().splitlines() == [
        f"{found.phrase} {round(found.score * SCORE_ONE) / SCORE_ONE:.4f}" for found in wanted
    ]


def test_the_sketch_tests_the_board(written: Path, tmp_path: Path) -> None:
    program = build_sketch(written, tmp_path, "SelfTest", "int main() { setup(); loop(); return 0; }")
    assert run([str(program)], tmp_path) == "light 1\nPASS: steps compared: 298\n"


def test_the_folder_is_an_arduino_library(two_tone_model: KwsModel, written: Path) -> None:
    """The library specification 1.5: the fields, a name it takes, and nothing with a main where it compiles."""
    fields = dict(line.split("=", 1) for line in library_properties(two_tone_model).splitlines())
    assert set(fields) == {
        *("name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"),
        "includes",
    }
    assert fields["name"] == library_name(two_tone_model.detector.title)
    assert all((written / "src" / name).exists() for name in fields["includes"].split(","))
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_]{0,62}", library_name("ex: " + 50 * "ample "))
    assert not any(re.search(r"\bmain\(", path.read_text()) for path in (written / "src").rglob("*.c"))
    for sketch in ("Listen", "SelfTest"):
        assert (written / "examples" / sketch / f"{sketch}.ino").exists()
