"""``Feed``: batches from any source, made ahead of need, handed out in order, each exactly once.

Rules: one consumer, on one thread; everything that user code of the caller's process does here (``on_epoch_end``) runs on that
thread, inside ``next()``; an error of the source arrives in its place in the order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from stoker.errors import NotPicklable, SourceError, warn
from stoker.feed.auto import Adaptation
from stoker.feed.course import Course
from stoker.feed.epoch import Epoch
from stoker.feed.faults import closed_error, made_by, opened_again_error
from stoker.feed.gil import lateness_s
from stoker.feed.here import Here
from stoker.feed.hub import HAS_FORK, Hub
from stoker.feed.messages import Ask, Died
from stoker.feed.meter import Meter
from stoker.feed.options import FeedOptions, check_options, sibling_options
from stoker.feed.pulling import Puller
from stoker.feed.pump import Pump
from stoker.feed.resume import remember, restore, snapshot
from stoker.feed.reuse import private
from stoker.feed.supply import Supply
from stoker.feed.window import MOST_AT_ONCE, Window
from stoker.outcome import Failure, Outcome, Value, failure, unwrap
from stoker.source.indexed import IndexedSource
from stoker.source.open import open_source
from stoker.source.parallel import ParallelMap


class Feed:
    """Batches from a Python source, ready before they are needed.

    Use it as a context manager, and iterate epochs::

        with Feed(source, workers=4, processes=True, shuffle=True, seed=7) as feed:
            for _ in range(epochs):
                for batch in feed.epoch(): ...

    Args:
        source: a Sequence, an iterator, a generator function, or an iterable of batches.
        workers: 0 makes each batch on the caller's thread when it is needed; more make batches ahead; ``"auto"`` begins with one thread
            (one process with ``processes=True``) and finds out how many of what kind are needed, never more than ``max_queue_size`` or 64.
        processes: workers are processes, not threads.
        max_queue_size: batches in flight or ready at once, at most.
        shuffle: permute the order of an indexed source in each pass.
        seed: with it, order and items' randomness are reproducible; None draws one from Python's ``random``.
        timeout_s: after so many seconds of silence a worker counts as hung; None: the longest of 60 s, 20 times the 99th percentile of
            make times, and 3 times the longest; 180 s before a worker's first, and as much for each that a stream drops.

    Raises:
        SourceTypeError, SourceError: the source cannot be fed from.
        OptionError, OptionTypeError: an argument is senseless.
    """

    def __init__(
        self, source: Any, *, workers: int | str = 1, processes: bool = False, max_queue_size: int = 10, shuffle: bool = False,
        seed: int | None = None, timeout_s: float | None = None,
    ) -> None:
        options = check_options(
            workers=workers, processes=processes, max_queue_size=max_queue_size, shuffle=shuffle, seed=seed,
            timeout_s=timeout_s)
        self._set_up(source, options, Hub(options, perf_counter), owns_hub=True)

    def _set_up(self, source: Any, options: FeedOptions, hub: Hub, *, owns_hub: bool) -> None:
        self.source = open_source(source)
        self.options = options
        self.timeout_s = options.timeout_s
        self.before_pass_end: Callable[[], None] = lambda: None
        """Called before ``on_epoch_end`` of the source; a training loop waits here until its last batch has been read."""
        self.on_stall: Callable[[str, float], None] = lambda text, waited_s: None
        """Called each second of a wait that is longer than 10 s, with what is waited for and for how long, in seconds."""
        self.is_resumable = True
        """Whether ``state_dict`` may be asked for: a training loop does not, and spares a source with states of its own telling them."""
        self._hub = hub
        self._owns_hub = owns_hub
        self._key = hub.new_key()
        self._pump: Pump | None = None
        self._epoch: Epoch | None = None
        self._ahead = self._has_been_open = False
        self._here: Here | None = None
        self._pause = 0
        """The ticket at which there is something to look after again; before it, what is ready is only handed out."""
        self._late: tuple[Ask, Any] | None = None
        """An error that was taken behind batches that come before it."""
        self.adaptation: Adaptation | None = None
        self.source.length()
        self.course = Course(self.source.kind, self._key, options.seed, options.shuffle)
        self._supply = Supply(self.source, self.course)
        self.window = self._supply.window
        self.meter = Meter("inline", 0, perf_counter)

    @property
    def kind(self) -> str:
        """``indexed``, ``stream`` or ``restartable``."""
        return self.source.kind

    def length(self) -> int | None:
        """Batches in a pass now; None where the source does not say."""
        return self.source.length()

    def sibling(
        self, source: Any, *, shuffle: bool = False, max_queue_size: int | None = None, seed: int | None = None
    ) -> Feed:
        """Another source on the workers of this feed, such as validation data; it ends with this feed, or when it is closed itself.

        Args:
            source: as in ``Feed``.
            shuffle: as in ``Feed``.
            max_queue_size: as in ``Feed``, but at most that of this feed, which is the default.
            seed: as in ``Feed``; None for that of this feed.
        """
        options = sibling_options(self.options, shuffle=shuffle, max_queue_size=max_queue_size, seed=seed)
        feed = Feed.__new__(Feed)
        feed._set_up(source, options, self._hub, owns_hub=False)
        feed.is_resumable = self.is_resumable
        if self._pump is not None:
            feed._open()
        return feed

    def __enter__(self) -> Self:
        if self._has_been_open and (self._owns_hub or self._pump is None):
            raise opened_again_error(self.source.label)
        try:
            if self._pump is None:
                self._open()
        except BaseException:
            self.close()
            raise
        return self

    def _open(self) -> None:
        if isinstance(self.source, IndexedSource):
            self.source.prepare()
        self._pump = self._hub.seat(self._key, self, opens=self._owns_hub)
        lane = self._pump.lane
        ahead = self._ahead = lane.name != "inline"
        owner = self._key % lane.workers if self.source.single_owner else None
        self.window = self._supply.window = Window(self.options.max_queue_size if ahead else 1, lane.workers, owner)
        self.meter = Meter(lane.name, lane.workers if ahead else 0, perf_counter)
        if isinstance(self.source, ParallelMap):
            self._supply.puller = Puller(self.source, self.options.max_queue_size, self.meter)
        self.meter.single_owner, self.meter.is_refused = self.source.single_owner, self.options.processes and lane.name == "threads"
        self.meter.max_queue_size = 0 if self.options.auto else self.options.max_queue_size
        self._here = None if ahead else Here(self._supply, self._pump, self.meter)
        if self.options.auto:
            self.adaptation = Adaptation(self.window, self.meter, most=lane.workers, may_fork=HAS_FORK)
        if self.is_resumable:
            remember(self.source, self.window.bound + 1, lane.name)
        self._has_been_open = True

    def _move(self, adaptation: Adaptation) -> Pump:
        """Go over to processes: no thread is asked for anything any more."""
        self._pump = self._hub.move_to_processes(self._key, self)
        adaptation.moved(self._pump.lane.name)
        self._pump.dispatch(self)
        return self._pump

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, unless they are another feed's, and drop what is ready; items taken ahead from an iterator are lost."""
        pump, self._pump, self._here, self._pause = self._pump, None, None, 0
        if self._owns_hub:
            self._hub.close()
        elif pump is not None:
            pump.dismiss(self._key)

    def plan(self, *, epochs: int, steps: int | None = None, first: int = 0) -> None:
        """Say how much will be taken, so that nothing more is pulled from the source.

        Args:
            epochs: how many epochs.
            steps: batches in each; None where an epoch is a pass.
            first: the number of the first, where none has begun, for its order and randomness; an iterator goes on where it is.
        """
        if self._supply.plan(epochs, steps, first):
            self._refresh()

    def epoch(self, steps: int | None = None) -> Epoch:
        """The batches of the next epoch, as the source made them.

        Args:
            steps: how many; None goes to the end of the pass. More than a pass has goes on in the next pass; fewer leave the
                rest for the next epoch.

        Returns:
            An iterator. It ends before ``steps`` only when a stream has no further item.

        Raises:
            FeedClosed: the feed is not open.
            OptionError, OptionTypeError: ``steps`` is no number above 0.
            SourceError: ``steps`` is None and the source is an iterator, whose end is not known.
        """
        pump = self._open_pump()
        if steps is None and self.kind == "stream":
            raise SourceError(
                "an iterator does not say how many batches an epoch has", where=self.source.label, expected="steps",
                remedy="Pass the number of batches.")
        if self.course.at_pass_end and self.window.next_new == self.window.next_out:
            self._end_pass()
        if self._supply.begin_source_pass():
            self._refresh()
        self.meter.begin()
        epoch = self._epoch = Epoch(self, self._supply.begin_epoch(steps))
        self._pause = 0
        if self._ahead:
            pump.dispatch(self)
        return epoch

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch, as ``epoch()`` gives them."""
        return self.epoch()

    def fill(self) -> None:
        """Issue as many tickets as there is room and need for (the pump calls this)."""
        self._supply.fill()

    def _end_pass(self) -> None:
        """All items of an indexed pass are made: tell the source, once."""
        if self.source.has_pass_end:
            self.before_pass_end()
            # ``on_epoch_end`` may shuffle in place what batches that are ready, or in use, are views of
            began_s = self.meter.clock()
            self.window.change_ready(lambda payload: Value(private(payload.value)) if type(payload) is Value else payload)
            try:
                self._supply.end_source_pass()
                self._refresh()
            except Exception as error:
                self._supply.trouble = failure(error)
            self.meter.wait_s += self.meter.clock() - began_s
        self.course.end_pass(self.window.next_new)

    def _refresh(self) -> None:
        """Bring what changed to every worker; to threads, where it cannot travel any more."""
        lane = self._open_pump().lane
        try:
            lane.refresh_source(self._key)
        except NotPicklable as error:
            warn(f"{error} It runs on threads instead.")
            self.window.change_ready(lane.unpack)
            self._pump = self._hub.move_to_threads(self._key, self)
            self.meter.lane, self.meter.is_refused = self._pump.lane.name, True

    def stream_ended(self) -> None:
        """The end of a stream's pass has been settled (the pump calls this)."""
        self._pause = 0
        self._supply.stream_ended()

    def take_many(self, epoch: Epoch, most: int) -> list[Any]:
        """What the source made for the next tickets: as many as are ready or made here; empty where the epoch is over.

        The consumer wants them at once, and so they may be asked for at once. An error of the source is raised when it comes first.
        """
        window = self.window
        self._want(epoch, 2 * most)  # as many again are made while these are used
        taken = self.take(epoch)
        made = [self.unpack(*taken)] if taken is not None else []
        if made and self._ahead and not epoch.is_over():
            asks, values = window.take_values(epoch.limit(window.next_out + most - len(made)))
            self.meter.taken_together(asks, window)
            made += [value.value for value in values]
        while 0 < len(made) < most and not epoch.is_over():
            if window.is_ready():
                taken = window.take()
                self.meter.taken(taken[0], window)
            elif self._ahead or (taken := self.take(epoch)) is None:
                break
            outcome = self._outcome(*taken)
            if type(outcome) is not Value:
                self._late, self._pause = (taken[0], outcome), 0
                break
            made.append(outcome.value)
        return made

    def _want(self, epoch: Epoch, count: int) -> None:
        """Ask for the next so many batches of an epoch, whatever the bound."""
        if self._ahead and self.adaptation is None:
            self.window.wanted = epoch.limit(self.window.next_out + min(count, MOST_AT_ONCE))
            self._open_pump().dispatch(self)

    def is_served(self) -> bool:
        """Whether the consumer need not wait: its next ticket is ready, or its epoch is over (the pump asks)."""
        return self.window.is_ready() or (self._epoch is not None and self._epoch.is_over())

    def owner_died(self, event: Died) -> None:
        """The worker that ran a generator died between two items (the pump tells)."""
        self._supply.owner_died(event)

    def stalled(self, text: str, waited_s: float) -> None:
        """No batch has come for a long time (the pump tells each second)."""
        self.on_stall(text, waited_s)

    def take(self, epoch: Epoch) -> tuple[Ask, Any] | None:
        """The next ticket of an epoch, in order; None where the epoch is over (``Epoch`` calls this)."""
        window = self.window
        if window.next_out >= self._pause or window.next_out not in window.ready_payloads:
            self._pause = 0
            if self._late is not None:
                late, self._late = self._late, None
                return late
            if self._here is not None and not epoch.is_over() and (made := self._here.take()) is not None:
                return made
            if not self._find_next(epoch):
                return None
        taken = window.take()
        self.meter.taken(taken[0], window)
        if window.next_out >= self._pause:
            self._look_ahead(epoch)
        return taken

    def _find_next(self, epoch: Epoch) -> bool:
        """Go on to the next pass where one is over, and wait for the next ticket; False where the epoch is over."""
        if self._ahead and self.course.at_pass_end and self.window.is_idle:
            self._end_pass()
            self._open_pump().dispatch(self)
        if not epoch.is_over() and not self.window.is_ready():
            self._wait()
        is_there = not epoch.is_over() and self.window.is_ready()
        if not is_there:
            self._finish_epoch()
        return is_there

    def _look_ahead(self, epoch: Epoch) -> None:
        """Ask for more once there is room, and settle up to which ticket only handing out is to be done; only a wait changes that."""
        if self.adaptation is not None:
            self.adaptation.adapt()
        window, chunk = self.window, self.meter.at_a_time(self.window)
        if self._ahead and window.room >= chunk:
            self._open_pump().dispatch(self)
        if self._ahead and self.adaptation is None and not self.course.at_pass_end and window.room < chunk:
            self._pause = epoch.limit(window.next_new + chunk - window.bound)

    def _wait(self) -> None:
        """Wait for the next ticket, through the ends of as many passes as it takes."""
        began, before_s, pump = self.meter.clock(), self.meter.wait_s, self._open_pump()
        wait = pump.wait if self._ahead else pump.wait_here
        if self.meter.wants_probe:
            self.meter.probed(lateness_s())
        wait(self)
        while not self.is_served():
            if self.adaptation is not None and self.adaptation.is_ready_to_move:
                wait = self._move(self.adaptation).wait
            elif self.course.at_pass_end:
                self._end_pass()
            else:
                break
            wait(self)
        self.meter.waited(began, self.window, before_s)

    def _finish_epoch(self) -> None:
        """The last batch of an epoch has been used: a pass that ended with it ends now, and the next may begin."""
        if self.course.at_pass_end and self.window.is_idle:
            self._end_pass()
        self._supply.raise_trouble()
        if self._ahead:
            self._open_pump().dispatch(self)

    def _open_pump(self) -> Pump:
        if self._pump is None or not self._hub.is_open:
            raise closed_error()
        return self._pump

    def unpack(self, ask: Ask, payload: Any) -> Any:
        """What the source made, or its error (``Epoch`` calls this)."""
        outcome = payload if type(payload) is Value else self._outcome(ask, payload)
        made = outcome.value if type(outcome) is Value else unwrap(outcome)  # type: ignore[arg-type]
        if self.adaptation is not None:
            self.adaptation.see(made)
        return made

    def _outcome(self, ask: Ask, payload: Any) -> Outcome:
        """What a worker made; what a thread made may still wait after the feed has gone over to processes."""
        outcome = payload if type(payload) is Failure else self._open_pump().lane.unpack(payload)
        if type(outcome) is Failure and outcome is not payload:
            return made_by(outcome, ask.index, self.source.label, "by a worker process")
        return outcome

    def state_dict(self) -> dict[str, Any]:
        """The position of the next batch, as a small dict (JSON, if the source's own state is): from there it goes on, on any lane."""
        if self._pump is not None and self.course.at_pass_end and self.window.next_new == self.window.next_out:
            self._end_pass()  # what ``on_epoch_end`` changes is part of the source's state at the beginning of the next pass
        return snapshot(self.source, self.options, self.course.position(self.window.next_out))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at a position that ``state_dict`` gave; before the first epoch.

        Raises:
            SourceError: the feed has handed out batches already, or the state is of another kind of source.
        """
        self.options = restore(self.source, state, self.options, self.course, self.meter.lane)
        if self._pump is not None and self.kind == "indexed":
            self._refresh()  # workers have the source as it was
