"""The order in which a pass visits the indices of a source.

Rules: pure; the order is a function of (seed, pass, length, shuffle) alone, so that any lane and any resume gives the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ORDER_STREAM = 0x5704_E201
"""Keeps the generator that orders a pass apart from those that items draw from."""


def order(seed: int, pass_number: int, length: int, shuffle: bool) -> NDArray[np.int64]:
    """The indices of a pass in the order in which they are visited.

    Args:
        seed: the seed of the feed.
        pass_number: the number of the pass, from 0.
        length: how many indices there are.
        shuffle: permute them; otherwise 0 .. length - 1.

    Returns:
        Array of shape ``(length,)``: each index once.
    """
    if not shuffle:
        return np.arange(length, dtype=np.int64)
    generator = np.random.default_rng((seed, pass_number, _ORDER_STREAM))
    return generator.permutation(length).astype(np.int64, copy=False)
