"""Every example runs, is quick, and prints something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
LIMIT_S = 120


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_as_it_is(path, tmp_path):
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True,
        timeout=LIMIT_S, cwd=tmp_path, check=False, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip()
    assert "StokerWarning" not in done.stderr
    assert not list(tmp_path.iterdir()), "an example cleans up"
