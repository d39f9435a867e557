"""The one loop over batches, for training, validation, evaluation and prediction alike.

    for each item of the source, up to the number of steps:
        read it                                       form, names, shapes, class weights
        on_..._batch_begin(i, {batch, size})          if anybody overrides it
        the model's step                              returns while the device works
        on_..._batch_end(i, {batch, size, loss, ...}) if anybody overrides it
        progress bar                                  reads the logs ten times a second at most
        stop if a callback asked for it

Where the session fuses steps, the same is done for a group of batches of one shape; the group counts as its last batch.
Where it runs steps ahead, it is given a group of batches that are ready before anybody hears of the first; all else is as above.

Rules: knows no framework and no source; nothing is read from the device unless somebody reads it; batches that were read before an error
of the source are trained on before it is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from stoker.backend.protocol import Raw, Session, Step
from stoker.batch.form import Batch
from stoker.batch.stack import Stack
from stoker.history import Reporter
from stoker.loop.progress import Progress, StopReason

Read = Callable[[Any, int], Batch]
Blame = Callable[[Exception, Batch, int], None]
"""Notes on an error of the step which batch that was: the batch, and its number in the pass."""


class Items(Protocol):
    """What the source makes, one after the other."""

    def __next__(self) -> Any:
        """The next one."""

    def take_many(self, most: int) -> list[Any]:
        """The next ones: as many as are ready, at most so many; an empty list where there is none any more."""


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

    @property
    def hear_batches(self) -> bool:
        """Whether anybody must hear of every single batch."""
        return self.begin is not None or self.end is not None or self.keep is not None


def run_epoch(
    items: Items, read: Read, step: Step, session: Session, listeners: Listeners, expected: int | None, blame: Blame,
) -> Progress:
    """Run the batches of one pass.

    Args:
        items: what the source makes; it ends after ``expected`` items, or early.
        read: makes a batch of an item and its number.
        step: runs a batch on the model.
        session: reads raw results, and says how many batches it takes at once.
        listeners: who hears of it.
        expected: how many batches there should be; None where that is not known.
        blame: says of an error of the step on which batch it arose; later ones may have been read already.

    Returns:
        How far it came, and why it ended.
    """
    begin, end, keep, must_stop = listeners.begin, listeners.end, listeners.keep, listeners.must_stop
    report = listeners.reporter.batch_end
    number = samples = largest = 0
    raw: Raw = None

    def read_logs() -> dict[str, float]:
        return session.read(raw) if keep is None else {}  # what predict gives is no logs

    for group in _groups(items, read, session, expected):
        is_one = type(group) is Batch
        count = 1 if is_one else len(group)
        size = group.size * count
        if begin is not None:
            begin(number, size)
        try:
            raw = step(group) if is_one else session.step_many(group)  # type: ignore[arg-type]
        except Exception as error:
            if is_one:
                blame(error, group, number)  # type: ignore[arg-type]
            raise
        number += count
        samples += size
        if group.size > largest:
            largest = group.size
        if keep is not None:
            keep(raw)
        if end is not None:
            end(number - 1, size, raw)
        report(number - 1, read_logs)
        if must_stop() and number != expected:
            return Progress(number, samples, largest, raw, StopReason.STOP_REQUESTED)
    ended_early = expected is not None and number < expected
    return Progress(number, samples, largest, raw, StopReason.SOURCE_ENDED if ended_early else StopReason.COMPLETED)


def _groups(items: Items, read: Read, session: Session, expected: int | None) -> Iterator[Batch | Stack]:
    """The batches of a pass, one by one, or stacked with others of their form where the session takes several at once.

    A stack never waits for an item that will not come; what runs ahead waits for nothing but the first of its items.
    """
    number = 0
    stack: Stack | None = None
    trouble: Exception | None = None
    is_single = session.is_single
    while trouble is None:
        fuse, ahead = (1, 1) if is_single else (session.fuse, session.ahead)
        if stack is None and fuse == ahead == 1:
            try:
                item = next(items)
            except StopIteration:
                return
            batch = read(item, number)
            del item  # a batch that was cast is all that has to be kept while its step runs
            yield batch
            number += 1
            continue
        wanted = max(fuse, ahead) - (0 if stack is None else len(stack))
        batches, trouble, is_over = _pulled(items, read, number, wanted if expected is None else max(1, min(wanted, expected - number)))
        if stack is None and fuse == 1:
            number += len(batches)
            yield from batches if ahead == 1 or len(batches) < ahead else _foreseen(batches, session)
            batches = []
        while batches:
            if stack is None:
                stack = Stack(batches[0], fuse)
                taken = 1 + stack.add_run(batches[1:])
            else:
                taken = stack.add_run(batches)
            number += taken
            del batches[:taken]
            if stack.is_full or batches or number == expected:
                yield stack.single() or stack
                stack = None
        if is_over:
            break
    if stack is not None:
        yield stack.single() or stack
    if trouble is not None:
        raise trouble


def _foreseen(batches: list[Batch], session: Session) -> Iterable[Batch]:
    """The same batches, which the session has run ahead if they are of one form; they have memory of their own then, as they wait."""
    stack = Stack(batches[0], len(batches))
    if stack.add_run(batches[1:]) < len(batches) - 1:
        return batches
    session.foresee(stack)
    return stack


def _pulled(items: Items, read: Read, number: int, wanted: int) -> tuple[list[Batch], Exception | None, bool]:
    """Batches that were pulled and read, what went wrong behind them, and whether there is nothing more."""
    batches: list[Batch] = []
    try:
        taken = items.take_many(wanted)
    except Exception as error:
        return batches, error, False
    try:
        for item in taken:
            batches.append(read(item, number + len(batches)))
    except Exception as error:
        return batches, error, False
    return batches, None, not taken
