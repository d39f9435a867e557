"""Looks up whether names of Keras are there, with the old names in place: the part of ``--check`` that imports Keras.

It runs in a process of its own, so that whoever asks keeps its Keras as it is: ``python -m stoker.compat.check_names`` reads dotted names
as JSON from its input and writes what it found to its output.

Rules: nothing of the script is imported, and TensorFlow is not: a name is looked up in Keras, scipy, and modules that are made.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import subprocess
import sys
from typing import Any

LIMIT_S = 120
MISSING = "It is not in Keras 3."


def resolve(names: list[str]) -> dict[str, str]:
    """What is known of names that cannot be used.

    Args:
        names: full names, such as ``keras.layers.MaxoutDense``; ``keras.layers.*`` is left out.

    Returns:
        Name -> what to write instead; names that can be used are not in it.
    """
    asked = sorted({name for name in names if not name.endswith("*")})
    try:
        done = subprocess.run([sys.executable, "-m", __name__], input=json.dumps(asked), capture_output=True, text=True, timeout=LIMIT_S)
        found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, ValueError):
        return {}  # no backend is installed: the tables have to do
    return found


def _remedy(name: str) -> str | None:
    from stoker.compat.lost import Lost

    value = _find(name)
    if value is None:
        return MISSING
    return value._lost_remedy if isinstance(value, Lost) else None


def _find(name: str) -> Any:
    """The object of a name; None where there is none."""
    from stoker.compat.lost import Lost

    parts = name.split(".")
    value: Any = None
    for count, part in enumerate(parts, 1):
        try:
            value = getattr(value, part) if value is not None else importlib.import_module(part)
        except AttributeError:
            value = None
        if value is None:
            with contextlib.suppress(ImportError):
                value = importlib.import_module(".".join(parts[:count]))
        if value is None or isinstance(value, Lost):
            return value
    return value


def main() -> None:
    """Read names, write those that cannot be used."""
    names = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        from stoker.compat.installation import install

        install()
        found = {name: remedy for name in names if (remedy := _remedy(name)) is not None}
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
