"""What a call is going to do, settled before anything runs.

Rules: frozen; made by ``api.py`` of checked arguments; opens nothing and pulls nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stoker.backend.protocol import Backend
from stoker.feed.feed import Feed
from stoker.history import Reporter, RunRecord


@dataclass(frozen=True, slots=True)
class Validation:
    """Validation of a call of fit.

    Args:
        make_source: gives the source; called with the size of a training batch, in which whole arrays are cut.
        steps: batches of each validation; None for a whole pass.
        wants: whether an epoch, by its number, is followed by validation.
        is_arrays: the source is whole arrays rather than the user's code.
    """

    make_source: Callable[[int], Any]
    steps: int | None
    wants: Callable[[int], bool]
    is_arrays: bool = False


@dataclass(frozen=True, slots=True)
class FitPlan:
    """A call of fit.

    Args:
        backend: the framework.
        model: the compiled model.
        feed: the training data, not yet open.
        steps: batches of an epoch; None for a whole pass.
        initial_epoch: the number of the first epoch.
        epochs: the number after the last one.
        callbacks: as the caller passed them.
        class_weight: as the caller passed it.
        validation: or None.
        reporter: shows progress.
        verbose: as callbacks read it in their ``params``.
        is_arrays: the training data are whole arrays rather than the user's code.
        run: what was asked for, to be kept on the History.
        plot: draws a History; its method ``plot`` from then on.
    """

    backend: Backend
    model: Any
    feed: Feed
    steps: int | None
    initial_epoch: int
    epochs: int
    callbacks: Any
    class_weight: Any
    validation: Validation | None
    reporter: Reporter
    verbose: int
    is_arrays: bool = False
    run: RunRecord | None = None
    plot: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A call of evaluate or predict; see ``FitPlan``."""

    backend: Backend
    model: Any
    feed: Feed
    steps: int | None
    callbacks: Any
    reporter: Reporter
    verbose: int
    is_arrays: bool = False


def epochs_wanted(validation_freq: Any) -> Callable[[int], bool]:
    """Whether an epoch is followed by validation: every n-th, or those whose numbers (from 1) are listed."""
    if isinstance(validation_freq, int):
        return lambda epoch: (epoch + 1) % validation_freq == 0
    listed = frozenset(validation_freq)
    return lambda epoch: epoch + 1 in listed


def expected_steps(feed: Feed, steps: int | None) -> int | None:
    """Batches of the next epoch as far as they are known: of a pass that has been begun ahead, as many as it was begun with."""
    if steps is not None:
        return steps
    first = feed.window.next_out
    end = feed.course.pass_end(first)
    return feed.length() if end is None else end - first


def may_group(feed: Feed, is_arrays: bool) -> bool:
    """Whether batches may be pulled before the step that needs them: not with ``workers=0``, but for arrays, which run no user code."""
    return feed.options.workers > 0 or is_arrays
