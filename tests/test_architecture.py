"""The house: no floor imports one above it, and each holds to its own dependencies."""

from __future__ import annotations

import ast

from tests import import_graph
from tests.import_graph import FLOORS, PACKAGE, PAGE, all_imports, diagram, floor_of


def test_no_floor_imports_a_higher_one():
    upward = [
        (module, target)
        for module, target in all_imports()
        if FLOORS.index(floor_of(target)) > FLOORS.index(floor_of(module))
    ]
    assert upward == []


def test_measuring_does_not_need_training():
    assert not {("evaluation", "nets"), ("evaluation", "training")} & set(import_graph.edges())


def test_the_figure_in_the_text_is_of_this_code():
    assert diagram() in PAGE.read_text()


def third_party(floor: str) -> set[tuple[str, str]]:
    """(file, package) of everything that a floor imports from outside."""
    paths = sorted((PACKAGE / floor).rglob("*.py")) if (PACKAGE / floor).is_dir() else [PACKAGE / f"{floor}.py"]
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            found |= {(path.name, name.split(".")[0]) for name in names}
    return found


def test_the_exact_half_needs_numpy_and_in_one_file_constriction():
    outside = {(file, name) for file, name in third_party("entropy") if name in ("constriction", "onnxruntime", "PIL")}
    assert outside == {("ans.py", "constriction")}


def test_torch_and_onnx_stay_in_nets_and_training():
    for floor in FLOORS:
        if floor not in ("nets", "training", "faces"):
            assert not {file for file, name in third_party(floor) if name in ("torch", "onnx")}, floor
