"""``stoker run --check``: what a script uses, without running it.

Rules: reads the text and imports nothing of the script; names are looked up in Keras as it is installed; each use is listed once, at its
first line.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from stoker.compat import check_table as table
from stoker.compat.check_names import MISSING, resolve
from stoker.compat.meant import takes_tensorflows

Status = Literal["works", "translated", "cannot work"]
ROOTS = ("keras", "tensorflow", "theano", "cntk", "scipy.misc", "keras_contrib", "keras_preprocessing", "keras_applications")
OF_TENSORFLOW = ("tensorflow.compat.v1.keras", "tensorflow.keras")
"""Names under which a script finds Keras itself."""


@dataclass(frozen=True, slots=True)
class Use:
    """One thing that a script uses.

    Args:
        line: where first.
        what: as the script writes it.
        status: what becomes of it.
        note: what it is now, or what to write instead.
    """

    line: int
    what: str
    status: Status
    note: str = ""


def report(path: str) -> tuple[str, bool]:
    """The table for a script as text, and whether nothing in it is known not to work."""
    try:
        text = importlib.util.decode_source(Path(path).read_bytes())
    except (SyntaxError, UnicodeDecodeError):
        return (f"{path}: its bytes are not in the encoding that its first lines name, UTF-8 where they name none. "
                "Name the right one in the first line: # -*- coding: latin-1 -*-"), False
    try:
        uses = check(text, resolve)
    except SyntaxError as error:
        return f"{path}:{error.lineno}: this is no Python 3: {error.msg}. Run 2to3 on it first.", False
    width = max((len(use.what) for use in uses), default=0)
    lines = [f"{path}:{use.line:<5} {use.status:<12} {use.what:<{width}}  {use.note}".rstrip() for use in uses]
    bad = sum(use.status == "cannot work" for use in uses)
    lines.append(f"{len(uses)} uses of Keras, {sum(use.status == 'translated' for use in uses)} translated, {bad} cannot work")
    return "\n".join(lines), not bad


def check(text: str, look_up: Callable[[list[str]], dict[str, str]] | None = None) -> list[Use]:
    """What a script uses of Keras and of what went with it, in the order of lines.

    Args:
        text: the script.
        look_up: says of full names which cannot be used; None goes by the tables alone.

    Raises:
        SyntaxError: the text is no Python 3.
    """
    tree = ast.parse(text)
    known = dict(_bindings(tree))
    found: dict[str, Use] = {}
    for use in sorted(_uses(tree, known, takes_tensorflows(text)), key=lambda use: use.line):
        found.setdefault(use.what, use)
    uses = list(found.values())
    return _looked_up(uses, _of_stars(tree, known), look_up) if look_up is not None else uses


def _looked_up(uses: list[Use], of_stars: list[Use], look_up: Callable[[list[str]], dict[str, str]]) -> list[Use]:
    """The uses, those among them that cannot work marked so; of names that come by a star only these."""
    names = {use.what: _of_keras(use.what.removeprefix("import ")) for use in [*uses, *of_stars] if use.status != "cannot work"}
    missing = look_up([name for what, name in names.items()
                       if not (what.startswith((".", "tensorflow.")) and what == name) and "(" not in name])
    made = []
    for use in [*uses, *of_stars]:
        remedy = missing.get(names.get(use.what, ""))
        if remedy is not None and not (use in of_stars and remedy == MISSING):
            made.append(replace(use, status="cannot work", note=remedy))
        elif use not in of_stars:
            made.append(use)
    return sorted(made, key=lambda use: use.line)


def _of_keras(name: str) -> str:
    """A name within TensorFlow's Keras as the name in Keras that it is; any other as it is."""
    place = next((place for place in OF_TENSORFLOW if name == place or name.startswith(f"{place}.")), None)
    return name if place is None else f"keras{name.removeprefix(place)}"


def _of_stars(tree: ast.AST, known: dict[str, str]) -> list[Use]:
    """Every name that the script calls and binds nowhere, as a name of each module of ours that it imports with a star."""
    modules = [full.removesuffix(".*") for full in known.values() if full.endswith(".*") and _is_ours(full.removesuffix(".*"))]
    called: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not hasattr(builtins, node.func.id):
            called.setdefault(node.func.id, node.lineno)
    return [Use(line, f"{module}.{name}", "works")
            for name, line in called.items() if name not in known for module in dict.fromkeys(modules)]


def _bindings(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that the script binds to modules, and the modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], alias.name if alias.asname else alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or (f"{node.module}.*" if alias.name == "*" else alias.name), f"{node.module}.{alias.name}"


