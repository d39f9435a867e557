"""Randomness of one item."""

from __future__ import annotations

import numpy as np

import stoker
from stoker.rng import begin_item, end_item


def draws(seed, pass_number, index):
    begin_item(seed, pass_number, index)
    values = stoker.rng().random(3).tolist(), stoker.rng().random(2).tolist()
    end_item()
    return values


def test_an_item_draws_the_same_whoever_makes_it_and_others_draw_otherwise():
    assert draws(1, 2, 3) == draws(1, 2, 3)
    others = [draws(*key) for key in [(1, 2, 4), (1, 3, 3), (2, 2, 3)]]
    assert all(other != draws(1, 2, 3) for other in others)


def test_draws_within_an_item_go_on():
    first, second = draws(5, 0, 0)
    assert first[:2] != second


def test_outside_an_item_the_generator_is_a_fresh_one():
    assert isinstance(stoker.rng(), np.random.Generator)
    assert stoker.rng().random() != stoker.rng().random()
