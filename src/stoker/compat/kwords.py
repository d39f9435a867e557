"""The names that the arguments of ``keras.backend`` had, for functions that are those of ``keras.ops`` but for these names.

Rules: data, and the one wrapper that reads it; arguments by position stay as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

OVER = ("x", "axis", "keepdims")
PAIR = ("x", "y")

WORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("sum", "mean", "prod", "max", "min", "any", "all", "std", "var", "logsumexp"), OVER),
    **dict.fromkeys(("equal", "not_equal", "greater", "greater_equal", "less", "less_equal", "maximum", "minimum",
                     "logical_and", "logical_or"), PAIR),
    "pow": ("x", "a"), "clip": ("x", "min_value", "max_value"), "cast": ("x", "dtype"), "reshape": ("x", "shape"), "stack": ("x", "axis"),
    "permute_dimensions": ("x", "pattern"), "squeeze": ("x", "axis"), "tile": ("x", "n"), "repeat_elements": ("x", "rep", "axis"),
    "reverse": ("x", "axes"), "softmax": ("x", "axis"), "elu": ("x", "alpha"), "stop_gradient": ("variables",), "map_fn": ("fn", "elems"),
    "one_hot": ("indices", "num_classes"), "binary_crossentropy": ("target", "output", "from_logits"),
    "categorical_crossentropy": ("target", "output", "from_logits", "axis"),
    "sparse_categorical_crossentropy": ("target", "output", "from_logits", "axis"),
}
"""Function -> Keras 2's names of its arguments, in their order; ``x`` alone where it is not here."""

DROPPED = {"map_fn": ("dtype", "name")}


def by_old_words(function: Callable[..., Any], words: tuple[str, ...]) -> Callable[..., Any]:
    """A function that takes its arguments by Keras 2's names too.

    Args:
        function: one of ``keras.ops`` that has the same arguments in the same order.
        words: their old names.
    """

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        given = list(arguments)
        for word in words[len(given):]:
            if word not in options:
                break
            given.append(options.pop(word))
        if words == WORDS["map_fn"]:
            options = {name: value for name, value in options.items() if name not in DROPPED["map_fn"]}
        return function(*given, **options)

    return call
