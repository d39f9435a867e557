"""fit, evaluate and predict: the calls, from the first event to the last.

    train_begin
    for each epoch:
        epoch_begin
        run_epoch(training batches)
        unless a callback asked to stop: test_begin, run_epoch(validation batches), test_end
        epoch_end with loss, metrics, val_...
        stop if a callback asked for it, or the source has ended
    train_end                                         also when an exception escapes

Rules: the model holds its latest state whenever a hook runs and when the call ends, in whatever way; the feed is open for the time of
the call alone; every early end has a reason that is told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from time import monotonic
from typing import Any

from stoker.backend.protocol import Phase, Session, Step
from stoker.batch.weights import read_class_weight
from stoker.errors import SourceError, warn
from stoker.feed.feed import Feed
from stoker.history import EpochRecord
from stoker.history import Phase as ShownPhase
from stoker.loop.callbacks import Callbacks
from stoker.loop.epoch import Listeners, run_epoch
from stoker.loop.outputs import Outputs
from stoker.loop.plan import FitPlan, RunPlan, Validation, expected_steps, may_group
from stoker.loop.progress import Progress, StopReason, text_of
from stoker.loop.reading import blame, judge_validation, reader_for


def fit(plan: FitPlan) -> Any:
    """Train.

    Returns:
        ``keras.callbacks.History``; also ``model.history``.
    """
    spec = plan.backend.describe(plan.model)
    class_weight = None if read_class_weight(plan.class_weight, spec.outputs) is None else plan.class_weight
    judge_validation(plan.validation, spec)
    callbacks = Callbacks(plan.callbacks, plan.backend, plan.model)
    history = _history_of(callbacks, plan)
    params = _fit_params(plan)
    callbacks.introduce(params)
    with plan.backend.session(plan.model) as session, _closing(plan.reporter):
        callbacks.attach(session)
        run = _Fit(dataclasses.replace(plan, class_weight=class_weight), callbacks, session, history, params)
        plan.model.stop_training = False
        plan.model.history = history
        finished = False
        try:
            callbacks.tell("train_begin", {})
            first = plan.backend.first_epoch(plan.model, plan.initial_epoch)
            plan.reporter.train_begin(plan.epochs, first, plan.steps)
            if first < plan.epochs:
                run.epochs(first)
            session.finish_training()
            finished = True
        finally:
            session.publish()
            callbacks.tell_train_end(run.last_logs, finished=finished)
        plan.model.history = history
    return history


class _Fit:
    """A call of fit under way: what its epochs share."""

    def __init__(self, plan: FitPlan, callbacks: Callbacks, session: Session, history: Any, params: dict[str, Any]) -> None:
        self._plan = plan
        self._params = params
        self._callbacks = callbacks
        self._session = session
        self._history = history
        self._batch_size = 0
        self._validation: Feed | None = None
        self._is_cut = False
        """Whether a callback stopped the last validation."""
        self._open_feeds = ExitStack()
        self.last_logs: dict[str, Any] = {}

    def epochs(self, first: int) -> None:
        """Run the epochs from number ``first`` on."""
        plan = self._plan
        plan.feed.plan(epochs=max(0, plan.epochs - first), steps=plan.steps, first=first)
        plan.feed.is_resumable = False
        plan.feed.before_pass_end = self._session.wait
        plan.feed.on_stall = plan.reporter.stalled
        with plan.feed, self._open_feeds:
            for epoch in range(first, plan.epochs):
                if self._epoch(epoch) is not StopReason.COMPLETED or plan.model.stop_training:
                    return

    def _epoch(self, epoch: int) -> StopReason:
        """One epoch with its validation, from its first event to its last."""
        plan, callbacks, session = self._plan, self._callbacks, self._session
        began = monotonic()
        callbacks.tell("epoch_begin", epoch, {})
        expected = expected_steps(plan.feed, plan.steps)
        step = session.begin("train")
        reader = reader_for(plan.backend, plan.model, session, None if plan.is_arrays else plan.feed, plan.class_weight)
        listeners = self._listeners("train")
        if may_group(plan.feed, plan.is_arrays):
            _allow(session, listeners, expected, expected and expected * (plan.epochs - epoch))
        plan.reporter.epoch_begin(epoch, expected, "train", plan.feed.meter.look)
        progress = _run_batches(plan.feed, plan.steps, reader, step, session, listeners, expected)
        if progress.steps == 0 and not self._history.epoch:
            raise _no_batch(plan.feed)
        if progress.reason is StopReason.SOURCE_ENDED or progress.steps == 0:
            _warn_of_end(plan.feed, progress, plan.steps)
        if progress.steps == 0:
            self._history.end_reason = str(StopReason.SOURCE_ENDED.value)
            return StopReason.SOURCE_ENDED
        self._batch_size = self._batch_size or progress.largest
        logs = session.result(progress.raw)
        timeline = plan.feed.meter.timeline()
        figures = plan.feed.meter.take()
        self._history.feed.append(figures)
        reason = None if progress.reason is StopReason.COMPLETED else text_of(progress, expected)
        if plan.validation is not None and plan.validation.wants(epoch) and progress.reason is not StopReason.STOP_REQUESTED:
            logs.update({f"val_{name}": value for name, value in self._validate(plan.validation, epoch).items()})
        self._params["metrics"][:] = _metric_names(logs, plan.validation is not None)
        callbacks.tell("epoch_end", epoch, logs)
        self.last_logs = logs
        self._record(epoch, progress, logs, figures, monotonic() - began, expected)
        self._history.timeline = timeline  # with the record: one without the other would be drawn with another epoch's figures
        plan.reporter.epoch_end(epoch, logs, figures, reason)
        return progress.reason

    def _listeners(self, phase: Phase) -> Listeners:
        model, callbacks = self._plan.model, self._callbacks
        return Listeners(
            callbacks.batch_begin(phase), callbacks.batch_end(phase), self._plan.reporter, _stop_flag(model, phase))

    def _validate(self, validation: Validation, epoch: int) -> dict[str, Any]:
        """Run validation and return its logs."""
        plan, callbacks, session = self._plan, self._callbacks, self._session
        feed = self._validation_feed(validation)
        whole_before = 0 if validation.steps is not None else sum(map(validation.wants, range(epoch)))
        feed.plan(epochs=1, steps=validation.steps, first=whole_before)
        expected = expected_steps(feed, validation.steps)
        plan.reporter.epoch_begin(epoch, expected, "validate", feed.meter.look)
        callbacks.tell("test_begin", {})
        step = session.begin("test")
        looked_up = None if validation.is_arrays else feed
        reader = reader_for(plan.backend, plan.model, session, looked_up, what="validation batch")
        listeners = self._listeners("test")
        if may_group(feed, validation.is_arrays):
            _allow(session, listeners, expected, expected and expected * (plan.epochs - epoch))
        progress = _run_batches(feed, validation.steps, reader, step, session, listeners, expected)
        _look_at_end(feed, progress, expected)
        self._is_cut = progress.reason is StopReason.STOP_REQUESTED
        logs = session.result(progress.raw)
        callbacks.tell("test_end", logs)
        plan.reporter.epoch_end(epoch, logs, feed.meter.take(), None)
        return logs

    def _validation_feed(self, validation: Validation) -> Feed:
        """The feed of validation data: one that goes on for streams and whole passes, a fresh one for parts of a pass.

        Parts of a pass are always the first batches, so that results of different epochs can be compared.
        """
        feed = self._validation
        if feed is None or ((validation.steps is not None or self._is_cut) and feed.kind != "stream"):
            self._open_feeds.close()
            feed = self._open_feeds.enter_context(self._new_feed(validation))
            feed.before_pass_end = self._session.wait
            feed.on_stall = self._plan.reporter.stalled
            self._validation = feed
        return feed

    def _new_feed(self, validation: Validation) -> Feed:
        """A feed on the workers of the training feed; for arrays one without workers, which would only carry rows about."""
        source = validation.make_source(self._batch_size)
        if validation.is_arrays:
            return Feed(source, workers=0, seed=0)
        return self._plan.feed.sibling(source)

    def _record(
        self, epoch: int, progress: Progress, logs: dict[str, Any], figures: Any, elapsed_s: float, expected: int | None
    ) -> None:
        """Keep what happened on the History that callers get."""
        self._history.records.append(EpochRecord(
            epoch, progress.steps, progress.samples, dict(logs), figures, elapsed_s, text_of(progress, expected)))


def evaluate(plan: RunPlan) -> dict[str, Any]:
    """Evaluate; returns loss and metrics by name, in the order in which they were declared."""
    return _run(plan, "test", "evaluate", None)


def predict(plan: RunPlan) -> Any:
    """Predict; returns outputs of all batches, concatenated, in the model's structure."""
    outputs = Outputs()
    _run(plan, "predict", "predict", outputs)
    return outputs.joined()


