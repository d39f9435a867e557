"""Everything stoker raises or warns with by itself.

Rules: an error says what was got, what was expected, where, and one remedy, and keeps each of them as a field; code that
handles an error looks at its type and fields, never at its text. Errors cross process borders, so they must pickle.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

OURS = f"{os.path.dirname(__file__)}{os.sep}"
"""How the paths of stoker's own files begin, as frames and stacks have them."""


class StokerError(Exception):
    """Base of every error that stoker raises itself.

    Args:
        what: one clause that says what went wrong.
        got: what was found, as a short text.
        expected: what would have been right.
        where: path and place, such as ``targets['output'], batch 7``.
        remedy: one sentence that says what to do.
    """

    def __init__(self, what: str, *, got: str = "", expected: str = "", where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.got = got
        self.expected = expected
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        head = f"{self.what} ({self.where})" if self.where else self.what
        facts = [text for text in (self.got and f"got {self.got}", self.expected and f"expected {self.expected}") if text]
        line = f"{head}: {'; '.join(facts)}" if facts else head
        return f"{line}. {self.remedy}" if self.remedy else f"{line}."

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.what), self.__dict__)


def _rebuild(kind: type[StokerError], what: str) -> StokerError:
    """Make the error anew without its own constructor, which may want more arguments; pickle then sets the fields."""
    error = kind.__new__(kind, what)
    error.args = (what,)
    return error


class BatchError(StokerError, ValueError):
    """A batch whose form, lengths, names, shapes or dtypes cannot be trained on."""


class OptionError(StokerError, ValueError):
    """An argument of a call that has a senseless value."""


class OptionTypeError(StokerError, TypeError):
    """An argument of a call that has the wrong type."""


class SourceError(StokerError, ValueError):
    """A source that cannot be trained on as it was given: empty, of unknown length, or with a broken ``__len__``."""


class SourceTypeError(StokerError, TypeError):
    """Something that is no source at all."""


class SourceStopped(StokerError, RuntimeError):
    """``StopIteration`` raised inside ``__getitem__``, which must not end an epoch in silence."""


class BackendError(StokerError, RuntimeError):
    """No usable Keras backend, or one that cannot do what was asked."""


class FeedClosed(StokerError, RuntimeError):
    """A feed used before it was opened or after it was closed."""


class NotPicklable(StokerError, TypeError):
    """An item of ``parallel_map`` that cannot travel to worker processes; ``where`` is the path of what cannot.

    (A source that cannot, or for the copy of whose arrays there is no memory, is told of in a warning, and threads make its batches.)
    """


class WorkerError(StokerError, RuntimeError):
    """A worker that could not make a batch; ``index`` and ``worker`` say which.

    Args:
        index: the index of the batch in the source, or the number of the item of a stream.
        worker: the number of the worker.
    """

    def __init__(self, what: str, *, index: int | None = None, worker: int | None = None, **fields: str) -> None:
        super().__init__(what, **fields)
        self.index = index
        self.worker = worker


class WorkerDied(WorkerError):
    """Worker processes that died three times at one index, or five times without any answer, or one that ran a generator."""


class WorkerHung(WorkerError, TimeoutError):
    """A worker that gave no batch within ``timeout_s``; the text shows its stack."""


class ResultError(WorkerError):
    """A batch that was made but could not be brought to the caller."""


class StokerWarning(UserWarning):
    """Base of every warning that stoker gives."""


def warn(text: str) -> None:
    """Warn at the line of the user's code that called into stoker."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("stoker."):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, StokerWarning, stacklevel=level)


def is_of_stoker(filename: str) -> bool:
    """Whether a file is stoker's own."""
    return filename.startswith(OURS)
