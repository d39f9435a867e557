"""Sources as a profile draws from them: without ends of passes, counted, with the state of global randomness set.

Rules: the user's object is asked for items and for nothing else; ``Endless`` travels to worker processes, so this module imports little.
"""

from __future__ import annotations

import threading
from typing import Any

from stoker.feed.messages import Ask
from stoker.outcome import Ended
from stoker.source.protocol import Kind, Source

LONG = 50_000
"""Items of a pass that is long enough for any run."""


class Drawn:
    """What these sources share: no end of a pass to hear of, and no way back."""

    has_pass_end = False
    stoker_source = True

    def behind(self, pass_number: int, index: int) -> range:
        """None: a profile goes back nowhere."""
        return range(0)

    def end_pass(self) -> None:
        """Nothing to tell."""


class Endless(Drawn):
    """An indexed source whose pass hardly ends, so that no run waits for its end and ``on_epoch_end`` is not called.

    Args:
        inner: the source.
        indices: which of its indices are asked for, again and again.
    """

    kind: Kind = "indexed"
    single_owner = False

    def __init__(self, inner: Source, indices: tuple[int, ...]) -> None:
        self.label = inner.label
        self.original = inner.original
        self._inner = inner
        self._indices = indices

    def length(self) -> int:
        """A long way."""
        return len(self._indices) * -(-LONG // len(self._indices))

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """The batch at one of the indices."""
        return self._inner.get(pass_number, self._indices[index % len(self._indices)], item)


class Counted(Drawn):
    """A source that says how many items it gave, and on which thread.

    Args:
        inner: the source, or a ``parallel_map``: its items are then pulled by whoever makes the batch.
    """

    single_owner = True

    def __init__(self, inner: Any) -> None:
        self.kind: Kind = inner.kind
        self.label = inner.label
        self.original = inner.original
        self.pulled = 0
        self.thread: tuple[int, int] | None = None
        self._inner = inner
        self._begin = getattr(inner, "begin", None)
        self._pull: Any = None
        self._pass = -1

    def length(self) -> int | None:
        """As the stream says."""
        length: int | None = self._inner.length()
        return length

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """The next item."""
        self.thread = threading.get_ident(), threading.get_native_id()
        if self._begin is not None:
            if pass_number != self._pass:
                self._pull, self._pass = self._begin(), pass_number
            item = self._pull()
        made = item if isinstance(item, Ended) else self._inner.get(pass_number, index, item)
        self.pulled += not isinstance(made, Ended)
        return made


class Seeded(Drawn):
    """A source for whose items ``random`` and ``numpy.random`` are seeded, as worker processes do.

    Args:
        inner: the source.
        seed: what they are seeded from.
    """

    def __init__(self, inner: Source, seed: int) -> None:
        self.kind: Kind = inner.kind
        self.single_owner = inner.single_owner
        self.label = inner.label
        self.original = inner.original
        self._inner = inner
        self._seed = seed

    def length(self) -> int | None:
        """As the source says."""
        return self._inner.length()

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """The item, after the seeding."""
        from stoker.feed.seeding import seed_globals

        seed_globals(Ask(0, 0, pass_number, index, self._seed))
        return self._inner.get(pass_number, index, item)