def _run(plan: RunPlan, phase: Phase, shown: ShownPhase, outputs: Outputs | None) -> dict[str, Any]:
    """A call of evaluate or predict."""
    callbacks = Callbacks(plan.callbacks, plan.backend, plan.model)
    callbacks.introduce(_run_params(plan))
    with plan.backend.session(plan.model) as session, _closing(plan.reporter):
        callbacks.attach(session)
        if outputs is not None:
            outputs.convert = session.outputs
        plan.feed.plan(epochs=1, steps=plan.steps)
        plan.feed.before_pass_end = session.wait
        plan.feed.on_stall = plan.reporter.stalled
        callbacks.tell(f"{phase}_begin", {})
        with plan.feed as feed:
            expected = expected_steps(feed, plan.steps)
            step = session.begin(phase)
            plan.reporter.epoch_begin(0, expected, shown, plan.feed.meter.look)
            looked_up = None if plan.is_arrays else feed
            reader = reader_for(plan.backend, plan.model, session, looked_up, predict=phase == "predict")
            listeners = Listeners(
                callbacks.batch_begin(phase), callbacks.batch_end(phase), plan.reporter, _stop_flag(plan.model, phase),
                None if outputs is None else outputs.add)
            if may_group(feed, plan.is_arrays):
                _allow(session, listeners, expected, expected)
            progress = _run_batches(feed, plan.steps, reader, step, session, listeners, expected)
            _look_at_end(feed, progress, expected)
            logs = {} if phase == "predict" else session.result(progress.raw)
            figures = feed.meter.take()
        callbacks.tell(f"{phase}_end", logs)
        plan.reporter.epoch_end(0, logs, figures, None)
    return logs


