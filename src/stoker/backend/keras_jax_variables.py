"""What a model's variables hold on JAX while a call steps with arrays of its own.

A step gives the old state away (docs/decisions/004-donation.md), and so do Keras's own calls: ``predict_on_batch`` in a generator gives
away what the variables hold. No array therefore belongs to both. The variables hold copies, which are made anew when somebody looks: a
callback that only reads its logs costs no copy. Small arrays are copied by being put together and taken apart (``jax_bundle``), the others
one by one.

Rules: while a call runs, its thread finds the latest values in the variables, and what it assigns is taken up by the next step. Another
thread gets copies of what was handed out last, which may be from the beginning of the pass; that it has looked has newer values handed out
after the step under way, so that one that looks all the time is a step or two behind, and one that looks at several variables may find
them of different steps. It may do with its copies what it likes, and changes nothing: a ``predict`` that began there before a step and puts
its weights back after it would undo the step. Nobody waits for anybody, who might be waiting too. Arrays of the optimizer that are no
scalars are not copied: nobody but a training of the same model gives those away.

Where two threads call at once, a variable is with one call: the first, or one that trains in the place of one that does not. The other one
goes on with arrays of its own and puts nothing back, not even once the first has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import RLock, get_ident
from time import monotonic, sleep
from typing import Any

import jax
import jax.numpy as jnp

from stoker.backend.jax_bundle import Bundle, Parts, State

WATCH = "_stoker_watch"
KIND = "_stoker_kind"
HANDOVER = RLock()
"""Held for the moment in which a variable goes from one watch to another, or is set because it has not."""
PATIENCE_S = 1.0
"""How long another thread waits for an array that a call on the session's thread has given away and puts back in a moment."""
POLL_S = 1e-4


class Lent:
    """A variable, the array that it was given, and the array that stands for it in the session's state, if it stands there alone.

    Args:
        variable: the variable.
        is_copied: the variable and the state hold different arrays of equal values.
    """

    __slots__ = ("can_tell", "handed", "is_copied", "own", "variable")

    def __init__(self, variable: Any, is_copied: bool) -> None:
        self.variable = variable
        self.is_copied = is_copied
        self.can_tell = "_value" in vars(variable)
        """Whether the variable can tell who looks at it."""
        self.handed: Any = None
        self.own: Any = None

    @property
    def is_ours(self) -> bool:
        """Whether this thread's call has the variable; else a call on another thread has it, or has had it since."""
        watch = vars(self.variable).get(WATCH)
        return not self.can_tell or (watch is not None and watch.owner == get_ident())

    def found(self) -> Any:
        """What the state is to go on from: what the variable holds, or what it was last given if it is not ours any more."""
        return self.handed if not self.is_ours and _is_there(self.handed) else _held(self.variable)


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
        self.trains = False
        """Whether the call trains: its values count, and those of one on another thread that does not are none that anybody misses."""
        self.sees_all = True
        """Whether whoever looks at a variable is seen; else values are handed out before anybody may look."""
        self._lent: dict[int, Lent] = {}
        self._now: list[Lent] = []
        self._bundle = Bundle((), may_pack=False)
        self._together: list[Lent] = []
        """Variables whose arrays were put together, in the order of the bundle."""
        self._buffers: list[Any] | None = None
        """What they were put into, as long as the variables were given that."""

    def look_after(self, parts: Parts, optimizer: int | None) -> None:
        """Keep other threads from what a step is going to take, as far as it is there, before anything of the user's runs on them."""
        for place, part in enumerate(parts):
            for variable in part:
                self._lend(variable, place == optimizer)

    def values(self, parts: Parts, optimizer: int | None) -> Parts:
        """What the variables hold.

        Args:
            parts: variables in the order of the state.
            optimizer: the place of the optimizer's variables among the parts.
        """
        self._now = [self._lend(variable, place == optimizer) for place, part in enumerate(parts) for variable in part]
        for one in self._now:
            if not one.is_ours:  # a pass begins with what is there
                one.handed = one.own = None
        self._restore(self._now)
        return tuple([_held(variable) for variable in part] for part in parts)

    def take(self, bundle: Bundle) -> State:
        """The state of a step: arrays that the variables do not hold; what was assigned to them meanwhile is taken up."""
        together, alone = ([self._now[place] for place in places] for places in (bundle.together, bundle.alone))
        self._restore(self._now)
        if bundle is not self._bundle or self._buffers is None or any(one.found() is not one.handed for one in together):
            for one in together:
                one.handed = one.found()
            self._bundle, self._together = bundle, together
            self._buffers = bundle.gather([one.handed for one in together])
        changed = [one for one in alone if one.found() is not one.handed or one.own is None]
        if changed:
            self._take_up(changed)
        return self._buffers, [one.own for one in alone]

    def _lend(self, variable: Any, is_of_optimizer: bool) -> Lent:
        found = self._lent.get(id(variable))
        if found is None:
            is_copied = not is_of_optimizer or not variable.shape
            found = self._lent[id(variable)] = Lent(variable, is_copied)
            self.sees_all = _is_watched_by(self, variable) and self.sees_all
        return found

    def _restore(self, lent: list[Lent]) -> None:
        """Give variables whose array somebody has given away and not put back their last value, as far as it is there.

        A ``predict`` of Keras's own that is interrupted leaves nothing in them at all.
        """
        dead = [one for one in lent if one.is_ours and not _is_there(one.variable._value)]
        if not dead:
            return
        buffers = self._buffers if self._buffers is not None and _are_there(self._buffers) else None
        kept = {} if buffers is None else dict(zip(map(id, self._together), self._bundle.spread(buffers), strict=True))
        values = [(one, one.own if _is_there(one.own) else kept.get(id(one))) for one in dead]
        _put([(one, value) for one, value in values if value is not None])

    def _take_up(self, changed: list[Lent]) -> None:
        """What somebody has assigned becomes part of the state."""
        for one in changed:
            one.handed = one.found()
        copied = copies([one.handed for one in changed if one.is_copied])
        seen: set[int] = set()
        for one in changed:
            one.own = value = one.handed
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
        buffers, arrays = state
        alone = [self._now[place] for place in self._bundle.alone]
        if not _are_there([*buffers, *arrays]):
            self._buffers = None
            for one in alone:
                one.own = None
            return
        self._buffers = buffers
        for one, value in zip(self._together, self._bundle.spread(buffers), strict=True):
            one.handed = value
        pairs = list(zip(alone, arrays, strict=True))
        copied = iter([] if last else copies([value for one, value in pairs if one.is_copied]))
        for one, value in pairs:
            one.own = value
            one.handed = next(copied) if one.is_copied and not last else value
        _put([(one, one.handed) for one in (*self._together, *alone)])

    def settle(self, model: Any) -> None:
        """Fill variables that a call of Keras's own has emptied and not filled again, and let Keras forget that call.

        Keras keeps the state of a call that failed on the model (under names that are not public), and assigns it as soon as somebody looks
        at ``callback.model``, however many steps have run since. What is in a variable is therefore newer; what the session has is as new.
        """
        left = getattr(model, "_jax_state", None)
        if not left or model._jax_state_synced:
            return
        pairs = [pair for name, values in left.items() for pair in zip(_named(model, name), values or (), strict=False)]
        if any(_is_with_another(variable) for variable, _ in pairs):
            return  # that call may be under way on the other thread
        self._restore(list(self._lent.values()))
        for variable, value in pairs:
            if not _is_there(variable._value) and _is_there(value):
                variable._value = value
        model._jax_state_synced = True

    def close(self) -> None:
        """Let the variables be what they were; one whose array was given away and not put back gets its last value."""
        lent = list(self._lent.values())
        self._restore(lent)
        with HANDOVER:
            for one in lent:
                _let_go(self, one.variable)
        self._lent.clear()


