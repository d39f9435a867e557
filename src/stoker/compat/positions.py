"""Sizes and arguments by position as Keras 1 and 2 took them: ``Convolution2D(32, 3, 3)``, ``Dense(5, 'uniform')``.

Keras 1 and the Keras 2 that was a package of its own read whole numbers after the filters as the kernel's rows and columns;
``tensorflow.keras`` read the second of them as strides. Which of the two a script means, its imports say.

Rules: a kernel size read from ``Conv2D(n, rows, columns)`` is told; ``Convolution2D`` and its like are Keras 1's words and always mean it.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from keras import initializers

from stoker.compat.meant import takes_tensorflows
from stoker.compat.tell import Teller, script_place

SIZES = {"Conv2D": 2, "Conv3D": 3, "Conv2DTranspose": 2, "SeparableConv2D": 2, "Conv3DTranspose": 3, "ConvLSTM2D": 2}
"""Convolutions whose kernel sizes Keras 1 took as that many numbers after the filters."""

SIZE_WORDS = frozenset({
    "units", "filters", "kernel_size", "strides", "pool_size", "input_dim", "output_dim", "size", "n", "padding", "cropping",
    "dilation_rate", "target_shape", "depth_multiplier",
})
"""Arguments that are whole numbers, or tuples of such."""

ALWAYS_OLD = {
    "Convolution2D": "Conv2D", "Convolution3D": "Conv3D", "Deconvolution2D": "Conv2DTranspose", "SeparableConvolution2D": "SeparableConv2D",
    "AtrousConvolution2D": "Conv2D",
}
"""Keras 1's names of convolutions, whose arguments by position always are Keras 1's."""

INITS = {"uniform": "random_uniform", "normal": "random_normal", "zero": "zeros", "one": "ones"}
OLD = "_stoker_always_old"


def initializer(value: Any) -> Any:
    """An initializer by its new name."""
    return INITS.get(value, value) if isinstance(value, str) else value


def whole(value: Any) -> Any:
    """Numpy's integers, and floats that are whole, as Python's integers; tuples and lists part by part; all else as it is."""
    if isinstance(value, list | tuple):
        return tuple(whole(part) for part in value)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    is_whole = isinstance(value, np.integer) or (isinstance(value, float | np.floating) and float(value).is_integer())
    return int(value) if is_whole else value


def given_besides(name: str, kind: Any, given: dict[str, Any]) -> Any:
    """A name for a class under which it is given arguments that the script does not name; what it makes are instances of the class.

    Args:
        name: the name.
        kind: the class.
        given: the arguments.
    """

    class Named(type(kind)):  # type: ignore[misc]
        def __instancecheck__(cls, layer: Any) -> bool:
            return isinstance(layer, kind)

        def __call__(cls, *arguments: Any, **options: Any) -> Any:
            if cls is made:
                return kind(*arguments, **{**given, **options})
            return super().__call__(*arguments, **options)

    made = Named(name, (kind,), {"__doc__": kind.__doc__, "__module__": kind.__module__})
    return made


def through_tensorflow() -> bool:
    """Whether the script's file takes Keras from TensorFlow, and not from a package of its own."""
    filename = script_place()[0]
    found = _takes_tensorflows(filename)
    return takes_tensorflows(_cells()) if found is None else found


@lru_cache(maxsize=64)
def _takes_tensorflows(filename: str) -> bool | None:
    """The same for a file; None where it cannot be read, as that of a notebook's cell, beside which other cells come to stand."""
    try:
        text = Path(filename).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return takes_tensorflows(text)


def _cells() -> str:
    """What has been run of a notebook; nothing where there is none."""
    cells = getattr(sys.modules["__main__"], "In", None)
    return "\n".join(map(str, cells)) if isinstance(cells, list) else ""


def old_positions(kind: str, arguments: tuple[Any, ...], options: dict[str, Any], teller: Teller) -> tuple[Any, ...]:
    """The arguments by position of a layer as Keras 3 takes them; may put named ones into ``options``."""
    arguments = tuple(whole(argument) for argument in arguments[:1 + SIZES.get(kind, 1)]) + arguments[1 + SIZES.get(kind, 1):]
    is_old = options.pop(OLD, False)
    count = SIZES.get(kind)
    if count is not None:
        arguments = _kernel_sizes(kind, count, arguments, options, is_old, teller)
    return _initial(arguments, options) if kind == "Dense" or count is not None else arguments


def _kernel_sizes(
    kind: str, count: int, arguments: tuple[Any, ...], options: dict[str, Any], is_old: bool, teller: Teller
) -> tuple[Any, ...]:
    """``(32, 3, 3)`` and ``nb_row=3, nb_col=3`` as ``(32, (3, 3))``."""
    names = ("nb_row", "nb_col") if count == 2 else ("kernel_dim1", "kernel_dim2", "kernel_dim3")
    sizes = arguments[1:1 + count]
    given = [*sizes, *(options[name] for name in names[len(sizes):] if name in options)]
    by_name = any(name in options for name in names)
    if len(given) != count or not all(isinstance(size, int) for size in map(whole, given)):
        return arguments
    if not (is_old or by_name):
        if through_tensorflow():
            return arguments
        numbers = ", ".join(map(str, given))
        teller.tell(f"{kind}(n, {numbers})", f"the kernel is ({numbers}), as in Keras 1 and 2; write {kind}(n, ({numbers})).")
    for name in names:
        options.pop(name, None)
    if not arguments:
        options["kernel_size"] = whole(given)
        return arguments
    after = () if kind.endswith("Transpose") else arguments[1 + count:]  # output_shape, which follows from the rest
    return (arguments[0], whole(given), *after)


def _initial(arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
    """Keras 1's ``init`` and ``activation`` by position, which begin with the name of an initializer."""
    place = next((n for n, argument in enumerate(arguments) if isinstance(argument, str)), None)
    if place is None or arguments[place] in ("linear", "relu", "same", "valid") or len(arguments) > place + 2:
        return arguments
    try:
        initializers.get(initializer(arguments[place]))
    except ValueError:
        return arguments
    options["kernel_initializer"] = initializer(arguments[place])
    if len(arguments) == place + 2:
        options["activation"] = arguments[place + 1]
    return arguments[:place]
