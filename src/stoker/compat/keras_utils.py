"""Functions that ``keras.utils`` had: one-hot codes, several GPUs, generic helpers.

Rules: ``multi_gpu_model`` gives the model itself, and says so once.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from stoker.compat.enqueuers import GeneratorEnqueuer, OrderedEnqueuer
from stoker.compat.lost import fail
from stoker.compat.tell import Teller


def conv_output_length(length: int | None, kernel: int, padding: str, stride: int, dilation: int = 1) -> int | None:
    """Length of a convolution's output."""
    if length is None:
        return None
    wide = kernel + (kernel - 1) * (dilation - 1)
    made = {"same": length, "valid": length - wide + 1, "causal": length, "full": length + wide - 1}[padding]
    return (made + stride - 1) // stride


def normalize_tuple(value: Any, n: int, name: str) -> tuple[int, ...]:
    """One number, or ``n`` of them, as ``n``."""
    made = (value,) * n if isinstance(value, int) else tuple(value)
    if len(made) != n:
        raise ValueError(f"{name} takes {n} numbers, got {value!r}")
    return made


def normalize_data_format(value: str | None) -> str:
    """The format of images, by default Keras's."""
    return value or str(keras.config.image_data_format())


def to_list(x: Any) -> list[Any]:
    """``x`` as a list."""
    return x if isinstance(x, list) else [x]


def probas_to_classes(y_pred: Any) -> Any:
    """The class of each row."""
    return np.argmax(y_pred, axis=1) if len(y_pred.shape) > 1 and y_pred.shape[1] > 1 else np.array([1 if p > 0.5 else 0 for p in y_pred])


def categorical_probas_to_classes(p: Any) -> Any:
    """The largest of each row."""
    return np.argmax(p, axis=1)


def print_summary(model: Any, line_length: int | None = None, positions: Any = None, print_fn: Any = None) -> None:
    """The model's summary."""
    model.summary(line_length=line_length, positions=positions, print_fn=print_fn)


def convert_kernel(kernel: Any) -> Any:
    """Flip a kernel's axes of space, as between Theano and TensorFlow."""
    kernel = np.asarray(kernel)
    return np.copy(kernel[tuple([slice(None, None, -1)] * (kernel.ndim - 2))])


OWN = (
    conv_output_length, normalize_tuple, normalize_data_format, to_list, probas_to_classes, categorical_probas_to_classes, print_summary,
    convert_kernel, OrderedEnqueuer, GeneratorEnqueuer,
)


def complete(teller: Teller) -> None:
    """Put the functions into ``keras.utils``."""
    for name, value in functions(teller).items():
        setattr(keras.utils, name, value)


def functions(teller: Teller) -> dict[str, Any]:
    """What is missing from ``keras.utils``, by name."""

    def multi_gpu_model(model: Any, gpus: Any = None, cpu_merge: bool = True, cpu_relocation: bool = False) -> Any:
        teller.tell("multi_gpu_model", "the model itself is returned and trains on one device; remove the call, or use keras.distribution.")
        return model

    def load_from_hdf5(*arguments: Any, **options: Any) -> Any:
        fail("keras.utils.HDF5Matrix", "Read the file with h5py in a Sequence.")

    made = {one.__name__: one for one in OWN}
    plot = keras.utils.plot_model
    generic = {"get_custom_objects": keras.saving.get_custom_objects, "CustomObjectScope": keras.saving.CustomObjectScope,
               "custom_object_scope": keras.saving.custom_object_scope}
    one_hot = keras.utils.to_categorical

    def to_categorical_old(y: Any, num_classes: Any = None, dtype: Any = "float32", nb_classes: Any = None) -> Any:
        return one_hot(np.asarray(y).astype("int64"), num_classes or nb_classes).astype(dtype)

    to_categorical_old.__name__ = "to_categorical"
    return {**made, **generic, "multi_gpu_model": multi_gpu_model, "HDF5Matrix": load_from_hdf5, "plot": plot,
            "to_categorical": to_categorical_old}
