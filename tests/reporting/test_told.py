"""What is said of the feed in an epoch's line and at the end of a call."""

from __future__ import annotations

import dataclasses

import pytest

from stoker.feed.meter import FeedFigures
from stoker.reporting.text import FEED_LOGS, Told, closing_line, epoch_line, settled

WAITED = FeedFigures("threads", 1, 100, 10.0, 4.0, 9.0, 1.0, 100)
KILLED = "killed by SIGKILL: often the out-of-memory killer"


def line(figures, logs=None):
    return epoch_line("Epoch 1/2", 100, 10.0, logs or {"loss": 0.5}, figures, None)


def test_workers_that_died_are_told_with_what_became_of_their_batches():
    died = dataclasses.replace(WAITED, deaths=1, last_death=f"{KILLED}\nlast words")
    assert line(died).endswith(f"(input-bound)  1 worker died ({KILLED}) and its batches were made again")
    more = dataclasses.replace(WAITED, deaths=3, last_death=KILLED)
    assert line(more).endswith(f"3 workers died (the last was {KILLED}) and their batches were made again")
    assert "died" not in line(WAITED)


def test_the_end_of_a_call_tells_of_all_that_died_in_it():
    told = Told(cores=8)
    told.after_epoch(dataclasses.replace(WAITED, deaths=1, last_death="killed by SIGSEGV"), 2)
    told.after_epoch(dataclasses.replace(WAITED, deaths=1, last_death=KILLED), 1)
    told.after_epoch(WAITED, 0)
    end = told.at_end()
    assert end.startswith("stoker: the model waited for data 40%")
    assert end.endswith(f"; 2 workers died (the last was {KILLED}) and their batches were made again")


def test_a_call_of_an_instant_ends_without_advice():
    short = FeedFigures("threads", 1, 100, 0.1, 0.04, 0.09, 0.01, 100)
    assert closing_line(short) == "stoker: the model waited for data 40% of the time (input-bound)"
    assert closing_line(dataclasses.replace(short, is_auto=True)).endswith("(input-bound); workers='auto' settled on workers=1")
    compiled = dataclasses.replace(short, elapsed_s=5.0, wait_s=2.0, longest_step_s=4.9)
    assert closing_line(compiled) == "stoker: the model waited for data 40% of the time (input-bound)"
    assert Told(cores=8).after_epoch(compiled, 3) == ""
    assert closing_line(WAITED).startswith("stoker: the model waited")


def test_auto_says_what_kept_it_from_more():
    auto = dataclasses.replace(WAITED, is_auto=True, workers=2, lane="processes", auto_limit="there are 2 cores")
    assert settled(auto) == "workers=2, processes=True or use_multiprocessing=True (there are 2 cores)"
    one = dataclasses.replace(WAITED, is_auto=True, single_owner=True, auto_limit="a generator has one owner")
    assert closing_line(one).endswith("Sequence would; workers='auto' settled on workers=1 (a generator has one owner)")


@pytest.mark.parametrize("name", FEED_LOGS)
def test_what_the_monitor_logs_is_not_told_twice(name):
    assert name not in line(WAITED, {"loss": 0.5, name: 0.4})
