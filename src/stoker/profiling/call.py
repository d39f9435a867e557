"""``stoker.profile``: draws from a source without a model, and says how it will feed one.

Rules: imports what measures only when it is called, so that ``import stoker`` stays quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stoker.arguments import seconds as checked_seconds
from stoker.arguments import whole_number

if TYPE_CHECKING:
    from stoker.profiling.profile import Profile


def profile(source: Any, *, items: int = 200, seconds: float = 10.0) -> Profile:
    """Draw items from a source without a model, and say how it will feed one.

    What it finds: form, dtypes and sizes of the batches; how long they take to make, on a core or waiting, with or without the GIL; whether
    memory grows; whether worker processes can have the source; what randomness it holds; whether it ends; batches a second for threads
    and processes on this machine; and the call to write. ``__getitem__`` is called, ``on_epoch_end`` is not. An iterator is consumed: what
    is drawn is gone from it.

    Args:
        source: a Sequence, an iterator, a generator function, an iterable of batches, or a ``parallel_map``.
        items: so many items at most are drawn for the first look; runs with workers draw more.
        seconds: about how long all of it may take. An item in the making is waited for so long, and 5 s more at the end.

    Returns:
        What was measured and found; nothing is printed.

    Raises:
        SourceTypeError, SourceError: the source cannot be fed from.
        OptionError, OptionTypeError: an argument is senseless.
    """
    limit_s = checked_seconds("seconds", seconds)
    limit = whole_number("items", items, 1)
    from time import perf_counter

    from stoker.profiling.memory import give_back, small_heap
    from stoker.profiling.profile import Profiler

    with small_heap():  # before the clock starts
        give_back()
        return Profiler(source, limit, limit_s, perf_counter).profile()
