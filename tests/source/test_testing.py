"""The sources and the digest that tests of users are written with."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from stoker.testing import digest

BATCHES = """[({"b": np.arange(3), "a": None}, [np.array(["x", None, 2.5], object), "text"], 7)]"""
X = np.arange(3)


def test_a_digest_is_the_same_in_every_run():
    code = f"import numpy as np; from stoker.testing import digest; print(digest({BATCHES}))"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert runs[0] == runs[1] == digest(eval(BATCHES)) + "\n"


@pytest.mark.parametrize(("one", "other"), [
    ({"a": X}, {"b": X}), ((X, X), [X, X]), ([X, [X]], [[X], X]), ((X, None), (X,)), ({"a": X, "b": -X}, {"a": -X, "b": X}), (X, X + 1),
])
def test_a_digest_tells_structures_and_keys_apart(one, other):
    assert digest([one]) != digest([other]) and digest([one]) == digest([one])


def test_a_digest_does_not_depend_on_when_the_keys_of_a_dict_were_added():
    assert digest([{"a": X, "b": -X}]) == digest([{"b": -X, "a": X}])
