"""The moving line at every width."""

from __future__ import annotations

import pytest

from stoker.reporting.strip import Row, strip
from stoker.reporting.text import folded, time_left

LOGS = {"loss": 0.51234, "accuracy": 0.9123, "top_5_accuracy": 0.99}


def line(width, steps=1000, done=250, logs=LOGS, wait_share=0.41):
    return "".join(text for text, _ in strip(Row("Epoch 3/10", steps, done, 5.0, logs, wait_share), width, "#-"))


@pytest.mark.parametrize("steps", [None, 1000])
@pytest.mark.parametrize("wait_share", [None, 0.41])
def test_the_line_is_never_wider_than_the_terminal(steps, wait_share):
    for width in range(1, 200):
        assert len(line(width, steps, wait_share=wait_share)) <= width


@pytest.mark.parametrize(("width", "text"), [
    (120, "Epoch 3/10 #####--------------- 250/1000  50/s  eta 0:15  wait 41%  loss 0.5123  accuracy 0.9123  top_5_accuracy 0.9900"),
    (79, "Epoch 3/10 #####--------------- 250/1000  50/s  eta 0:15  wait 41%  loss 0.5123"),
    (39, "Epoch 3/10 #----- 250/1000  loss 0.5123"),
    (24, "Epoch 3/10 250/1000")])
def test_what_matters_least_goes_first(width, text):
    assert line(width) == text


def test_steps_that_are_not_known_have_no_bar_and_no_end():
    assert line(79, steps=None) == "Epoch 3/10 250  50/s  wait 41%  loss 0.5123  accuracy 0.9123"


def test_a_line_is_broken_between_its_parts():
    assert folded("Epoch 1/2  loss 0.5  a reason of many words here", 20) == "Epoch 1/2  loss 0.5\n  a reason of many\n  words here"
    assert folded("", 20) == ""


def test_time_left_is_whole_seconds():
    assert [time_left(s) for s in (-1, 0.2, 65, 3723)] == ["0:00", "0:01", "1:05", "1:02:03"]
