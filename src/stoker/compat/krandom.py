"""The random numbers of ``keras.backend``, new ones in every step.

Inside a compiled step on JAX numbers can come only from a seed that the model carries. So layers of the script's own, and Lambda
layers, get a seed generator, and the random functions use that of the layer in whose call they are.

Rules: a seed that is given is used as it is; outside of such layers Keras's global generator is used.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops, random

from stoker.compat.patching import wrap

CURRENT: ContextVar[Any] = ContextVar("stoker_seed_generator", default=None)
"""The seed generator of the layer that is being called in this thread."""

HOLDER = "_stoker_seeds"


def _seed(given: int | None) -> Any:
    return CURRENT.get() if given is None else given


def random_uniform(shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: str | None = None, seed: int | None = None) -> Any:
    """Uniform numbers."""
    return random.uniform(tuple(shape), minval, maxval, dtype=dtype or keras.config.floatx(), seed=_seed(seed))


def random_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: str | None = None, seed: int | None = None, std: float | None = None
) -> Any:
    """Normal numbers; ``std`` is Keras 1's word for ``stddev``."""
    stddev = stddev if std is None else std
    return random.normal(tuple(shape), mean, stddev, dtype=dtype or keras.config.floatx(), seed=_seed(seed))


def truncated_normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: str | None = None, seed: int | None = None) -> Any:
    """Normal numbers within two standard deviations."""
    return random.truncated_normal(tuple(shape), mean, stddev, dtype=dtype or keras.config.floatx(), seed=_seed(seed))


def random_binomial(shape: Any, p: float = 0.0, dtype: str | None = None, seed: int | None = None) -> Any:
    """Ones with probability ``p``, else zeros."""
    drawn = random.uniform(tuple(shape), dtype="float32", seed=_seed(seed))
    return ops.cast(drawn < p, dtype or keras.config.floatx())


def dropout(x: Any, level: float, noise_shape: Any = None, seed: int | None = None) -> Any:
    """Zeros with probability ``level``, the rest made larger."""
    return random.dropout(x, level, noise_shape=noise_shape, seed=_seed(seed))


OWN = (random_uniform, random_normal, truncated_normal, random_binomial, dropout)


def functions(variable: Callable[..., Any]) -> dict[str, Any]:
    """Every function by its old name; ``variable`` is the one that makes variables."""
    made = {function.__name__: function for function in OWN}
    return {**made, "random_uniform_variable": _variable(random_uniform, variable),
            "random_normal_variable": _variable(random_normal, variable)}


def _variable(draw: Callable[..., Any], variable: Callable[..., Any]) -> Callable[..., Any]:
    def make(shape: Any, low: float, high: float, dtype: str | None = None, name: str | None = None, seed: int | None = None) -> Any:
        return variable(draw(shape, low, high, dtype, seed), dtype, name)

    return make


def carry_seeds() -> None:
    """Give the script's own layers and Lambda layers a seed generator, and make it current while they are called."""

    def make_init(original: Callable[..., Any]) -> Callable[..., Any]:
        def __init__(self: Any, *arguments: Any, **options: Any) -> None:
            held = dict(vars(self).get("_modules") or {})  # PyTorch's constructor forgets what the layer was given before
            original(self, *arguments, **options)
            if held:
                vars(self)["_modules"].update(held)
            if _is_own(type(self)) and HOLDER not in self.__dict__:
                setattr(self, HOLDER, random.SeedGenerator())

        return __init__

    def make_call(original: Callable[..., Any]) -> Callable[..., Any]:
        def __call__(self: Any, *arguments: Any, **options: Any) -> Any:
            seeds = self.__dict__.get(HOLDER)
            if seeds is None:
                return original(self, *arguments, **options)
            token = CURRENT.set(seeds)
            try:
                return original(self, *arguments, **options)
            finally:
                CURRENT.reset(token)

        return __call__

    if keras.config.backend() == "torch":
        wrap(keras.layers.Layer, "__new__", _ready)
    wrap(keras.layers.Layer, "__init__", make_init)
    wrap(keras.layers.Layer, "__call__", make_call)


def _ready(original: Callable[..., Any]) -> Callable[..., Any]:
    """Layers may be given layers before their constructor has called its parent's; PyTorch's modules need to be ready for that."""
    import torch

    def __new__(kind: Any, *arguments: Any, **options: Any) -> Any:
        made = original(kind, *arguments, **options)
        torch.nn.Module.__init__(made)
        return made

    return __new__


def _is_own(kind: type) -> bool:
    if issubclass(kind, keras.Model):
        return False
    return issubclass(kind, keras.layers.Lambda) or not kind.__module__.startswith("keras.")
