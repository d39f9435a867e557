"""Batches side by side."""

from __future__ import annotations

import numpy as np

from stoker.batch.form import Batch
from stoker.batch.stack import Stack


def batch(number, rows=2):
    return Batch({"a": np.full((rows, 3), number)}, [np.full(rows, number), None], None, rows)


def test_batches_keep_their_structure():
    stack = Stack(batch(0), 3)
    assert stack.single() is not None
    stack.add(batch(1))
    assert not stack.is_full and len(stack) == 2 and stack.single() is None
    stack.add(batch(2))
    made = stack.together()
    assert stack.is_full and made.size == 6
    assert made.inputs["a"].shape == (3, 2, 3) and made.targets[0].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert made.targets[1] is None and made.weights is None


def test_a_stack_that_is_not_full_gives_what_it_has():
    stack = Stack(batch(5), 4)
    stack.add(batch(6))
    assert stack.together().inputs["a"].shape == (2, 2, 3)
    assert [one.inputs["a"][0, 0] for one in stack] == [5, 6] and [one.size for one in stack] == [2, 2]


def test_what_waits_does_not_change_with_the_array_it_came_in():
    x = np.zeros((2, 3))
    stack = Stack(Batch(x, None, None, 2), 2)
    x[:] = 1
    stack.add(Batch(x, None, None, 2))
    x[:] = 2
    assert [float(one.inputs[0, 0]) for one in stack] == [0.0, 1.0]


def test_only_one_form_fits():
    mark = object()
    stack = Stack(batch(0)._replace(form=mark), 3)
    assert stack.fits(batch(1)) and stack.fits(batch(1)._replace(form=mark))
    assert not stack.fits(batch(1, rows=3))


def test_a_run_is_taken_up_as_far_as_form_and_room_go():
    stack = Stack(batch(0), 6)
    assert stack.add_run([]) == 0
    assert stack.add_run([batch(1), batch(2), batch(3, rows=3), batch(4)]) == 2
    assert stack.add_run([batch(3, rows=3)]) == 0
    assert stack.add_run([batch(3)]) == 1
    assert stack.add_run([batch(4), batch(5), batch(6)]) == 2 and stack.is_full and stack.add_run([batch(6)]) == 0
    assert [one.inputs["a"].tolist() for one in stack] == [[[number] * 3] * 2 for number in range(6)]
    assert stack.together().targets[0].tolist() == [[number] * 2 for number in range(6)]


def test_rows_of_no_length_can_be_stacked():
    stack = Stack(Batch(np.zeros((0, 2)), np.zeros((0,)), None, 0), 3)
    assert stack.add_run([Batch(np.zeros((0, 2)), np.zeros((0,)), None, 0)] * 2) == 2
    assert stack.together().inputs.shape == (3, 0, 2)
