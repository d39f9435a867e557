"""Tells callbacks what happens: Keras's, old style and new, and objects that merely have the methods.

Rules: which hooks a callback overrides is looked up once, before the loop; a hook that nobody overrides costs nothing; hooks run in
order, on the caller's thread, and see the model's latest weights; callbacks share one dict of epoch logs, and what one adds the next
sees, History last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from stoker.backend.protocol import Backend, Raw, Session
from stoker.errors import OptionTypeError

EVENTS = (
    "train_begin", "train_end", "epoch_begin", "epoch_end", "train_batch_begin", "train_batch_end", "test_begin", "test_end",
    "test_batch_begin", "test_batch_end", "predict_begin", "predict_end", "predict_batch_begin", "predict_batch_end",
)
OLD_NAMES = {"train_batch_begin": "on_batch_begin", "train_batch_end": "on_batch_end"}

Hook = Callable[..., Any]


class BatchLogs(dict[str, Any]):
    """Logs of one batch: ``batch``, ``size``, loss and metrics; read from the device when first looked at.

    Args:
        batch: the number of the batch in its epoch.
        size: its rows.
        read: reads loss and metrics.
    """

    def __init__(self, batch: int, size: int, read: Callable[[], dict[str, Any]] | None) -> None:
        super().__init__(batch=batch, size=size)
        self._read = read

    def _fill(self) -> None:
        if self._read is not None:
            read, self._read = self._read, None
            for name, value in read().items():
                dict.setdefault(self, name, value)

    def __missing__(self, key: str) -> Any:
        if self._read is None:
            raise KeyError(key)
        self._fill()
        return self[key]

    def __contains__(self, key: object) -> bool:
        self._fill()
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        self._fill()
        return super().__iter__()

    def __len__(self) -> int:
        self._fill()
        return super().__len__()

    def __repr__(self) -> str:
        self._fill()
        return super().__repr__()

    def __eq__(self, other: object) -> bool:
        self._fill()
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __reversed__(self) -> Iterator[str]:
        self._fill()
        return super().__reversed__()

    def __delitem__(self, key: str) -> None:
        self._fill()
        super().__delitem__(key)

    def __reduce__(self) -> Any:
        return (dict, (dict(self.items()),))

    def __or__(self, other: Any) -> Any:
        return dict(self.items()) | other

    def __ror__(self, other: Any) -> Any:
        return other | dict(self.items())

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or ``default``."""
        self._fill()
        return super().get(key, default)

    def keys(self) -> Any:
        """Names."""
        self._fill()
        return super().keys()

    def values(self) -> Any:
        """Values."""
        self._fill()
        return super().values()

    def items(self) -> Any:
        """Names and values."""
        self._fill()
        return super().items()

    def copy(self) -> dict[str, Any]:
        """A plain dict."""
        return dict(self.items())

    def pop(self, key: str, *default: Any) -> Any:
        """Take a value out."""
        self._fill()
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        """Take the last value out."""
        self._fill()
        return super().popitem()

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value; ``default``, from now on, where there is none."""
        self._fill()
        return super().setdefault(key, default)


class Callbacks:
    """The callbacks of one call.

    Args:
        callbacks: None, one callback, or lists of them; a ``CallbackList`` gives those it holds.
        backend: knows the class whose hooks do nothing.
        model: the model that is trained.
    """

    def __init__(self, callbacks: Any, backend: Backend, model: Any) -> None:
        self.all = list(_flat(callbacks, backend.callback_list))
        for callback in self.all:
            _check(callback)
        self._backend = backend
        self._model = model
        self._session: Session | None = None
        self._hooks: dict[str, list[Hook]] = {}

    def add_last(self, callback: Any) -> None:
        """Take one more callback, to be told after all others."""
        self.all.append(callback)

    def introduce(self, params: dict[str, Any]) -> None:
        """Tell every callback the model and the parameters, and look up the hooks that they override."""
        for callback in self.all:
            _call_if_there(callback, "set_params", params)
            _call_if_there(callback, "set_model", self._model)
        self._hooks = {event: [hook for callback in self.all for hook in self._find(callback, event)] for event in EVENTS}

    def attach(self, session: Session | None) -> None:
        """From now on publish the session's state before hooks run."""
        self._session = session

    def _find(self, callback: Any, event: str) -> list[Hook]:
        """The hook of a callback for an event, if it overrides it."""
        if "_batch_" in event and self._backend.ignores_batches(callback):
            return []
        for name in (f"on_{event}", OLD_NAMES.get(event)):
            if name is not None and self._overrides(callback, name):
                return [getattr(callback, name)]
        return []

    def _overrides(self, callback: Any, name: str) -> bool:
        if name in getattr(callback, "__dict__", ()):
            return callback.__dict__[name] is not None
        mine = getattr(type(callback), name, None)
        return mine is not None and mine is not getattr(self._backend.callback_base, name, None)

    def hears(self, event: str) -> bool:
        """Whether any callback overrides the hook of an event."""
        return bool(self._hooks.get(event))

    def tell(self, event: str, *arguments: Any) -> None:
        """Run the hooks of an event."""
        hooks = self._hooks.get(event)
        if not hooks:
            return
        if self._session is not None:
            self._session.publish()
        for hook in hooks:
            hook(*arguments)

    def tell_train_end(self, logs: dict[str, Any], *, finished: bool) -> None:
        """Run the hooks of the end of training; of one that failed, but for those that would take it for a success."""
        if not finished:
            kept = [callback for callback in self.all if not self._backend.ends_only_if_finished(callback)]
            self._hooks["train_end"] = [hook for callback in kept for hook in self._find(callback, "train_end")]
        self.tell("train_end", logs)

    def batch_begin(self, phase: str) -> Callable[[int, int], None] | None:
        """What is to be called before each batch of a phase with its number and size; None if nobody wants to know."""
        event = f"{phase}_batch_begin"
        if not self.hears(event):
            return None
        return lambda batch, size: self.tell(event, batch, BatchLogs(batch, size, None))

    def batch_end(self, phase: str) -> Callable[[int, int, Raw], None] | None:
        """What is to be called after each batch of a phase with its number, size and raw result; None if nobody wants to know."""
        event = f"{phase}_batch_end"
        session = self._session
        if not self.hears(event) or session is None:
            return None
        if phase == "predict":
            return lambda batch, size, raw: self.tell(
                event, batch, BatchLogs(batch, size, lambda: {"outputs": session.outputs(raw)}))
        return lambda batch, size, raw: self.tell(event, batch, BatchLogs(batch, size, lambda: session.read(raw)))


def _flat(callbacks: Any, callback_list: Any) -> Iterator[Any]:
    if callbacks is None:
        return
    if isinstance(callbacks, tuple | list):
        for callback in callbacks:
            yield from _flat(callback, callback_list)
    elif isinstance(callbacks, callback_list):
        yield from callbacks.callbacks
    else:
        yield callbacks


def _check(callback: Any) -> None:
    """Refuse what cannot be a callback.

    Raises:
        OptionTypeError: a class, or an object that has no hook at all.
    """
    if isinstance(callback, type):
        raise OptionTypeError(
            "a callback is a class", got=callback.__name__, expected="an object", remedy=f"Pass {callback.__name__}(), with brackets.")
    hooks = (f"on_{event}" for event in EVENTS)
    if not any(hasattr(callback, name) for name in (*hooks, *OLD_NAMES.values(), "set_model")):
        raise OptionTypeError(
            "this is no callback", got=f"{type(callback).__name__} {callback!r}"[:80], expected="keras.callbacks.Callback",
            remedy="Pass objects whose class is a keras.callbacks.Callback.")


def _call_if_there(callback: Any, name: str, argument: Any) -> None:
    method = getattr(callback, name, None)
    if method is not None:
        method(argument)
