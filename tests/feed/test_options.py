"""Arguments of a feed that make no sense are refused before anything runs."""

from __future__ import annotations

import random

import numpy as np
import pytest

import stoker
from stoker.arguments import whole_number
from stoker.feed.options import check_options
from stoker.testing import Counting


@pytest.mark.parametrize(("name", "value", "error"), [
    ("workers", -1, ValueError),
    ("workers", True, TypeError),
    ("workers", "2", TypeError),
    ("workers", None, TypeError),
    ("workers", float("nan"), ValueError),
    ("workers", 1.5, TypeError),
    ("max_queue_size", 0, ValueError),
    ("max_queue_size", -3, ValueError),
    ("max_queue_size", float("inf"), ValueError),
    ("processes", "yes", TypeError),
    ("shuffle", "batch", TypeError),
    ("seed", -1, ValueError),
    ("seed", "seven", TypeError),
    ("timeout_s", 0, ValueError),
    ("timeout_s", float("nan"), ValueError),
    ("timeout_s", "1", TypeError),
    ("timeout_s", True, TypeError),
])
def test_a_senseless_argument_is_refused_by_name(name, value, error):
    with pytest.raises(error, match=name) as caught:
        stoker.Feed(Counting(3), **{name: value})
    assert isinstance(caught.value, stoker.StokerError) and caught.value.remedy


@pytest.mark.parametrize("value", [3, np.int64(3), 3.0, np.float32(3)])
def test_whole_numbers_of_any_type_are_taken(value):
    assert whole_number("steps", value, 1) == 3


def test_fractions_are_rounded_up_where_old_scripts_pass_them():
    assert whole_number("steps_per_epoch", 1000 / 32, 1, round_up=True) == 32


def test_without_a_seed_one_is_drawn_from_pythons_random():
    random.seed(4)
    first = check_options().seed
    random.seed(4)
    assert check_options().seed == first
    assert check_options().seed != first


@pytest.mark.parametrize("steps", [0, -3, "5", True, float("nan")])
def test_senseless_steps_of_an_epoch_are_refused(steps):
    with stoker.Feed(Counting(3), workers=0) as feed:
        for call in (feed.epoch, lambda steps: feed.plan(epochs=1, steps=steps)):
            with pytest.raises(stoker.StokerError, match="steps"):
                call(steps)
        with pytest.raises(stoker.OptionError, match="epochs"):
            feed.plan(epochs=-1)
        assert len(list(feed.epoch())) == 3


def test_the_steps_of_an_epoch_may_be_samples_by_batch_size():
    with stoker.Feed(iter(range(9)), workers=0) as feed:
        feed.plan(epochs=2, steps=100 / 32)
        assert list(feed.epoch(100 / 32)) == [0, 1, 2, 3]