def _run_batches(
    feed: Feed, steps: int | None, reader: Any, step: Step, session: Session, listeners: Listeners, expected: int | None
) -> Progress:
    """The batches of one epoch. A pass that has fewer than the source said is whole: only those that were asked for can be missing."""
    progress = run_epoch(feed.epoch(steps), reader.read, step, session, listeners, expected, partial(blame, reader))
    if steps is None and progress.reason is StopReason.SOURCE_ENDED:
        return dataclasses.replace(progress, reason=StopReason.COMPLETED)
    return progress


def _allow(session: Session, listeners: Listeners, steps: int | None, left: int | None) -> None:
    """Let the session pull batches together: into one call, or ahead of the hooks that hear of single ones."""
    allow = session.allow_ahead if listeners.hear_batches else session.allow_fusing
    allow(steps, left)


def _look_at_end(feed: Feed, progress: Progress, expected: int | None) -> None:
    """Warn where a source ended early; a pass without any batch has no result.

    Raises:
        SourceError: there was no batch.
    """
    if progress.steps == 0:
        raise _no_batch(feed)
    if progress.reason is StopReason.SOURCE_ENDED:
        _warn_of_end(feed, progress, expected)


def _no_batch(feed: Feed) -> SourceError:
    return SourceError("the source gave no batch", got="none", expected="at least one batch", where=feed.source.label,
                       remedy="Pass an iterator that is not used up.")


def _stop_flag(model: Any, phase: Phase) -> Callable[[], bool]:
    """Looks whether a callback asked to stop a phase; Keras has an attribute for each."""
    if phase == "train":
        return lambda: bool(model.stop_training)
    name = "stop_evaluating" if phase == "test" else "stop_predicting"
    setattr(model, name, False)
    return lambda: bool(getattr(model, name))


def _warn_of_end(feed: Feed, progress: Progress, steps: int | None) -> None:
    if steps is None:
        warn(
            f"{feed.source.label} gave no batch in this epoch; the call ends here. Pass a function that makes a new iterator each time.")
        return
    warn(
        f"{feed.source.label} ended after {progress.steps} of {steps} batches; the call ends here. Let the generator yield for "
        f"ever, or lower the number of steps.")


def _history_of(callbacks: Callbacks, plan: FitPlan) -> Any:
    """The caller's own History callback, or a new one that is told last."""
    mine = next((callback for callback in callbacks.all if plan.backend.is_history(callback)), None)
    if mine is None:
        mine = plan.backend.new_history()
        callbacks.add_last(mine)
    mine.epoch = []
    mine.feed = []
    mine.records = []
    mine.timeline = None
    mine.end_reason = ""  # why no further epoch has a record, where it is known and no record says so
    mine.run = plan.run
    if plan.plot is not None and not hasattr(mine, "plot"):
        mine.plot = partial(plan.plot, mine)  # unlike a bound method it is pickled and copied with its history
    return mine


def _fit_params(plan: FitPlan) -> dict[str, Any]:
    """What callbacks find in ``params``."""
    has_validation = plan.validation is not None
    return {
        "epochs": plan.epochs, "steps": expected_steps(plan.feed, plan.steps), "verbose": plan.verbose,
        "do_validation": has_validation, "metrics": _metric_names(plan.backend.metric_names(plan.model), has_validation),
    }


def _metric_names(names: Iterable[str], has_validation: bool) -> list[str]:
    """Names as ``params`` lists them. Keras knows those of metrics only once the first batch has come: the list is filled then."""
    own = [name for name in names if not name.startswith("val_")]
    return own + [f"val_{name}" for name in own] if has_validation else own


def _run_params(plan: RunPlan) -> dict[str, Any]:
    return {
        "epochs": 1, "steps": expected_steps(plan.feed, plan.steps), "verbose": plan.verbose, "do_validation": False,
        "metrics": plan.backend.metric_names(plan.model),
    }


@contextmanager
def _closing(reporter: Any) -> Iterator[None]:
    try:
        yield
    finally:
        reporter.close()

