"""Cross-compile the runtime with the clang that ``ziglang`` contains; objects are cached by what they are made of."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from firmware_export.simulate.targets import Target
from kws.errors import KwsError
from kws.system.packages import need

RUNTIME = Path(__file__).parents[1] / "runtime"
FILES = Path(__file__).parent / "files"


def cache_directory() -> Path:
    """Return where compiled objects are kept, made if missing: $XDG_CACHE_HOME/kws, ~/.cache/kws, else a temporary one.

    The names in it are hashes of everything that the objects depend on; it may be deleted at any time.
    """
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    for candidate in (Path(base).expanduser() / "kws" / "simulate", Path(tempfile.gettempdir()) / f"kws-{os.getpid()}"):
        try:
            candidate.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if os.access(candidate, os.W_OK):
            return candidate
    raise KwsError(f"{base}: cannot create a directory for compiled code; set XDG_CACHE_HOME to a writable one")


def image(
    target: Target,
    model: Path | None = None,
    include: Path = RUNTIME,
    whole: bool = False,
    extra: Sequence[Path] = (),
) -> Path:
    """Return a linked image: the runtime in ``include`` (the package's, or a bundle's) alone or with ``model``.

    ``model`` is its model.c; its header lies beside it. With it only what firmware can call is kept, the interface of
    kws.h, unless ``whole`` asks for everything. ``extra`` sources may include both headers.

    Raises:
        KwsError: the compiler is not installed, or cannot compile the sources.
    """
    runtime = [include / path.name for path in sorted(RUNTIME.glob("*.[ch]"))]
    headers = [path for path in runtime if path.suffix == ".h"]
    sources = [path for path in runtime if path.suffix == ".c"]
    objects = [_object(source, headers, target) for source in [*sources, FILES / "support.c"]]
    if model is not None:
        own = [model.with_name("kws_model.h"), *headers]
        objects += [_object(source, own, target) for source in (model, *extra)]
    options = [
        "-nostdlib",
        "-Wl,--gc-sections" if model is not None and not whole else "-Wl,--no-gc-sections",
    ]
    name = _key([*objects, FILES / "link.ld"], (*target.flags, *options))
    return _kept(f"{name}.elf", [*target.flags, *options, "-T", str(FILES / "link.ld"), *map(str, objects)])


def native_library(source: Path) -> Path:
    """Return ``source`` as a shared library for this machine, which runs the emulator."""
    flags = ("-O2", "-shared", "-nostdlib", "-fno-sanitize=all", "-g0", "-fPIC")
    return _kept(f"{_key([source], flags)}.so", [*flags, str(source)])


def _object(source: Path, headers: Sequence[Path], target: Target) -> Path:
    folders = dict.fromkeys([str(FILES), *(str(path.parent) for path in headers)])
    name = _key([source, *headers, FILES / "string.h"], target.flags)
    return _kept(f"{source.stem}-{name}.o", [*target.flags, *(f"-I{folder}" for folder in folders), "-c", str(source)])


def _key(paths: Iterable[Path], flags: Iterable[str]) -> str:
    """Return a name that changes with any of the files, the flags and the compiler."""
    digest = hashlib.sha256(f"{metadata.version('ziglang') if _zig() else ''} {' '.join(flags)}".encode())
    for path in paths:
        content = path.read_bytes()
        digest.update(f"\n{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:32]


def _kept(name: str, arguments: list[str]) -> Path:
    """Return the file ``name`` of the cache, made by the compiler where it is missing."""
    place = cache_directory() / name
    if not place.exists():
        with tempfile.TemporaryDirectory(prefix=".", dir=place.parent) as work:
            made = Path(work) / name
            _run([*arguments, "-o", str(made)])
            os.replace(made, place)
    return place


def _run(arguments: list[str]) -> None:
    environment = os.environ | {f"ZIG_{kind}_CACHE_DIR": str(cache_directory() / "zig") for kind in ("LOCAL", "GLOBAL")}
    command = [sys.executable, "-m", "ziglang", "cc", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["-"]
        raise KwsError(f"the runtime cannot be cross-compiled ({lines[0]}); if its sources are unchanged, report it")


def _zig() -> bool:
    need("ziglang", "ziglang", "simulate")
    return True
