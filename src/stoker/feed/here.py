"""The short way of a batch that the consumer makes itself: asked for, made and handed out in one.

Where nothing is made ahead, most batches need no account of what is where; looking after that takes several times as long as a small step
of a model leaves. What is more than going on in a pass (its ends, errors, the end of a stream) goes the long way, by the pump.

Rules: decides nothing; leaves the window and the meter as the long way does, whatever is raised.
"""

from __future__ import annotations

from stoker.feed.inline import InlineLane
from stoker.feed.messages import Ask
from stoker.feed.meter import Meter
from stoker.feed.pump import Pump
from stoker.feed.supply import Supply
from stoker.outcome import Value


class Here:
    """Makes batches of one source on the caller's thread.

    Args:
        supply: says what is asked for next.
        pump: takes up what goes the long way; its lane makes batches here.
        meter: hears of it.
    """

    def __init__(self, supply: Supply, pump: Pump, meter: Meter) -> None:
        assert isinstance(pump.lane, InlineLane)
        self._supply = supply
        self._pump = pump
        self._lane = pump.lane
        self._meter = meter

    def take(self) -> tuple[Ask, Value] | None:
        """Make the next batch and hand it out; None where there is more to look after."""
        window = self._supply.window
        if window.next_new != window.next_out or window.passing is not None:
            return None
        window.passing = ask = self._supply.next_ask()
        if ask is None:
            return None
        try:
            made = outcome, make_s, began_s, cpu_s = self._lane.make(ask)
        except BaseException:  # Ctrl-C outside of the source: the batch is gone, and the next is asked for next
            window.pass_by()
            raise
        if type(outcome) is not Value:
            window.passing = None
            window.issue([ask])
            window.assign_one()
            self._pump.take_up(self._lane.answer(ask, made))
            self._meter.waited(began_s, window)
            return None
        window.pass_by()
        self._meter.made_here(ask, make_s, began_s, cpu_s)
        return ask, outcome