def _uses(tree: ast.AST, known: dict[str, str], is_tensorflows: bool) -> Iterator[Use]:
    sessions, silent = _bound(tree, _is_session), _bound(tree, _does_nothing)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (_module(node.lineno, alias.name) for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
            yield _module(node.lineno, node.module)
            yield from (_name(node.lineno, node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield from _attribute(node, known)
        elif isinstance(node, ast.Call):
            yield from _words(node, is_tensorflows)
            yield from _results(node, sessions, silent)


def _bound(tree: ast.AST, is_such: Callable[[ast.AST], bool]) -> set[str]:
    """Names that the script binds to values of a kind."""
    made = set()
    for node in ast.walk(tree):
        pairs = ([(node.value, target) for target in node.targets] if isinstance(node, ast.Assign)
                 else [(item.context_expr, item.optional_vars) for item in node.items] if isinstance(node, ast.With) else [])
        made |= {_dotted(target) for value, target in pairs if target is not None and is_such(value)}
    return made - {""}


def _is_session(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _dotted(node.func).rpartition(".")[2] in ("Session", "InteractiveSession", "get_session")


def _does_nothing(node: ast.AST) -> bool:
    """Whether it is a call of TensorFlow 1 that does nothing here, as those are that set variables to what they begin with."""
    name = _dotted(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
    return name in table.SILENT or name.endswith("initializer")


def _is_ours(module: str) -> bool:
    return any(module == root or module.startswith(f"{root}.") for root in ROOTS)


def _module(line: int, module: str) -> Use:
    short = module.removeprefix("tensorflow.python.").removeprefix("tensorflow.")
    for name, remedy in table.CANNOT_MODULES.items():
        if module == name or module.startswith(f"{name}."):
            return Use(line, f"import {module}", "cannot work", remedy)
    if short in table.MOVED_MODULES or short != module:
        return Use(line, f"import {module}", "translated", "names of Keras 3")
    return Use(line, f"import {module}", "works")


def _name(line: int, module: str, name: str) -> Use:
    what = f"{module}.{name}"
    short = module.removeprefix("tensorflow.python.").removeprefix("tensorflow.")
    if short == "keras.backend" and name in table.CANNOT_OF_BACKEND:
        return Use(line, what, "cannot work", table.CANNOT_OF_BACKEND[name])
    if module == "tensorflow" and name in table.CANNOT_OF_TENSORFLOW:
        return Use(line, what, "cannot work", table.CANNOT_OF_TENSORFLOW[name])
    gone = next((remedy for each, remedy in table.CANNOT_MODULES.items() if module == each or module.startswith(f"{each}.")), None)
    if gone is not None:
        return Use(line, what, "cannot work", gone)
    if module.startswith("tensorflow.train"):
        return Use(line, what, "cannot work", table.CANNOT_OF_TENSORFLOW["train"])
    if module in ("tensorflow", "tensorflow.nn", "tensorflow.math", "keras.backend.tf") and name in table.SILENT:
        return Use(line, what, "translated", "does nothing")
    if module in ("tensorflow", "tensorflow.nn", "tensorflow.math", "keras.backend.tf") and name not in table.OF_KERAS:
        return Use(line, what, "works", "TensorFlow's own; in a loss or a layer it needs KERAS_BACKEND=tensorflow")
    if name in table.CANNOT_NAMES:
        return Use(line, what, "cannot work", table.CANNOT_NAMES[name])
    if name in table.TRANSLATED_NAMES:
        return Use(line, what, "translated", table.TRANSLATED_NAMES[name])
    return Use(line, what, "works")


def _attribute(node: ast.Attribute, known: dict[str, str]) -> Iterator[Use]:
    """A name of a module of ours, or a method that is no longer what it was."""
    owner = _dotted(node.value)
    root, _, rest = owner.partition(".")
    module = known.get(root, "")
    full = f"{module}.{rest}" if rest else module
    if module and _is_ours(full):
        yield _name(node.lineno, full, node.attr)
    elif node.attr in ("fit_generator", "evaluate_generator", "predict_generator", "predict_classes", "predict_proba"):
        yield Use(node.lineno, f".{node.attr}", "translated", table.TRANSLATED_NAMES[node.attr])
    elif node.attr == "to_yaml":
        yield Use(node.lineno, ".to_yaml", "cannot work", table.CANNOT_NAMES["to_yaml"])


def _results(node: ast.Call, sessions: set[str], silent: set[str]) -> Iterator[Use]:
    """What a session is asked to compute."""
    if not isinstance(node.func, ast.Attribute) or node.func.attr != "run":
        return
    asked = node.args[:1]
    parts = [part for each in asked for part in (each.elts if isinstance(each, ast.List | ast.Tuple) else [each])]
    if parts and all(_does_nothing(part) or _dotted(part) in silent for part in parts):
        return
    if _dotted(node.func.value) in sessions or _is_session(node.func.value):
        yield Use(node.lineno, ".run of a session", "cannot work", "Use keras.ops, or a keras.Model and its predict().")


def _words(node: ast.Call, is_tensorflows: bool) -> Iterator[Use]:
    """Old keywords of a call, and Keras 1's sizes of kernels."""
    called = _dotted(node.func)
    short = called.rpartition(".")[2]
    for word in node.keywords:
        if word.arg in table.TRANSLATED_WORDS and (note := table.TRANSLATED_WORDS[word.arg]):
            yield Use(word.value.lineno, f"{short}({word.arg}=)", "translated", note)
        if short == "merge" and word.arg == "mode" and isinstance(word.value, ast.Lambda):
            yield Use(node.lineno, "merge(mode=lambda)", "cannot work", "Write a Lambda layer that takes the list of tensors.")
    if short in table.OPTIMIZERS and len(node.args) > 1:
        yield Use(node.lineno, f"{short}(by position)", "translated", "in the order of Keras 2")
    numbers = [argument for argument in node.args[1:3] if isinstance(argument, ast.Constant) and isinstance(argument.value, int)]
    if short in ("Convolution2D", *([] if is_tensorflows else ["Conv2D"])) and len(numbers) == 2:
        yield Use(node.lineno, f"{short}(n, rows, columns)", "translated", "kernel_size=(rows, columns)")


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""
