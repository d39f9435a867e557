"""Whole arrays cut into batches."""

from __future__ import annotations

import numpy as np
import pytest

import stoker
from stoker.source.arrays import ArraySource


def test_rows_are_cut_in_order_and_the_last_batch_is_smaller():
    rows = np.arange(10)
    source = ArraySource((rows, -rows), 4)
    assert source.length() == 3
    batches = [source.get(0, index) for index in range(3)]
    assert [batch[0].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all((batch[0] == -batch[1]).all() for batch in batches)


def test_shuffling_gives_each_row_once_in_another_order_each_pass():
    rows = np.arange(100)
    source = ArraySource(({"a": rows}, [np.asarray(rows)], None), 32, shuffle=True, seed=4)
    passes = [np.concatenate([source.get(number, index)[0]["a"] for index in range(4)]) for number in range(2)]
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(100))
    assert not (passes[0] == passes[1]).all() and not (passes[0] == rows).all()
    again = ArraySource(({"a": rows},), 32, shuffle=True, seed=4)
    assert (again.get(0, 0)[0]["a"] == passes[0][:32]).all()


def test_different_lengths_are_named():
    with pytest.raises(stoker.SourceError, match=r"x\['a'\]: 3.*y: 4"):
        ArraySource(({"a": np.zeros(3)}, np.zeros(4)), 2)


def test_no_rows_are_refused():
    with pytest.raises(stoker.SourceError, match="no rows"):
        ArraySource((np.zeros((0, 3)),), 2)
