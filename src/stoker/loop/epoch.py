"""The one loop over batches, for training, validation, evaluation and prediction alike.

    for each item of the source, up to the number of steps:
        read it                                       form, names, shapes, class weights
        on_..._batch_begin(i, {batch, size})          if anybody overrides it
        the model's step                              returns while the device works
        on_..._batch_end(i, {batch, size, loss, ...}) if anybody overrides it
        progress bar                                  reads the logs ten times a second at most
        stop if a callback asked for it

Rules: knows no framework and no source; nothing is read from the device unless somebody reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from stoker.backend.protocol import Raw, Session, Step
from stoker.batch.form import Batch
from stoker.history import Reporter
from stoker.loop.progress import Progress, StopReason


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears of single batches; None where nobody does.

    Args:
        begin: called before a batch with its number and size.
        end: called after a batch with its number, size and raw result.
        reporter: shows progress.
        must_stop: asked after each batch.
        keep: takes the raw result of each batch (predict).
    """

    begin: Callable[[int, int], None] | None
    end: Callable[[int, int, Raw], None] | None
    reporter: Reporter
    must_stop: Callable[[], bool]
    keep: Callable[[Raw], None] | None = None


def run_epoch(
    items: Iterator[Any], read: Callable[[Any, int], Batch], step: Step, session: Session, listeners: Listeners,
    expected: int | None,
) -> Progress:
    """Run the batches of one pass.

    Args:
        items: what the source makes; it ends after ``expected`` items, or early.
        read: makes a batch of an item and its number.
        step: runs a batch on the model.
        session: reads raw results.
        listeners: who hears of it.
        expected: how many batches there should be; None where that is not known.

    Returns:
        How far it came, and why it ended.
    """
    begin, end, keep, must_stop = listeners.begin, listeners.end, listeners.keep, listeners.must_stop
    report = listeners.reporter.batch_end
    number = samples = 0
    raw: Raw = None

    def read_logs() -> dict[str, float]:
        return session.read(raw)

    for item in items:
        batch = read(item, number)
        if begin is not None:
            begin(number, batch.size)
        raw = step(batch)
        samples += batch.size
        if keep is not None:
            keep(raw)
        if end is not None:
            end(number, batch.size, raw)
        report(number, read_logs)
        number += 1
        if must_stop():
            return Progress(number, samples, raw, StopReason.STOP_REQUESTED)
    ended_early = expected is not None and number < expected
    return Progress(number, samples, raw, StopReason.SOURCE_ENDED if ended_early else StopReason.COMPLETED)
