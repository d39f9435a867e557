"""The measures of the house style: files, functions, nesting, and a docstring that says what a module is for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "stoker"
MODULES = sorted(SOURCE.rglob("*.py"))
LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 40
DEEPEST = 3
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)
APART = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def depth(node: ast.AST, level: int = 0) -> int:
    """How deep blocks nest; an ``elif`` is no deeper than its ``if``."""
    def is_elif(child):
        return isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]

    inner = [depth(child, level + (isinstance(child, BLOCKS) and not is_elif(child)))
             for child in ast.iter_child_nodes(node) if not isinstance(child, APART)]
    return max([level, *inner])


def body_lines(function: ast.FunctionDef) -> int:
    documented = ast.get_docstring(function, clean=False)
    return function.end_lineno - function.lineno + 1 - (documented.count("\n") + 1 if documented else 0)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_keeps_the_measures(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert text.count("\n") <= LINES_OF_A_FILE
    assert ast.get_docstring(tree), "a module says what it is for"
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
        assert body_lines(function) <= LINES_OF_A_FUNCTION, f"{function.name} is too long"
        assert depth(function) <= DEEPEST, f"{function.name} nests too deep"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_holds_no_catch_all_and_no_changing_global(path):
    assert path.stem not in {"utils", "util", "helpers", "misc", "common"}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        assert not isinstance(node, ast.Global)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List | ast.Set):
            names = {ast.unparse(target) for target in node.targets}
            assert names <= {"__all__"} or all(name.isupper() for name in names), f"{names} can change"
