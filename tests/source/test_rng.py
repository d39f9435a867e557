"""Randomness of one item."""

from __future__ import annotations

import numpy as np

import stoker
from stoker.feed.messages import Ask
from stoker.feed.worker import make
from stoker.source.open import open_source


def draws(seed, pass_number, index):
    class Draws(stoker.Sequence):
        def __getitem__(self, index):
            return stoker.rng().random(3).tolist(), stoker.rng().random(2).tolist()

    return make(open_source(Draws()), Ask(0, 0, pass_number, index, seed))[0].value


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
