"""Which Keras a script means, by its text: the package of its own, or TensorFlow's.

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