_copied: Any = jax.jit(lambda values: [jnp.copy(value) for value in values])


def copies(values: list[Any]) -> list[Any]:
    """Copies of arrays, in one call to the device; made now, even where something is being traced."""
    if not values:
        return []
    with jax.ensure_compile_time_eval():
        made: list[Any] = _copied(values)
    return made


def _held(variable: Any) -> Any:
    """What a variable holds; one that nobody has used yet holds nothing, and makes it."""
    value = variable._value
    return variable.value if value is None else value


def _is_there(value: Any) -> bool:
    return value is not None and not (isinstance(value, jax.Array) and value.is_deleted())


def _are_there(values: list[Any]) -> bool:
    return all(map(_is_there, values))


def _put(values: list[tuple[Lent, Any]]) -> None:
    """Set arrays directly, as Keras's own trainer does: ``assign`` for every variable costs ten times a step."""
    with HANDOVER:
        for one, value in values:
            if not one.can_tell:
                one.variable._value = value
            elif one.is_ours:
                vars(one.variable)["_value"] = value


def _named(model: Any, name: str) -> Any:
    """Variables by the name that Keras has for them in its state."""
    return model.optimizer.variables if name == "optimizer_variables" else getattr(model, name)


def _is_with_another(variable: Any) -> bool:
    """Whether a call on another thread has a variable."""
    watch = vars(variable).get(WATCH)
    return watch is not None and watch.owner != get_ident()


def _is_watched_by(watch: Watch, variable: Any) -> bool:
    """Have a variable tell the watch who looks at it.

    Returns:
        Whether it does: one that has told another one from before goes on doing so, unless this call trains and that one, on another
        thread, does not. One that cannot tell does not.
    """
    if "_value" not in vars(variable):
        return False
    with HANDOVER:
        other = vars(variable).setdefault(WATCH, watch)
        if other is watch:
            kind: Any = type(variable)
            variable.__class__ = _watched_class(kind)
            return True
    if other.owner == watch.owner:
        other.trains = other.trains or watch.trains
        return False
    if other.trains or not watch.trains:
        return False
    value = _copy_for_another(variable)  # the other thread may be giving away what is there
    with HANDOVER:
        if vars(variable).get(WATCH) is other:
            vars(variable).update({WATCH: watch, "_value": value})
            return True
    return _is_watched_by(watch, variable)


def _let_go(watch: Watch, variable: Any) -> None:
    """Let a variable be what it was, if it is still this watch that it tells."""
    if vars(variable).get(WATCH) is watch:
        variable.__class__ = getattr(type(variable), KIND, type(variable))
        del vars(variable)[WATCH]


@cache
def _watched_class(kind: Any) -> type:
    return type(kind.__name__, (kind,), {"_value": property(_get, _set), "__module__": kind.__module__, KIND: kind})


def _get(variable: Any) -> Any:
    """What a variable holds, as its thread, or another, finds it."""
    watch = vars(variable).get(WATCH)
    if watch is None:  # the call has ended this moment
        return vars(variable)["_value"]
    if watch.owner != get_ident():
        watch.is_wanted = True
        return _copy_for_another(variable)
    if watch.is_stale:
        watch.refresh()
    return vars(variable)["_value"]


def _set(variable: Any, value: Any) -> None:
    watch = vars(variable).get(WATCH)
    if watch is not None and watch.owner == get_ident() and watch.is_stale:
        watch.refresh()
    with HANDOVER:
        watch = vars(variable).get(WATCH)
        if watch is None or watch.owner == get_ident():
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
