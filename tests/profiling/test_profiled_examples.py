"""The sources of the examples, profiled: each shows what it is, and none is called bad."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest

import stoker
from tries import in_one_of_five

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
TRAINING = ("keras", "model", "fit_generator", "fit(", "cleanup", "with ", "for ", "print")


def sources_of(name):
    """The module of an example as far as it makes data: its training is left out."""
    tree = ast.parse((EXAMPLES / f"{name}.py").read_text(encoding="utf-8"))
    keep = (ast.FunctionDef, ast.ClassDef)
    tree.body = [node for node in tree.body if isinstance(node, keep) or not any(word in ast.unparse(node) for word in TRAINING)
                 or ast.unparse(node).startswith("path.write_text")]
    module = ModuleType(f"example_{name}")
    module.stoker = stoker
    exec(compile(tree, f"{name}.py", "exec"), module.__dict__)
    return module.__dict__


ROWS = [
    # example, source, kind, form, dtypes, randomness: (repeatable, rng, globals), findings
    ("sequence_augmentation", "Bars(images, labels, 32)", "indexed", ["float64", "int64"], (True, True, False), set()),
    ("own_training_loop", "Lines()", "indexed", ["float64", "float64"], (True, True, False), set()),
    ("worker_processes", "Parsed()", "indexed", ["float64", "float64"], (True, False, False), set()),
    ("parallel_map", "stoker.parallel_map(names(), load)", "parallel_map", ["float64", "float64"], (True, False, False), {"consumed"}),
    ("plain_generator", "batches(1)", "stream", ["float32", "float64"], (None, False, False), {"consumed"}),
    ("plain_generator", "lambda: batches(1)", "restartable", ["float32", "float64"], (True, False, False), set()),
    ("two_inputs_from_text", "generate_arrays_from_file(path)", "stream", ["float64"] * 3, (None, False, False), {"consumed"}),
    ("class_weights", "batches()", "stream", ["float64", "int32"], (None, False, False), {"consumed"}),
    ("sample_weights", "batches(0.0)", "stream", ["float64"] * 3, (None, False, False), {"consumed"}),
    ("resume_initial_epoch", "batches(1)", "stream", ["float64", "float64"], (None, False, False), {"consumed"}),
]


@pytest.mark.slow
@pytest.mark.parametrize("name, expression, kind, dtypes, chance, findings", ROWS, ids=[f"{row[0]}-{row[2]}" for row in ROWS])
@in_one_of_five
def test_an_example_shows_what_it_is_and_nothing_wrong(name, expression, kind, dtypes, chance, findings):
    scope = sources_of(name)
    profile = stoker.profile(eval(expression, scope), seconds=4)
    if "folder" in scope:
        scope["folder"].cleanup()
    measured = profile.measured
    assert measured.kind == kind
    assert [dtype for leaf in measured.form.leaves for dtype in leaf.dtypes] == dtypes
    assert (measured.chance.is_repeatable, measured.chance.uses_rng, measured.chance.uses_globals) == chance
    assert {finding.name for finding in profile.findings} == findings, str(profile)
    assert measured.runs and all(run.rate > 0 for run in measured.runs)
    if kind != "stream":
        assert measured.travel.travels and {run.lane for run in measured.runs} == {"threads", "processes"}


@pytest.mark.slow
@pytest.mark.alone
@in_one_of_five
def test_the_example_that_needs_processes_is_told_so():
    profile = stoker.profile(eval("Parsed()", sources_of("worker_processes")), seconds=8)
    if profile.measured.crowded is not None and profile.measured.crowded > 0.3:
        pytest.skip("the machine is so busy that workers beside each other show nothing; test_findings.py holds what follows from runs")
    assert profile.recommendation.processes and profile.recommendation.workers >= 2, str(profile)
