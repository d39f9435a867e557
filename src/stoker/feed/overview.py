"""What every worker is doing now, in words: for a stall, and for whoever asks with ``stoker.dump``.

Rules: words only; the one register of open pumps that the process has is here, and holds nothing alive.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import WeakSet

from stoker.feed.messages import Ask

if TYPE_CHECKING:
    from stoker.feed.pump import Pump

STALL_S = 10.0
"""A wait for one batch that is longer than this is shown."""
OPEN: WeakSet[Pump] = WeakSet()
"""Pumps that have not been closed: a signal that asks what all workers do finds them here."""


def stall_text(worker: int | None, ask: Ask | None, awaited: int | None, busy_s: float, waited_s: float) -> str:
    """What a consumer waits for.

    Args:
        worker: who was asked for the batch; None if nobody was.
        ask: what that worker is making now; None if it is idle.
        awaited: the index that the consumer waits for.
        busy_s: how long the worker has been at it.
        waited_s: how long the consumer has waited.
    """
    head = f"no batch for {waited_s:.0f} s"
    if worker is None or ask is None:
        return f"{head}: nobody is making one"
    after = "" if ask.index == awaited else f"; index {awaited} comes after it"
    return f"{head}: worker {worker} has been making index {ask.index} for {busy_s:.0f} s{after}"


def all_workers(pumps: Iterable[Pump] | None = None) -> str:
    """What every worker of every open feed does, with its Python stack.

    Args:
        pumps: whose workers; None for all that are open.
    """
    found = [text for pump in (list(OPEN) if pumps is None else pumps) for text in pump.describe()]
    return "\n".join(found) if found else "stoker: no worker is running"
