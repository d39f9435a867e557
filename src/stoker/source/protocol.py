"""What the rest of the house knows of a source: the records that ``open_source`` makes of the user's object.

Rules: nothing here looks at the user's type (``open.py`` does that once). A source is told what to make and knows nothing of
workers, windows or epochs.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

Kind = Literal["indexed", "stream", "restartable"]


class Source(Protocol):
    """A source of batches, opened.

    ``indexed``: any index, in any order, by any number of workers at once.
    ``stream``: one item after the other, by one owner; it goes on where it stopped.
    ``restartable``: a stream that begins anew for each pass.
    """

    kind: Kind

    single_owner: bool
    """Whether one worker makes everything; else any worker makes any batch."""

    label: str
    """How messages name it, such as ``Sequence Digits`` or ``generator batches``."""

    original: Any
    """The user's own object."""

    @property
    def has_pass_end(self) -> bool:
        """Whether the user's object wants to hear of the end of a pass (``on_epoch_end``)."""

    def length(self) -> int | None:
        """Batches in a pass, asked anew each time; None where it cannot be known beforehand.

        Raises:
            SourceError: the user's ``__len__`` gives no whole number above 0.
        """

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """Make one batch, on a worker. Streams are asked in order; ``item`` is what ``parallel_map`` pulled for it.

        Returns:
            What the user's object gave; ``outcome.ENDED`` where a stream has no further item in this pass.

        Raises:
            SourceStopped: an indexed source raised ``StopIteration``.
        """

    def end_pass(self) -> None:
        """Tell the user's object that a pass has ended; run in the caller's process, on the caller's thread."""


class Stream(Source, Protocol):
    """A source with a single owner."""

    def behind(self, pass_number: int, index: int) -> range:
        """The items of a pass that have to be pulled before item ``index``."""
