"""``trainable`` counts as it was when the model was compiled, as in Keras 2.

Scripts of two models that share layers, such as a generator and its critic, compile the critic, freeze it, and compile the pair: each then
trains what it had when it was compiled. Keras 3 reads ``trainable`` in every step, and the critic would stand still in silence.

Rules: flags differ from what the script set only while a compiled model trains.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SNAPSHOT = "_stoker_trainable"

Flags = list[tuple[Any, bool]]


def remember(model: Any) -> None:
    """Note the flags of a model that has just been compiled, by identity: Keras saves what it finds in a model's attributes."""
    object.__setattr__(model, SNAPSHOT, {id(layer): flag for layer, flag in _flags(model)})


@contextmanager
def as_compiled(model: Any) -> Iterator[None]:
    """For the time of a call, give layers the flags that they had when the model was compiled."""
    known = vars(model).get(SNAPSHOT, {})
    now = _flags(model)
    if all(known.get(id(layer), flag) == flag for layer, flag in now):
        yield
        return
    _set([(layer, known.get(id(layer), flag)) for layer, flag in now])
    try:
        yield
    finally:
        _set(now)


def _flags(model: Any) -> Flags:
    return [(layer, layer.trainable) for layer in model._flatten_layers()]


def _set(flags: Flags) -> None:
    """Set flags, parents before what is in them, since a parent's flag is handed down."""
    for layer, flag in flags:
        layer.trainable = flag
