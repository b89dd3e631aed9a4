"""Who may import whom (docs/architecture.md): one test over every module's syntax tree."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted([*ROOT.glob("kws/**/*.py"), *ROOT.glob("firmware_export/**/*.py")])
BASE = {"kws", "kws.errors", "kws.config", "kws.files", "kws.progress", "kws.quiet", "kws.runtime"}

# The longest matching prefix of a module's name decides; a rule holds the project's modules it may import.
RULES: dict[str, set[str]] = {
    "kws": set(),
    "kws.errors": set(),
    "kws.config": {"kws.errors"},
    "kws.progress": set(),
    "kws.runtime": set(),
    "kws._runtime_build": set(),
    "kws.audio": {"kws.audio_containers"},
    "kws.audio_containers": set(),
    "kws.files": set(),
    "kws.quiet": set(),
    "kws.info": {"kws.model_file", "kws.detect", "kws.licences"},
    "kws.licences": set(),
    "kws.frontend": set(),
    "kws.graph": {"kws.frontend.config"},
    "kws.detect": {"kws.detector_config"},
    "kws.detector_config": set(),
    "kws.micro_wake_word": set(),
    "kws.model_file": {"kws.graph", "kws.detect", "kws.frontend"},
    "kws.engine": {"kws.graph"},
    "kws.pipeline": {"kws.engine", "kws.graph", "kws.detect", "kws.frontend", "kws.model_file"},
    "kws.detect_files": {"kws.audio", "kws.pipeline", "kws.model_file", "kws.detect"},
    "kws.live": {"kws.engine", "kws.audio", "kws.pipeline", "kws.model_file", "kws.detect", "kws.detect_files"},
    "kws.data": {"kws.audio", "kws.frontend"},
    "kws.data.corpora": {"kws.audio", "kws.data.manifest", "kws.licences"},
    "kws.data.dataset": {"kws.audio", "kws.frontend", "kws.data"},
    "kws.train_config": {"kws.models.configs"},
    "kws.recipe": {
        "kws.data", "kws.frontend.config", "kws.models.registry", "kws.models.configs", "kws.detect",
        "kws.train_config",
    },
    "kws.overrides": {"kws.recipe"},
    "kws.models": {"kws.frontend.config"},
    "kws.train": {
        "kws.models", "kws.data", "kws.compress", "kws.frontend", "kws.recipe", "kws.train_config", "kws.detect",
        "kws.graph", "kws.model_file", "kws.audio", "kws.evaluate.stream", "kws.evaluate.metrics", "kws.evaluate.noise",
        "kws.evaluate.transcripts",
    },
    "kws.compress": {"kws.models", "kws.data", "kws.frontend", "kws.graph"},
    "kws.evaluate": {
        "kws.audio", "kws.data.manifest", "kws.data.endpoints", "kws.data.rooms", "kws.data.transforms", "kws.pipeline",
        "kws.model_file", "kws.detect", "kws.frontend", "kws.graph", "kws.micro_wake_word",
    },
    "firmware_export": {
        "kws.graph", "kws.frontend", "kws.detect", "kws.model_file", "kws.engine", "kws.micro_wake_word",
    },
}  # fmt: skip
ANYTHING = {
    "kws.cli", "kws.cli_corpus", "kws.cli_data", "kws.cli_evaluate", "kws.cli_options", "kws.cli_profile",
    "kws.cli_verify",
    "kws.__main__", "kws.quickstart", "kws.summary",
}  # fmt: skip
TORCH = ("kws.models", "kws.train", "kws.compress", "kws.data.dataset")


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Every module that a file names in an import, anywhere in it; `from a import b` gives a and a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the absolute name"
            module = node.module or ""
            names = {f"{module}.{alias.name}" for alias in node.names}
            found |= names & KNOWN if names & KNOWN else {module}
    return found


KNOWN = {module_name(path) for path in MODULES} | {"kws._runtime"}


def within(name: str, prefixes: set[str] | tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_imports_only_what_the_architecture_allows(path: Path) -> None:
    name = module_name(path)
    named = imports(path)
    ours = {other for other in named if within(other, ("kws", "firmware_export"))}
    assert not ours & ANYTHING or name in ANYTHING, "nothing imports the command line"
    if name not in ANYTHING:
        rule = max((prefix for prefix in RULES if within(name, (prefix,))), key=len)
        package = {rule} if rule not in {"kws"} else set()
        outside = {
            other for other in ours if other not in BASE and not within(other, RULES[rule] | package | {"kws._runtime"})
        }
        assert not outside, f"{name} imports {sorted(outside)}"
    if not within(name, TORCH):
        assert not {other for other in named if other.split(".")[0] == "torch"}, f"{name} imports torch"
    if name in {"kws.errors", "kws.config"}:
        assert {other.split(".")[0] for other in named} - {"kws"} <= sys.stdlib_module_names


def test_the_rules_cover_real_modules() -> None:
    """A rule for a module that is gone would only look like protection."""
    stale = {prefix for prefix in RULES if prefix not in KNOWN}
    assert not stale


def test_the_architecture_names_every_module() -> None:
    """docs/architecture.md, "Layout": a line for each module, none for one that is gone."""
    lines = (ROOT / "docs" / "architecture.md").read_text().splitlines()
    named = [line.split()[0] for line in lines if line.startswith(("kws/", "firmware_export/"))]
    assert sorted(named) == sorted(path.relative_to(ROOT).as_posix() for path in MODULES)
