"""Which Keras a script means, by its text: the package of its own, or TensorFlow's; the first, or a later one.

Rules: reads text alone and imports no Keras; a script that imports both means the package of its own.
"""

from __future__ import annotations

import re


def takes_tensorflows(text: str) -> bool:
    """Whether a script takes Keras from TensorFlow, and not from a package of its own.

    Args:
        text: the script.
    """
    of_its_own = re.search(r"^\s*(from|import)\s+keras\b", text, re.MULTILINE)
    return not of_its_own and bool(re.search(r"tensorflow\S*\s+import\s+keras|tensorflow\S*\.keras|\btf\.keras", text))


def is_keras_1s(text: str) -> bool:
    """Whether a script has words of Keras 1.

    Args:
        text: the script.
    """
    return bool(re.search(r"\b(nb_epoch|samples_per_epoch|nb_val_samples|nb_filter|border_mode|W_regularizer|inner_activation)\b", text))
