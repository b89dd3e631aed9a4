"""Who may import whom, and the tree of modules: what docs/architecture.md says, held against every syntax tree."""

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import kws

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
MODULES = sorted([*ROOT.glob("kws/**/*.py"), *ROOT.glob("firmware_export/**/*.py")])
COMMON = {"kws.errors", "kws.config", "kws.system"}


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


KNOWN = {module_name(path) for path in MODULES} | {"kws._runtime"}


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def full(name: str) -> str:
    return name if name in {"firmware_export", "kws"} else f"kws.{name}"


def names(cell: str) -> set[str]:
    """The modules that a cell names: ``data.{manifest,corpus}`` are two, ``-`` none."""
    found = set()
    for item in re.findall(r"[\w.]+(?:\{[\w,]+\})?", cell.replace("`", "")):
        stem, _, inner = item.partition("{")
        found |= {full(stem + name) for name in inner.rstrip("}").split(",")}
    return found


def read_rules() -> tuple[dict[str, set[str]], set[str]]:
    """The table's rows as (what each room may import, the rooms that may import anything)."""
    rules, anything = {}, set()
    for line in section("Who may import whom").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] != "room" and not cells[0].startswith("---"):
            for room in names(cells[0]):
                if cells[1].startswith("anything"):
                    anything.add(room)
                else:
                    rules[room] = set() if cells[1] == "-" else names(cells[1])
    return rules, anything


RULES, ANYTHING = read_rules()
TORCH = tuple(names(section("Who may import whom").split("torch: ")[1].split(" alone")[0].replace(" and", ",")))


def imports(path: Path) -> set[str]:
    """Every module that a file names in an import, anywhere in it; `from a import b` gives a and a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the absolute name"
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= inner & KNOWN if inner & KNOWN else {module}
    return found


def within(name: str, prefixes: set[str] | tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def covers(room: str, name: str) -> bool:
    """Is the module in the room? The row "kws" is the package's own ``__init__``, not everything in it."""
    return name == room or (room != "kws" and within(name, (room,)))


def test_the_front_door_opens_outwards() -> None:
    """Its names come from where its row says, and no module of ours takes them by it: that would be a circle."""
    homes = {f"{home}.{name}" for name, home in kws._HOMES.items()}
    assert all(within(home, RULES["kws"] | COMMON) for home in homes)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "kws":
                assert not {alias.name for alias in node.names} & set(kws._HOMES), path


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_imports_only_what_the_architecture_allows(path: Path) -> None:
    name = module_name(path)
    named = imports(path)
    ours = {other for other in named if within(other, ("kws", "firmware_export")) and other != "kws"}
    if not within(name, ANYTHING):
        assert not {other for other in ours if within(other, ANYTHING)}, "nothing imports the command line"
        rule = max((room for room in RULES if covers(room, name)), key=len, default=None)
        assert rule is not None, f"{name}: docs/architecture.md has no row for it"
        allowed = RULES[rule] | ({rule} - {"kws"}) | {"kws._runtime"}
        common = set() if rule in COMMON else COMMON
        outside = {other for other in ours if not within(other, allowed | common)}
        assert not outside, f"{name} imports {sorted(outside)}"
    if not within(name, TORCH):
        assert not {other for other in named if other.split(".")[0] == "torch"}, f"{name} imports torch"
    if name in {"kws.errors", "kws.config"}:
        assert {other.split(".")[0] for other in named} - {"kws"} <= sys.stdlib_module_names


def test_the_table_is_read_as_it_is_written() -> None:
    """A row that the reader did not understand would only look like protection."""
    assert {"kws.errors", "kws.data", "firmware_export"} <= RULES.keys()
    assert RULES["kws.live"] == {"kws.detector", "kws.audio"}
    assert names("data.{manifest,corpus}, audio") == {"kws.data.manifest", "kws.data.corpus", "kws.audio"}
    assert {"kws.cli", "kws.__main__"} == ANYTHING
    assert set(TORCH) == {"kws.models", "kws.train", "kws.compress", "kws.data.dataset"}


def test_the_rules_cover_real_modules() -> None:
    named = {*RULES, *ANYTHING, *TORCH, *(name for allowed in RULES.values() for name in allowed)}
    assert not {name for name in named if name not in KNOWN}


def test_no_circle_between_rooms() -> None:
    """Ordered as the table is, every room imports only rooms above it."""
    order = list(RULES)
    for room, allowed in RULES.items():
        above = order[: order.index(room)]
        assert all(within(name, tuple(above)) for name in allowed), f"{room} imports a room below it"


def architecture() -> ModuleType:
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "scripts" / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tree_of_modules_is_that_of_now() -> None:
    assert architecture().page(PAGE) == PAGE, "run: python scripts/architecture.py"


def test_a_module_that_came_is_seen(tmp_path: Path) -> None:
    for package in ("kws", "firmware_export"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text('"""A package."""\n')
    (tmp_path / "kws" / "new.py").write_text('"""What is new.\n\nMore."""\n')
    assert architecture().tree(tmp_path).splitlines()[1].split(None, 1) == ["new", "What is new."]


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_names_no_place_outside_of_the_product(path: Path) -> None:
    """Recordings, environments and the like that lie beside a checkout are named by options and by who runs it."""
    texts = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    assert not [text for text in texts if isinstance(text, str) and re.match(r"\.\./|.*\bshared/corpus", text)]
