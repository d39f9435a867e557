"""The part of ``keras.backend`` that makes, reads and sets values, tells shapes, and knew of sessions and phases.

Rules: what had to do with TensorFlow's sessions does nothing and says so once; the phase is that of the call in which it is asked for.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.backend.common import global_state

from stoker.compat import kvariables
from stoker.compat.loose import Loose
from stoker.compat.tell import Teller

ORDERINGS = {"tf": "channels_last", "th": "channels_first"}


def constant(value: Any, dtype: str | None = None, shape: Any = None, name: str | None = None) -> Any:
    """A tensor of a value."""
    made = ops.convert_to_tensor(value, dtype=dtype or keras.config.floatx())
    if shape is None:
        return made
    return ops.reshape(made, shape) if made.shape != () else ops.broadcast_to(made, shape)


def eye(size: int, dtype: str | None = None, name: str | None = None) -> Any:
    """The unit matrix."""
    return ops.eye(size, dtype=dtype or keras.config.floatx())


def arange(start: Any, stop: Any = None, step: int = 1, dtype: str = "int32") -> Any:
    """Whole numbers in a row."""
    return ops.arange(start, stop, step, dtype=dtype)


def placeholder(shape: Any = None, ndim: int | None = None, dtype: str | None = None, sparse: bool = False, name: str | None = None) -> Any:
    """A symbolic tensor that is an input, of which a model can be made."""
    dims = tuple(shape) if shape is not None else (None,) * (ndim or 0)
    if not dims:
        return keras.KerasTensor(dims, dtype=dtype or keras.config.floatx(), name=name)  # an input has rows
    return keras.Input(batch_shape=dims, dtype=dtype or keras.config.floatx(), name=name)


def get_value(x: Any) -> Any:
    """The value of a variable or tensor, as numpy; of a plain number, itself."""
    return ops.convert_to_numpy(x) if ops.is_tensor(x) or isinstance(x, keras.Variable) else x


def set_value(x: Any, value: Any) -> None:
    """Set a variable."""
    x.assign(ops.cast(ops.convert_to_tensor(np.asarray(value)), x.dtype))


def batch_get_value(tensors: Any) -> list[Any]:
    """The values of several."""
    return [get_value(tensor) for tensor in tensors]


def batch_set_value(tuples: Any) -> None:
    """Set several variables, given as ``(variable, value)``."""
    for target, value in tuples:
        set_value(target, value)


def update(x: Any, new_x: Any) -> Any:
    """Set a variable from a tensor; within a layer's call, where the call trains."""
    return x if _is_idle() else x.assign(new_x)


def update_add(x: Any, increment: Any) -> Any:
    """Add to a variable; within a layer's call, where the call trains."""
    return update(x, x + increment)


def update_sub(x: Any, decrement: Any) -> Any:
    """Take from a variable; within a layer's call, where the call trains."""
    return update(x, x - decrement)


def moving_average_update(x: Any, value: Any, momentum: float) -> Any:
    """Move a variable towards a value; within a layer's call, where the call trains."""
    return update(x, ops.add(ops.multiply(x, momentum), ops.multiply(value, 1.0 - momentum)))


def _is_idle() -> bool:
    """Whether a layer is called by what does not train; Keras 2 ran the updates of layers while it trained, and then alone."""
    context = _call()
    return context is not None and not getattr(context, "training", False)


def ndim(x: Any) -> int:
    """How many axes."""
    return len(x.shape)


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape as it is known."""
    return tuple(x.shape)


def dtype(x: Any) -> str:
    """The dtype's name."""
    return str(keras.backend.standardize_dtype(x.dtype))


def count_params(x: Any) -> int:
    """How many values."""
    return int(np.prod(x.shape))


def cast_to_floatx(x: Any) -> Any:
    """As floatx: tensors as tensors, all else as numpy."""
    return ops.cast(x, keras.config.floatx()) if ops.is_tensor(x) else np.asarray(x, dtype=keras.config.floatx())


def print_tensor(x: Any, message: str = "") -> Any:
    """``x`` itself; nothing is printed inside compiled steps."""
    return x


def is_placeholder(x: Any) -> bool:
    """Whether it is an input of a graph."""
    history = getattr(x, "_keras_history", None)
    return history is not None and isinstance(history[0], keras.layers.InputLayer)


def is_sparse(tensor: Any) -> bool:
    """Whether most of it is not stored."""
    return bool(getattr(tensor, "sparse", False))


def to_dense(tensor: Any) -> Any:
    """The tensor: nothing here is sparse."""
    return tensor


def reset_uids() -> None:
    """Begin to number layers anew."""
    keras.backend.clear_session(free_memory=False)


def image_dim_ordering() -> str:
    """``tf`` or ``th``."""
    return next(old for old, new in ORDERINGS.items() if new == keras.config.image_data_format())


def set_image_dim_ordering(dim_ordering: str) -> None:
    """Set it by Keras 1's names."""
    keras.config.set_image_data_format(ORDERINGS.get(dim_ordering, dim_ordering))


def learning_phase() -> int:
    """1 inside a call that trains, else 0."""
    return int(bool(getattr(_call(), "training", False)))


def _call() -> Any:
    """Keras's context of the call of the outermost layer; None outside of such calls."""
    return global_state.get_global_attribute("current_call_ctx")  # has no public counterpart


def in_train_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """``x`` while training, else ``alt``."""
    chosen = x if (learning_phase() if training is None else training) else alt
    return chosen() if callable(chosen) else chosen


def in_test_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """``x`` unless training, else ``alt``."""
    return in_train_phase(alt, x, training)


OWN = (
    constant, eye, arange, placeholder, get_value, set_value, batch_get_value,
    batch_set_value, update, update_add, update_sub, moving_average_update,
    ndim, int_shape, dtype, count_params, cast_to_floatx, print_tensor, is_placeholder, is_sparse, to_dense, reset_uids,
    image_dim_ordering, set_image_dim_ordering, learning_phase, in_train_phase, in_test_phase,
)

NO_OPS = {
    "set_session": "Keras 3 has no sessions; this does nothing. Remove the line.",
    "set_learning_phase": "layers know themselves whether they train; this does nothing. Pass training= to the call instead.",
    "manual_variable_initialization": "variables have their values at once; this does nothing. Remove the line.",
}


def functions(teller: Teller, loose: Loose) -> dict[str, Any]:
    """Every function by its old name."""
    from stoker.compat.tensorflow1 import Anything

    def no_op(name: str, text: str) -> Any:
        return lambda *arguments, **options: teller.tell(f"K.{name}", text)

    def get_session() -> Any:
        teller.tell("K.get_session", "Keras 3 has no sessions; what is returned does nothing. Remove the line.")
        return Anything("session")

    made = {function.__name__: function for function in OWN}
    silent = {name: no_op(name, text) for name, text in NO_OPS.items()}
    others = {"eval": get_value, "get_variable_shape": int_shape, "py_all": all, "get_session": get_session}
    return {**made, **kvariables.functions(loose), **silent, **others}
