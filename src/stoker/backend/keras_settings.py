"""What a recorded step took for granted: every attribute of a model's Keras objects.

Keras's Python reads attributes at each step, such as the rate of a ``Dropout`` or ``trainable``; a recording has what they were then.

Rules: an attribute has changed if it is another object, and not equal; the containers that Keras's objects hold are looked into.
"""

from __future__ import annotations

from typing import Any

import keras

UNUSED = frozenset({
    "history", "stop_training", "stop_evaluating", "stop_predicting", "train_function", "test_function", "predict_function",
    "_initial_epoch", "_stoker_programs", "_stoker_calls", "_torch_params",
})
"""Attributes that no step reads, or that Keras makes anew of others."""
MOST = 100_000
"""More settings take longer to look at than a recording saves: a model that keeps its data in a list has as many."""
NODES = frozenset({"_inbound_nodes", "_outbound_nodes"})
"""How layers were called when the model was made."""


class Settings:
    """The attributes of all Keras objects, and torch modules, that a model reaches, as they are now.

    Args:
        model: a Keras model.
    """

    def __init__(self, model: Any) -> None:
        self._kept: list[tuple[Any, Any]] = []
        self._partly: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._seen: set[int] = set()
        self._count = 0
        queue = [model]
        while queue and self._count <= MOST:
            queue += self._within(queue.pop())

    def hold(self) -> bool:
        """Whether nothing has changed since; takes 20 to 40 ns an attribute. False also where there are too many of them."""
        if self._count > MOST:
            return False
        try:
            return all(now == kept for now, kept in self._kept) and all(_used(now) == kept for now, kept in self._partly)
        except Exception:  # arrays in the place of others, which have no one truth value
            return False

    def _within(self, thing: Any) -> list[Any]:
        """Keep what a thing holds, and give it."""
        is_container = isinstance(thing, list | tuple | dict)
        is_object = _is_of_kerass(type(thing)) and not isinstance(thing, keras.KerasTensor) and hasattr(thing, "__dict__")
        if not (is_container or is_object) or id(thing) in self._seen:
            return []
        self._seen.add(id(thing))
        self._count += len(thing if is_container else vars(thing))
        if isinstance(thing, list | tuple):
            self._kept.append((thing, thing[:]))
            return list(thing)
        attributes = thing if isinstance(thing, dict) else vars(thing)
        if UNUSED & attributes.keys():
            self._partly.append((attributes, _used(attributes)))
        else:
            self._kept.append((attributes, dict(attributes)))
        return [value for name, value in attributes.items() if name not in UNUSED and name not in NODES]


def _is_of_kerass(kind: type) -> bool:
    """Whether objects of a class are Keras's, or PyTorch's within them, be it by a base of theirs."""
    return any(base.__module__.startswith(("keras.", "torch.nn.")) for base in kind.__mro__)


def _used(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in UNUSED}
