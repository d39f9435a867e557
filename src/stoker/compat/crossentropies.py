"""``K.binary_crossentropy`` and its like, which Keras 1, and the first versions of Keras 2, called with the output before the target.

Keras turned the two around without a word, and a script that has them the other way round trains on nonsense. The line of the call says it
by the names of what it passes; where they say nothing, a file that has words of Keras 1 means Keras 1's order.

Rules: arguments by name mean what they say; where the two are turned around, that is told.
"""

from __future__ import annotations

import functools
import linecache
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from stoker.compat.meant import is_keras_1s
from stoker.compat.tell import Teller, script_place

NAMES = ("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy")

CALL = re.compile(r"\bK\w*\.(?:sparse_)?(?:binary|categorical)_crossentropy\(([^,]*),([^,)]*)")
TARGET = re.compile(r"true|target|label", re.IGNORECASE)
OUTPUT = re.compile(r"pred|output|logit|prob|decoded", re.IGNORECASE)


def in_order(name: str, function: Callable[..., Any], teller: Teller) -> Callable[..., Any]:
    """One of the functions, as one that takes target and output in the order that the script means.

    Args:
        name: its name.
        function: it, which takes the target first.
        teller: tells where the two are turned around.
    """

    @functools.wraps(function)
    def crossentropy(*arguments: Any, **options: Any) -> Any:
        if len(arguments) > 1 and _is_output_first(*script_place()):
            teller.tell(f"K.{name}(output, target)", "the output comes first, as in Keras 1; write it with target= and output=.")
            arguments = (arguments[1], arguments[0], *arguments[2:])
        return function(*arguments, **options)

    return crossentropy


@lru_cache(maxsize=256)
def _is_output_first(filename: str, line: int) -> bool:
    found = CALL.search(linecache.getline(filename, line))
    first, second = found.groups() if found else ("", "")
    for argument, of_keras_2, of_keras_1 in ((first, TARGET, OUTPUT), (second, OUTPUT, TARGET)):
        if of_keras_2.search(argument) or of_keras_1.search(argument):
            return not of_keras_2.search(argument)
    return is_keras_1s("".join(linecache.getlines(filename)))
