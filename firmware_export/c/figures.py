"""What a model costs on a device, computed from the constants that are written: flash, RAM, work; and the README."""

from firmware_export.c import text as c_text
from kws.detector.model_file import KwsModel, digest
from kws.frontend import tables
from kws.graph.cost import cost
from kws.graph.plan import plan

STATE_BYTES = 160
"""KWS_STATE_BYTES of kws.c: the bytes reserved for ``kws_t``, the same on every machine."""

_FFT_SLOT_BYTES = 8  # one complex number of the FFT


def memory_parts(model: KwsModel) -> dict[str, int]:
    """Return the bytes of one detector's RAM by what they hold; their sum is what ``kws_memory_bytes`` returns."""
    frontend, detector = model.frontend, model.detector
    keywords = len(detector.labels) - 1
    rings = 4 * keywords + 2 * keywords * (detector.smooth_frames + detector.max_frames + 1)
    phrases = 7 * len(detector.phrases)
    return {
        "detector struct": STATE_BYTES,
        "features of a frame": _aligned(2 * frontend.bands),
        "logits of a step": _aligned(len(detector.labels)),
        "network: states and activations": _aligned(plan(model.graph).arena_bytes),
        "decision: rings of posteriors, phrases": _aligned(rings + phrases),
        "frontend: samples of a window": _aligned(2 * frontend.window_samples),
        "frontend: FFT": _FFT_SLOT_BYTES * (frontend.fft_size // 2),
    }


def memory_bytes(model: KwsModel) -> int:
    """Return the RAM of one detector in bytes: ``KWS_MODEL_MEMORY_BYTES``."""
    return sum(memory_parts(model).values())


def flash_bytes(model: KwsModel) -> dict[str, int]:
    """Return the bytes of the model's constant arrays by what they are for; structs, names and code come on top."""
    detector = model.detector
    return {
        "network: weights, biases, multipliers, shifts": cost(model.graph).weight_bytes,
        "frontend: window, FFT, mel and log2 tables": sum(
            values.nbytes for _, values in tables.build(model.frontend).arrays()
        ),
        "decision: exponential table, phrases": 512 + sum(map(len, detector.keywords)) + 3 * len(detector.phrases),
    }


def readme(model: KwsModel) -> str:
    """Return the bundle's README.txt."""
    frontend = model.frontend
    macs_per_second = round(cost(model.graph).macs_per_step * 1000 / model.step_ms)
    lines = [
        f'A wake-word detector for "{model.detector.title}" in C99: no malloc, no float, no dependency.',
        "",
        "  make        build/example: raw 16 kHz mono int16 audio from a file or standard input -> detections",
        "  make test   build/selftest: golden audio in, every logit, score and detection compared",
        "  make lib    build/libkws.a, with CC, AR and CFLAGS of your target",
        "  make size   bytes of code and constants with your compiler",
        "  CMakeLists.txt works in plain CMake, ESP-IDF (as a component) and Zephyr (as a module: CONFIG_KWS=y);",
        "  library.properties makes the folder an Arduino library, with two sketches in examples/.",
        "",
        "In your firmware: compile src/*.c, include kws_model.h, and call the functions that kws.h describes, as",
        "example_main.c does. Call kws_selftest (kws_selftest.h) once on the board: it runs the golden audio there.",
        "bundle.json has the SHA-256 of every file, and of the .kws file that they were made from.",
        "",
        "Flash: the model's constants; for the code and structs as well, run make size",
        *_table(flash_bytes(model)),
        "",
        "RAM: provided by the caller, KWS_MODEL_MEMORY_BYTES in kws_model.h, the same number on every machine",
        *_table(memory_parts(model)),
        "",
        f"Work: the network takes {macs_per_second:,} multiply-accumulates per second of audio, with a step every"
        f" {model.step_ms} ms;",
        f"the frontend computes an FFT of {frontend.fft_size} points every {frontend.hop_ms} ms.",
        f"Latency: a decision about a frame comes {model.graph.latency_frames * frontend.hop_ms} ms after it.",
        "",
        "Thresholds, 1 to 32768 (kws_set_threshold changes them):",
        *_thresholds(model),
        f"Recipe {model.recipe_hash}, model {digest(model)}",
        *_ledger(model),
    ]
    return "\n".join(lines) + "\n"


def _table(sizes: dict[str, int]) -> list[str]:
    rows = [*sizes.items(), ("total", sum(sizes.values()))]
    return [f"  {name:<46}{size:>9,} bytes" for name, size in rows]


def _thresholds(model: KwsModel) -> list[str]:
    lines = []
    for index, (phrase, threshold) in enumerate(zip(model.detector.phrases, model.thresholds, strict=True)):
        lines.append(f'  {threshold} for phrase {index}, "{c_text.comment(phrase)}"')
        lines += [
            f"    at {point.threshold}: {point.false_accepts_per_hour:g} false accepts per hour, "
            f"{100 * point.false_reject_rate:.1f} % false rejects, measured on {c_text.comment(point.measured_on)}"
            for point in model.operating_points
            if point.phrase == phrase
        ]
    return lines


def _ledger(model: KwsModel) -> list[str]:
    rows = [f"  {source.name}: {source.licence}, {source.clips:,} clips" for source in model.licences]
    return ["Learned from", *rows] if rows else []


def _aligned(size: int) -> int:
    return -(-size // 8) * 8
