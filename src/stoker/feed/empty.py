"""``stoker.empty``: an array that lies in the slot already, so that a batch built in it crosses without a copy.

Rules: who offers memory (a worker process, for the item it makes) says so in a context variable; anywhere else it is ``numpy.empty``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Offer = Callable[[tuple[int, ...], np.dtype[Any]], "NDArray[Any] | None"]

SMALL_BYTES = 8192
"""An array up to this size is copied more quickly than memory for it is looked for."""

OFFER: ContextVar[Offer | None] = ContextVar("stoker_empty", default=None)


def empty(shape: int | tuple[int, ...], dtype: DTypeLike = float) -> NDArray[Any]:
    """An uninitialised array, in shared memory where that saves a copy.

    In a worker process the array lies in the slot of the batch that is being made, if batches have more than 256 KB; return it as part of
    that batch and keep no reference to it: a source that keeps one is given ordinary memory from then on. Anywhere else this is
    ``numpy.empty``, on helper threads of a source too.

    Args:
        shape: the shape.
        dtype: the dtype; numpy's default, float64, if left out.

    Returns:
        Array of that shape and dtype, C-contiguous.
    """
    array = np.empty(shape, dtype)  # no other way to find out its size is as quick, and pages are taken when they are written
    offer = OFFER.get()
    if offer is None or array.nbytes <= SMALL_BYTES:
        return array
    offered = offer(array.shape, array.dtype)
    return array if offered is None else offered
