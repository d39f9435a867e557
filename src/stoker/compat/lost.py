"""Stands for names of Keras 1 and 2 that have no meaning any more: importing one is fine, using it is an error.

Rules: the error names the script's line and what to write instead.
"""

from __future__ import annotations

from typing import Any, NoReturn

from stoker.compat.tell import script_place
from stoker.errors import StokerError


class NotInKeras3(StokerError, NotImplementedError):
    """A name that Keras 3 has not, and that stoker cannot give a meaning."""


class Lost:
    """What a lost name is bound to.

    Args:
        name: its full old name.
        remedy: what to write instead.
    """

    def __init__(self, name: str, remedy: str) -> None:
        self._lost_name = name
        self._lost_remedy = remedy

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        fail(self._lost_name, self._lost_remedy)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        fail(f"{self._lost_name}.{name}", self._lost_remedy)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        fail(self._lost_name, self._lost_remedy)


def fail(name: str, remedy: str) -> NoReturn:
    """Raise the error of a lost name."""
    filename, line = script_place()
    raise NotInKeras3(f"{name} does not exist in Keras 3", where=f"{filename}:{line}", remedy=remedy)
