"""Write the tree of modules into docs/architecture.md, each with the first line of its docstring.

    python scripts/architecture.py            # after a module came, went or changed its docstring
    python scripts/architecture.py --check    # is the page true? status 1 where it is not

The page's table "Who may import whom" is kept by hand: ``tests/test_imports.py`` reads the rules there.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("kws", "firmware_export")
BEGIN = "<!-- tree: written by scripts/architecture.py -->\n```\n"
END = "```\n<!-- end of tree -->\n"


def tree(root: Path = ROOT) -> str:
    """Return the tree as text: a line for each folder and module, indented by its depth."""
    lines = []
    for package in PACKAGES:
        lines += _folder(root / package, 0)
    return "\n".join(lines) + "\n"


def _folder(folder: Path, depth: int) -> list[str]:
    lines = [_line(f"{folder.name}/", depth, _summary(folder / "__init__.py"))]
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        if path.suffix == ".py" and path.name != "__init__.py":
            lines.append(_line(path.stem, depth + 1, _summary(path)))
        elif (path / "__init__.py").exists():
            lines += _folder(path, depth + 1)
    return lines


def _line(name: str, depth: int, summary: str) -> str:
    return f"{'  ' * depth + name:28} {summary}"


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n", 1)[0]


def page(text: str, root: Path = ROOT) -> str:
    """Return the page with the tree of now in place of the one it has."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + tree(root) + END + after


def main(arguments: list[str]) -> int:
    """Write the page, or say whether it is true."""
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if "--check" in arguments:
        if new != old:
            print("docs/architecture.md: its tree is old; run: python scripts/architecture.py", file=sys.stderr)
        return int(new != old)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
