"""Whether another thread holds the GIL: sleep a moment, and see how late the thread comes back.

Waking up takes the GIL; a thread in pure Python, or in C code that keeps the GIL, gives it up only after the switch interval.
"""

from __future__ import annotations

import time

NAP_S = 50e-6


def lateness_s() -> float:
    """Sleep for 50 us; how much longer it took, in seconds."""
    began = time.perf_counter()
    time.sleep(NAP_S)
    return time.perf_counter() - began - NAP_S
