"""``l1_l2`` of Keras 2 and ``l1l2`` of Keras 1: functions, whose factors were 0.01 where the script gave none.

In Keras 3 ``l1_l2`` is the class ``L1L2``, whose factors are 0, so that ``l1_l2()`` would regularize nothing.

Rules: the class keeps its own defaults, which it had before; a factor that the script leaves out is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras.src import regularizers  # where Keras itself looks names up

from stoker.compat.patching import wrap
from stoker.compat.tell import Teller

NAMES = ("l1_l2", "l1l2", "activity_l1l2")
FACTOR = 0.01
LEFT_OUT = object()


def complete(teller: Teller) -> None:
    """Put the function under its names, and let layers find it by them."""

    def l1_l2(l1: Any = LEFT_OUT, l2: Any = LEFT_OUT) -> Any:
        """A regularizer of absolute values and of squares."""
        if LEFT_OUT in (l1, l2):
            teller.tell("l1_l2()", f"a factor that is left out is {FACTOR}, as in Keras 1 and 2; write l1_l2(l1=..., l2=...).")
        return keras.regularizers.L1L2(*(FACTOR if factor is LEFT_OUT else factor for factor in (l1, l2)))

    def by_name(original: Callable[..., Any]) -> Callable[..., Any]:
        def get(identifier: Any) -> Any:
            is_named = isinstance(identifier, str) and identifier in NAMES
            is_own = is_named and keras.saving.get_registered_object(identifier) is not None
            return l1_l2() if is_named and not is_own else original(identifier)

        return get

    for name in NAMES:
        setattr(keras.regularizers, name, l1_l2)
    wrap(regularizers, "get", by_name)
    keras.regularizers.get = regularizers.get
