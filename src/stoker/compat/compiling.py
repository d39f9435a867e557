"""``compile`` with the arguments and the meanings of Keras 1 and 2.

It is wrapped where Keras defines it: Keras compares the method of a class with that one to tell models with a ``compile`` of their own,
which it does not compile when they are loaded or cloned.

Rules: an optimizer serves one model; one that serves a second gives it a copy that shares the rate and the count of steps, as in Keras 2,
where each model had moments of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isfunction
from types import CellType, ModuleType
from typing import Any

import keras

from stoker.compat.graph_losses import with_values
from stoker.compat.names import binary_accuracies, label, old_metrics
from stoker.compat.patching import wrap
from stoker.compat.positions import through_tensorflow
from stoker.compat.tell import Teller
from stoker.compat.trainable import remember
from stoker.compat.zero_weights import ZEROS

LOSSES = {
    "cosine_proximity": "cosine_similarity", "cosine": "cosine_similarity", "logcosh": "log_cosh",
    "kullback_leibler_divergence": "kl_divergence", "kld": "kl_divergence",
}
OWNER = "_stoker_owner"


def complete(teller: Teller) -> None:
    """Put the old arguments before ``compile``."""
    trainer = next(kind for kind in keras.Model.__mro__ if "compile_from_config" in vars(kind))
    wrap(trainer, "compile", lambda original: _compile(original, teller))


def _compile(original: Callable[..., Any], teller: Teller) -> Callable[..., Any]:
    def compile(self: Any, optimizer: Any = "rmsprop", loss: Any = None, metrics: Any = None, loss_weights: Any = None,
                sample_weight_mode: Any = None, weighted_metrics: Any = None, target_tensors: Any = None, **options: Any) -> None:
        if isinstance(sample_weight_mode, list | tuple) and not isinstance(weighted_metrics, str) and weighted_metrics is None:
            # the fifth positional argument is weighted_metrics in Keras 3, sample_weight_mode in Keras 2
            sample_weight_mode, weighted_metrics = None, list(sample_weight_mode)
        options.pop("class_mode", None)
        if sample_weight_mode is not None:
            teller.tell("compile(sample_weight_mode=)", f"weights of steps are taken as they are; where some are 0, {ZEROS}")
        names = list(getattr(self, "output_names", None) or ())
        if keras.config.backend() != "tensorflow" and any(map(_uses_tensorflow, keras.tree.flatten([loss, metrics]))):
            teller.tell("functions of TensorFlow in a loss or a metric", "they take TensorFlow's tensors alone, and this is Keras on "
                        f"{keras.config.backend()}; set KERAS_BACKEND=tensorflow, or write K functions.")
        losses = _for_outputs(_old_losses(loss), loss_weights, names)
        made = None if metrics is None else old_metrics(metrics, len(names))
        original(self, optimizer=_own(optimizer, self), loss=with_values(losses, self), metrics=binary_accuracies(made, losses, names),
                 loss_weights=loss_weights, weighted_metrics=weighted_metrics, **options)
        _tell_of_frozen(self, teller)
        object.__setattr__(self, "_stoker_metrics", keras.tree.map_structure(label, made))
        remember(self)

    return compile


def _tell_of_frozen(model: Any, teller: Teller) -> None:
    if not through_tensorflow() and any(
            isinstance(layer, keras.layers.BatchNormalization) and not layer.trainable for layer in model._flatten_layers()):
        teller.tell("BatchNormalization with trainable=False", "it goes by its moving averages while training too; in Keras 2.2 it went by "
                    "the mean and variance of each batch. Leave it trainable where that is meant.")


def _uses_tensorflow(function: Any) -> bool:
    """Whether a function of the script names the module ``tensorflow``, or ``K.tf``."""
    if not isfunction(function):
        return False
    code, known = function.__code__, dict(function.__globals__)
    known |= {name: cell.cell_contents for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True) if _is_bound(cell)}
    named = [known.get(name) for name in (*code.co_names, *code.co_freevars)]
    is_of_backend = "tf" in code.co_names and any(value is keras.backend for value in named)
    return is_of_backend or any(isinstance(value, ModuleType) and value.__name__ == "tensorflow" for value in named)


def _is_bound(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _old_losses(loss: Any) -> Any:
    if isinstance(loss, str):
        return LOSSES.get(loss, loss)
    if isinstance(loss, dict):
        return {name: _old_losses(one) for name, one in loss.items()}
    return [_old_losses(one) for one in loss] if isinstance(loss, list | tuple) else loss


def _for_outputs(loss: Any, weights: Any, names: list[str]) -> Any:
    """One loss with a weight for each output is the loss of each output."""
    if len(names) < 2 or loss is None or isinstance(loss, dict | list | tuple) or not weights:
        return loss
    return dict.fromkeys(names, loss) if isinstance(weights, dict) else [loss] * len(names)


def _own(optimizer: Any, model: Any) -> Any:
    """The optimizer, or a copy of it where another model, or an earlier ``compile``, has it already."""
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        return optimizer
    owner = getattr(optimizer, OWNER, None)
    if not optimizer.built and owner in (None, id(model)):
        object.__setattr__(optimizer, OWNER, id(model))
        return optimizer
    made = type(optimizer).from_config(optimizer.get_config())
    _share(made, optimizer, "_learning_rate")
    _share(made, optimizer, "_iterations")
    object.__setattr__(made, OWNER, id(model))
    return made


def _share(made: Any, optimizer: Any, name: str) -> None:
    """Let a copy have the very variable of the original."""
    mine, shared = getattr(made, name, None), getattr(optimizer, name, None)
    if not (isinstance(mine, keras.Variable) and isinstance(shared, keras.Variable)):
        return  # a schedule, which copies share by its config
    for place, variable in enumerate(made._variables):
        if variable is mine:
            made._variables[place] = shared
    object.__setattr__(made, name, shared)
