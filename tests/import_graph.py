"""Which floor of the package imports which.

`python -m tests.import_graph` draws it into docs/development/architecture.md.
"""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "compass"
PAGE = ROOT / "docs" / "development" / "architecture.md"
START, END = "<!-- imports: made by python -m tests.import_graph -->", "<!-- end of imports -->"

# From the ground up; a floor may import those before it. Modules that are no folder's are floors of their own.
FLOORS = (
    "errors", "arguments", "files", "processes", "entropy", "picture", "bitstream", "model", "codec", "nets",
    "training", "evaluation", "faces",
)  # fmt: skip
Edges = Counter[tuple[str, str]]  # (floor, floor that it imports) -> how many imports


def floor_of(module: str) -> str:
    """The floor of `compass.x.y`: a folder, a module of the ground floor, or else a face."""
    name = module.split(".")[1] if "." in module else "faces"
    return name if name in FLOORS else "faces"


def imports(path: Path) -> list[str]:
    """Modules of the package that a file imports, anywhere in it; not those for type checking alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "compass":
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] == "compass"]
    return found


def all_imports() -> list[tuple[str, str]]:
    """(module, what it imports) over the whole package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(("compass", *path.relative_to(PACKAGE).with_suffix("").parts))
        found += [(module, target) for target in imports(path)]
    return found


def edges() -> Edges:
    """How often each floor imports another one."""
    pairs = ((floor_of(module), floor_of(target)) for module, target in all_imports())
    return Counter((a, b) for a, b in pairs if a != b)


def diagram() -> str:
    """The graph for Mermaid, without the arrows that a longer way says already."""
    graph = edges()
    below = {floor: {b for a, b in graph if a == floor} for floor in FLOORS}

    def reached(floor: str) -> set[str]:
        return below[floor].union(*(reached(b) for b in below[floor]))

    lines = ["```mermaid", "flowchart TD"]
    for a in reversed(FLOORS):
        others = below[a]
        direct = [b for b in others if not any(b in reached(c) for c in others - {b})]
        lines += [f"  {a} --> {b}" for b in sorted(direct, key=FLOORS.index, reverse=True)]
    return "\n".join([*lines, "```"])


def main() -> None:
    text = PAGE.read_text()
    before, rest = text.split(START)
    PAGE.write_text(f"{before}{START}\n\n{diagram()}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
