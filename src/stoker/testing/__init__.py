"""Doubles for tests of code that feeds from sources: sources that count, fail, hang and die.

Rules: behave as real sources do; top-level classes, so that they travel to worker processes by reference.
"""

from stoker.testing.sources import Counting, DyingAt, FailingAt, HangingAt, NoisyCounting, StopsInside, digest

__all__ = ["Counting", "DyingAt", "FailingAt", "HangingAt", "NoisyCounting", "StopsInside", "digest"]
