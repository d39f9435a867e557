"""Every row of what old scripts need, on every backend: the rows_*.py files, each backend in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from side_by_side import BACKENDS, runs_of

ROWS = sorted(Path(__file__).parent.glob("rows_*.py"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    with runs_of(BACKENDS, ROWS, tmp_path_factory.mktemp("rows")) as found:
        yield found


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_row_means_what_it_meant(backend, runs):
    pytest.importorskip(backend)
    status, text = runs[backend]
    assert status == 0, text[-8000:]
    assert " passed" in text
