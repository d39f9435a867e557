"""``keras.initializations`` of Keras 1: functions of a shape that return a variable, where ``keras.initializers`` has classes.

Rules: ``scale`` and ``name`` are Keras 1's, and so are the spreads; names that are not here are those of ``keras.initializers``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import initializers

FACTORS: dict[str, tuple[float, Callable[[float], Any]]] = {
    "uniform": (0.05, lambda scale: initializers.RandomUniform(-scale, scale)),
    "normal": (0.05, lambda scale: initializers.RandomNormal(stddev=scale)),
    "orthogonal": (1.1, lambda scale: initializers.Orthogonal(gain=scale)),
    "identity": (1.0, lambda scale: initializers.Identity(gain=scale)),
}
"""Functions that take ``scale`` -> what it is by default, and what draws the values."""

DRAWN: dict[str, Callable[[], Any]] = {
    "zero": initializers.Zeros, "one": initializers.Ones, "lecun_uniform": initializers.LecunUniform,
    "glorot_uniform": initializers.GlorotUniform, "he_uniform": initializers.HeUniform,
    "glorot_normal": lambda: initializers.VarianceScaling(1.0, "fan_avg", "untruncated_normal"),
    "he_normal": lambda: initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal"),
}
"""Functions that take none -> what draws the values."""


def get(identifier: Any, **options: Any) -> Any:
    """A function of a shape that returns a variable, by its name; what is no name, as it is."""
    return _find(identifier) or _of(initializers.get(identifier)) if isinstance(identifier, str) else identifier


def __getattr__(name: str) -> Any:
    return _find(name) or getattr(initializers, name)


def _find(name: str) -> Any:
    if name in FACTORS:
        return _scaled(name, *FACTORS[name])
    return _of(DRAWN[name](), name) if name in DRAWN else None


def _scaled(function: str, default: float, make: Callable[[float], Any]) -> Callable[..., Any]:
    def initialize(shape: Any, scale: float = default, name: str | None = None, **options: Any) -> Any:
        return keras.backend.variable(make(scale)(tuple(shape)), name=name)

    initialize.__name__ = function
    return initialize


def _of(initializer: Any, function: str = "initialize") -> Callable[..., Any]:
    def initialize(shape: Any, name: str | None = None, **options: Any) -> Any:
        return keras.backend.variable(initializer(tuple(shape)), name=name)

    initialize.__name__ = function
    return initialize
