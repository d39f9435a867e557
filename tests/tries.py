"""Tests on real clocks: a machine that is busy with other things may spoil one try, and not five in a row."""

from __future__ import annotations

import functools

TRIES = 5


def in_one_of_five(test):
    """Passes the test if one of five tries passes; else the last one's error is shown.

    For what a machine shows only while it has time for it. What decides is held by tests without a clock beside these.
    """
    @functools.wraps(test)
    def tried(*args, **kwargs):
        for _ in range(TRIES - 1):
            try:
                test(*args, **kwargs)
                return
            except AssertionError:
                continue
        test(*args, **kwargs)

    return tried
