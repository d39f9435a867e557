"""How the batches of a pass are read for a model, and what is said of the one that its step failed on.

Rules: what a model takes is asked anew for each pass, and once more when its first batch has built it; no step runs on a batch that has
not been checked in full.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from stoker.backend.protocol import Backend, Session
from stoker.batch.form import Batch, in_words
from stoker.batch.reader import BatchReader
from stoker.batch.spec import ModelSpec
from stoker.batch.weights import ClassWeights, read_class_weight
from stoker.feed.feed import Feed
from stoker.loop.plan import Validation

JUDGED_ROWS = 32
"""Rows of whole validation arrays that are read before training begins."""


def reader_for(
    backend: Backend, model: Any, session: Session, feed: Feed | None, class_weight: Any = None, *, what: str = "batch",
    predict: bool = False,
) -> BatchReader:
    """A reader of the batches of one pass.

    Args:
        backend: the framework.
        model: the model.
        session: builds the model on its first batch.
        feed: where the batches come from; None for arrays, which have no items to look up.
        class_weight: as the caller passed it, but None where it is ignored.
        what: how messages name a batch.
        predict: read for predict.
    """
    spec = backend.describe(model)

    def settle(batch: Batch) -> tuple[ModelSpec, ClassWeights | None]:
        try:
            session.build(batch)
        except Exception as error:
            if not backend.describe(model).is_final:
                error.add_note(f"raised while the model was built on its first batch: {in_words(batch)}")
                raise  # else the check of the batch, or the step, says what is wrong
        known = backend.describe(model)
        return known, read_class_weight(class_weight, known.outputs)

    return BatchReader(
        spec, read_class_weight(class_weight, spec.outputs), what=what, predict=predict,
        settle=None if spec.is_final or predict else settle, origin=partial(_origin, feed))


def _origin(feed: Feed | None, number: int) -> str:
    """Which item of a Sequence a batch of this pass is, where it is not that of its number."""
    if feed is None or feed.kind != "indexed":
        return ""
    index = feed.meter.index_of(number)
    return "" if index is None or index == number else f"index {index} of {feed.source.label}"


def blame(reader: BatchReader, error: Exception, batch: Batch, number: int) -> None:
    """Say of an error of the model's step on which batch it arose."""
    error.add_note(f"raised by the model's step on {reader.place(number)}: {in_words(batch)}")


def judge_validation(validation: Validation | None, spec: ModelSpec) -> None:
    """Read the first rows of whole validation arrays, as far as that is possible before the model is built.

    Raises:
        BatchError: the model cannot take them.
    """
    if validation is not None and validation.is_arrays:
        rows = validation.make_source(JUDGED_ROWS).get(0, 0)
        BatchReader(spec, what="validation batch").read(rows, 0)
