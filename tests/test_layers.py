"""Which part of the house may import which, and where the rights of the edge lie."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "stoker"
MODULES = sorted(SOURCE.rglob("*.py"))

BASE = {"errors", "outcome", "arguments", "rng"}
FRAMEWORKS = {"keras", "jax", "torch", "tensorflow"}

MAY = {
    "errors": set(),
    "arguments": {"errors"},
    "outcome": {"errors"},
    "rng": set(),
    "machine": set(),
    "batch": {"errors", "batch"},
    "source": {"errors", "arguments", "outcome", "rng", "batch", "source"},
    "feed": BASE | {"machine", "source", "batch", "feed"},
    "backend": {"errors", "batch", "backend"},
    "history": set(),
    "loop": {
        "errors", "arguments", "batch", "feed.feed", "feed.meter", "feed.options", "source.open", "source.arrays",
        "source.protocol", "backend.protocol", "history", "loop"},
    "reporting": {"errors", "history", "machine", "feed.meter", "feed.advice", "reporting"},
    "profiling": BASE | {"machine", "source", "batch", "feed", "profiling"},
    "testing": BASE | {"source", "testing"},
}
"""What each part may import of the house. Parts that are not named (api, keras, compat, cli, callbacks) may import all."""

WORKER_SIDE = {"worker", "child", "server", "parcel", "arena", "messages", "wire", "empty", "errands", "arrive", "standin", "plan", "held",
    "seeding"}
WORKER_MAY = BASE | {"batch.memory", "source.protocol"} | {f"feed.{name}" for name in WORKER_SIDE}


def part_of(path: Path) -> str:
    inside = path.relative_to(SOURCE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imports(path: Path) -> set[str]:
    """Full names of what a module imports anywhere, lazily too; imports for type checkers aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checking = {
        id(node) for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in checking:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "stoker"}
    return found


def of_the_house(names: set[str]) -> set[str]:
    return {name.removeprefix("stoker.") for name in names if name.startswith("stoker.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_what_lies_beneath_it(path):
    allowed = MAY.get(part_of(path))
    if allowed is None:
        return
    for name in of_the_house(imports(path)):
        assert any(name == right or name.startswith(f"{right}.") for right in allowed), f"{path.name} imports stoker.{name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_frameworks_are_imported_only_by_backends_and_what_stands_above(path):
    found = {name.split(".")[0] for name in imports(path)} & FRAMEWORKS
    inside = path.relative_to(SOURCE)
    if inside.parts[0] == "backend":
        own = path.stem.removeprefix("keras_").split("_")[0]
        assert found <= {"keras", own}
    elif inside.parts[0] not in {"compat", "cli"} and inside.name not in {"keras.py", "callbacks.py"}:
        assert not found


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent.name == "feed" and p.stem in WORKER_SIDE], ids=lambda p: p.stem)
def test_a_worker_process_loads_nothing_that_it_does_not_need(path):
    for name in of_the_house(imports(path)):
        assert any(name == right or name.startswith(f"{right}.") for right in WORKER_MAY), f"{path.name} imports stoker.{name}"


def calls(path: Path) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_rights_of_the_edge_are_used_in_their_places_only(path):
    inside = path.relative_to(SOURCE)
    part = inside.parts[0]
    used = calls(path)
    if part not in {"cli", "reporting", "compat"}:
        assert not used & {"print", "sys.exit", "exit"}
    if part not in {"feed", "reporting", "compat", "cli"}:
        assert not used & {"threading.Thread", "os.fork", "subprocess.Popen", "multiprocessing.Process"}
    if part == "feed" and path.stem not in {"arena"}:
        assert not used & {"os.memfd_create", "mmap.mmap", "shared_memory.SharedMemory"}
