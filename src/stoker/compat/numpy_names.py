"""Brings back the numpy names of that time: ``np.bool``, ``np.int``, ``np.float``, ``np.object`` and their like.

Rules: only names that numpy no longer has are added, and each means what it meant: Python's own type.
"""

from __future__ import annotations

import warnings

import numpy as np

NAMES = {
    "bool": bool, "int": int, "float": float, "complex": complex, "object": object, "str": str, "long": int, "unicode": str,
    "float_": np.float64, "Inf": np.inf, "Infinity": np.inf, "NaN": np.nan, "infty": np.inf, "product": np.prod, "cumproduct": np.cumprod,
    "sometrue": np.any, "alltrue": np.all, "asscalar": lambda array: array.item(), "in1d": np.isin, "trapz": getattr(np, "trapezoid", None),
}


def complete() -> None:
    """Add what is missing to numpy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in NAMES.items():
            # ``long`` and ``bool`` are there again in numpy 2, as numpy scalars; they serve as well.
            if value is not None and not hasattr(np, name):
                setattr(np, name, value)
