"""``stoker run --check``: what a script uses, without running it.

Rules: reads the text alone and imports nothing of the script; each use is listed once, at its first line.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stoker.compat import check_table as table

Status = Literal["works", "translated", "cannot work"]
ROOTS = ("keras", "tensorflow", "theano", "cntk", "scipy.misc", "keras_contrib", "keras_preprocessing", "keras_applications")


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
        uses = check(Path(path).read_text(encoding="utf-8"))
    except SyntaxError as error:
        return f"{path}:{error.lineno}: this is no Python 3: {error.msg}. Run 2to3 on it first.", False
    width = max((len(use.what) for use in uses), default=0)
    lines = [f"{path}:{use.line:<5} {use.status:<12} {use.what:<{width}}  {use.note}".rstrip() for use in uses]
    bad = sum(use.status == "cannot work" for use in uses)
    lines.append(f"{len(uses)} uses of Keras, {sum(use.status == 'translated' for use in uses)} translated, {bad} cannot work")
    return "\n".join(lines), not bad


def check(text: str) -> list[Use]:
    """What a script uses of Keras and of what went with it, in the order of lines.

    Raises:
        SyntaxError: the text is no Python 3.
    """
    tree = ast.parse(text)
    known = dict(_bindings(tree))
    found: dict[str, Use] = {}
    for use in sorted(_uses(tree, known), key=lambda use: use.line):
        found.setdefault(use.what, use)
    return list(found.values())


def _bindings(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that the script binds to modules, and the modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], alias.name if alias.asname else alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _uses(tree: ast.AST, known: dict[str, str]) -> Iterator[Use]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (_module(node.lineno, alias.name) for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
            yield _module(node.lineno, node.module)
            yield from (_name(node.lineno, node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield from _attribute(node, known)
        elif isinstance(node, ast.Call):
            yield from _words(node, known)


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


def _words(node: ast.Call, known: dict[str, str]) -> Iterator[Use]:
    """Old keywords of a call, and Keras 1's sizes of kernels."""
    called = _dotted(node.func)
    short = called.rpartition(".")[2]
    for word in node.keywords:
        if word.arg in table.TRANSLATED_WORDS and (note := table.TRANSLATED_WORDS[word.arg]):
            yield Use(word.value.lineno, f"{short}({word.arg}=)", "translated", note)
        if short == "merge" and word.arg == "mode" and isinstance(word.value, ast.Lambda):
            yield Use(node.lineno, "merge(mode=lambda)", "cannot work", "Write a Lambda layer that takes the list of tensors.")
    numbers = [argument for argument in node.args[1:3] if isinstance(argument, ast.Constant) and isinstance(argument.value, int)]
    if short in ("Conv2D", "Convolution2D") and len(numbers) == 2:
        yield Use(node.lineno, f"{short}(n, rows, columns)", "translated", "kernel_size=(rows, columns)")


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""
