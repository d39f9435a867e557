"""What a model's variables hold on JAX while a call steps with arrays of its own.

A step gives the old state away (docs/decisions/004-donation.md), and so do Keras's own calls: ``predict_on_batch`` in a generator gives
away what the variables hold. No array therefore belongs to both. The variables hold copies, which are made anew when somebody looks: a
callback that only reads its logs costs no copy.

Rules: while a call runs, its thread finds the latest values in the variables, and what it assigns is taken up by the next step. Another
thread gets copies, a step or two old, may do with them what it likes, and changes nothing: a ``predict`` that began there before a step
and puts its weights back after it would undo the step. Arrays of the optimizer that are no scalars are not copied: nobody but a training
of the same model gives those away.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import get_ident
from time import monotonic, sleep
from typing import Any

import jax
import jax.numpy as jnp

WATCH = "_stoker_watch"
PATIENCE_S = 1.0
"""How long another thread waits for an array that a call on the session's thread has given away and puts back in a moment."""
POLL_S = 1e-4

State = tuple[list[Any], ...]
"""Arrays as a step takes them: trainable, others, of the optimizer, of metrics, as far as the phase has them."""


class Lent:
    """A variable, the array that it was given, and the array that stands for it in the session's state.

    Args:
        variable: the variable.
        is_copied: the variable and the state hold different arrays of equal values.
        kind: the class of the variable, if it is watched for the time of the call.
    """

    __slots__ = ("handed", "is_copied", "kind", "own", "variable")

    def __init__(self, variable: Any, is_copied: bool, kind: type | None) -> None:
        self.variable = variable
        self.is_copied = is_copied
        self.kind = kind
        self.handed: Any = None
        self.own: Any = None


class Watch:
    """The variables of one call.

    ``is_stale`` says that the session has newer values than the variables; ``is_wanted`` that another thread has looked.

    Args:
        refresh: hands the latest values out.
    """

    def __init__(self, refresh: Callable[[], None]) -> None:
        self.owner = get_ident()
        self.refresh = refresh
        self.is_stale = False
        self.is_wanted = False
        self.sees_all = True
        """Whether whoever looks at a variable is seen; else values are handed out before anybody may look."""
        self._lent: dict[int, Lent] = {}
        self._parts: tuple[list[Any], ...] = ()
        self._now: list[list[Lent]] = []

    def look_after(self, parts: tuple[list[Any], ...], optimizer: int | None) -> None:
        """Keep other threads from what a step is going to take, as far as it is there, before anything of the user's runs on them."""
        for place, part in enumerate(parts):
            for variable in part:
                self._lend(variable, place == optimizer)

    def take(self, parts: tuple[list[Any], ...], optimizer: int | None) -> State:
        """The state of a step: arrays that the variables do not hold; what was assigned to them meanwhile is taken up.

        Args:
            parts: variables in the order of the state.
            optimizer: the place of the optimizer's variables among the parts.
        """
        if parts is not self._parts:
            self._now = [[self._lend(variable, place == optimizer) for variable in part] for place, part in enumerate(parts)]
            self._parts = parts
        changed = [one for part in self._now for one in part if one.variable._value is not one.handed or one.own is None]
        if changed:
            self._take_up(changed)
        return tuple([[one.own for one in part] for part in self._now])

    def _lend(self, variable: Any, is_of_optimizer: bool) -> Lent:
        found = self._lent.get(id(variable))
        if found is None:
            is_copied = not is_of_optimizer or not variable.shape
            found = self._lent[id(variable)] = Lent(variable, is_copied, _watched(variable, self))
            self.sees_all = self.sees_all and found.kind is not None
        return found

    def _take_up(self, changed: list[Lent]) -> None:
        """What somebody has assigned becomes part of the state; of what he has taken away the state has the last."""
        given = [(one, one.variable._value) for one in changed]
        given = [(one, one.variable.value if value is None else value) for one, value in given if _is_there(value) or one.own is None]
        copied = copies([value for one, value in given if one.is_copied])
        seen: set[int] = set()
        for one, value in given:
            one.handed = one.own = value
            if one.is_copied:
                one.own = copied.pop(0)
            elif id(value) in seen:
                one.own = copies([value])[0]  # one array cannot be given away twice
            seen.add(id(value))

    def hand_out(self, state: State, *, last: bool = False) -> None:
        """Give the variables the values of a state; ``last``: the arrays themselves, because no step will take them.

        The order of what is in the state is that of the last ``take``. A state that a failing step has consumed is none: the variables keep
        what they hold, and the next step begins from there.
        """
        self.is_stale = False
        pairs = [pair for part, values in zip(self._now, state, strict=True) for pair in zip(part, values, strict=True)]
        if not all(_is_there(value) for _, value in pairs):
            for one, _ in pairs:
                one.own = None
            return
        copied = iter([] if last else copies([value for one, value in pairs if one.is_copied]))
        for one, value in pairs:
            one.own = value
            one.handed = next(copied) if one.is_copied and not last else value
            _put(one.variable, one.handed)

    def close(self) -> None:
        """Let the variables be what they were; one whose array was given away and not put back gets its last value."""
        for one in self._lent.values():
            if one.kind is None:
                continue
            held = vars(one.variable)
            del held[WATCH]
            one.variable.__class__ = one.kind
            if not _is_there(held["_value"]) and one.own is not None:
                held["_value"] = one.own
        self._lent.clear()


_copied: Any = jax.jit(lambda values: [jnp.copy(value) for value in values])


def copies(values: list[Any]) -> list[Any]:
    """Copies of arrays, in one call to the device; made now, even where something is being traced."""
    if not values:
        return []
    with jax.ensure_compile_time_eval():
        made: list[Any] = _copied(values)
    return made


def _is_there(value: Any) -> bool:
    return value is not None and not (isinstance(value, jax.Array) and value.is_deleted())


def _put(variable: Any, value: Any) -> None:
    """Set an array directly, as Keras's own trainer does: ``assign`` for every variable costs ten times a step."""
    watch = vars(variable).get(WATCH)
    if watch is not None and watch.owner == get_ident():
        vars(variable)["_value"] = value
    else:
        variable._value = value


def _watched(variable: Any, watch: Watch) -> Any:
    """Have a variable tell the watch who looks at it; None where it has told another one from before, or cannot.

    Returns:
        The class that it is to have again.
    """
    kind: Any = type(variable)
    if WATCH in vars(variable) or "_value" not in vars(variable):
        return None
    vars(variable)[WATCH] = watch
    variable.__class__ = _watched_class(kind)
    return kind


@cache
def _watched_class(kind: Any) -> type:
    return type(kind.__name__, (kind,), {"_value": property(_get, _set), "__module__": kind.__module__})


def _get(variable: Any) -> Any:
    """What a variable holds, as its thread, or another, finds it."""
    watch = vars(variable)[WATCH]
    if watch.owner != get_ident():
        watch.is_wanted = True
        return _copy_for_another(variable)
    if watch.is_stale:
        watch.refresh()
    return vars(variable)["_value"]


def _set(variable: Any, value: Any) -> None:
    watch = vars(variable)[WATCH]
    if watch.owner != get_ident():
        return
    if watch.is_stale:
        watch.refresh()
    vars(variable)["_value"] = value


def _copy_for_another(variable: Any) -> Any:
    deadline_s = monotonic() + PATIENCE_S
    while True:
        value = vars(variable)["_value"]
        try:
            return copies([value])[0]
        except (RuntimeError, ValueError, TypeError):
            if monotonic() > deadline_s:
                raise
        sleep(POLL_S)
