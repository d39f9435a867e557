"""Scripts written for Keras 1 and 2 run as they are: ``stoker run script.py``, or ``stoker.compat.install()`` as a script's first line.

Rules: opt-in; importing this changes nothing.
"""

from __future__ import annotations

from stoker.compat.installation import install
from stoker.compat.lost import NotInKeras3
from stoker.compat.tell import CompatWarning

__all__ = ["CompatWarning", "NotInKeras3", "install"]
