"""Layers as Keras 1 spelled them: ``Convolution2D(32, 3, 3, border_mode='same')``, ``Dense(output_dim=10, init='normal')``.

Rules: only what a Keras 1 spelling certainly means is translated; new spellings pass as they are.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

from keras import Sequential, config, initializers, layers, ops, tree
from keras.layers import InputLayer

from stoker.compat.lost import Lost, fail
from stoker.compat.patching import before_init, wrap
from stoker.compat.positions import ALWAYS_OLD, OLD, SIZE_WORDS, given_besides, initializer, old_positions, through_tensorflow, whole
from stoker.compat.spelling import Rule, translate
from stoker.compat.tell import Teller

FORMATS = {"tf": "channels_last", "th": "channels_first", "default": None}
ROWS = "_stoker_rows"
INITIAL = "_stoker_weights"


def data_format(value: Any) -> Any:
    """``dim_ordering`` as ``data_format``."""
    return FORMATS.get(value, value)


COMMON: dict[str, Rule] = {
    "init": ("kernel_initializer", initializer), "W_regularizer": "kernel_regularizer", "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint", "b_constraint": "bias_constraint", "bias": "use_bias",
}
CONV: dict[str, Rule] = COMMON | {
    "nb_filter": "filters", "border_mode": "padding", "subsample": "strides", "dim_ordering": ("data_format", data_format),
    "filter_length": "kernel_size", "subsample_length": "strides", "atrous_rate": "dilation_rate",
}
POOL: dict[str, Rule] = {
    "border_mode": "padding", "dim_ordering": ("data_format", data_format), "pool_length": "pool_size", "stride": "strides",
}
RECURRENT: dict[str, Rule] = COMMON | {
    "output_dim": "units", "inner_init": ("recurrent_initializer", initializer), "inner_activation": "recurrent_activation",
    "U_regularizer": "recurrent_regularizer", "dropout_W": "dropout", "dropout_U": "recurrent_dropout", "consume_less": None,
    "input_length": None, "implementation": None, "forget_bias_init": ("unit_forget_bias", lambda value: value in ("one", "ones")),
}
GATES: dict[str, Rule] = {word: RECURRENT[word] for word in (
    "inner_init", "inner_activation", "U_regularizer", "dropout_W", "dropout_U", "forget_bias_init", "consume_less")}
SPATIAL: dict[str, Rule] = {"dim_ordering": ("data_format", data_format)}
NORM: dict[str, Rule] = {
    "beta_init": "beta_initializer", "gamma_init": "gamma_initializer", "beta_regularizer": "beta_regularizer", "mode": None,
}

RULES: dict[str, dict[str, Rule]] = {
    "Dense": COMMON | {"output_dim": "units"},
    "Embedding": {"init": ("embeddings_initializer", initializer), "W_regularizer": "embeddings_regularizer",
                  "W_constraint": "embeddings_constraint", "dropout": None, "input_length": None},
    "Dropout": {"p": "rate"}, "SpatialDropout1D": {"p": "rate"}, "SpatialDropout2D": SPATIAL | {"p": "rate"},
    "GaussianNoise": {"sigma": "stddev"}, "GaussianDropout": {"p": "rate"},
    "Conv1D": CONV, "Conv2D": CONV, "Conv3D": CONV, "Conv2DTranspose": CONV | {"output_shape": None}, "SeparableConv2D": CONV,
    "DepthwiseConv2D": CONV,
    "MaxPooling1D": POOL, "MaxPooling2D": POOL, "MaxPooling3D": POOL, "AveragePooling1D": POOL, "AveragePooling2D": POOL,
    "AveragePooling3D": POOL, "GlobalAveragePooling2D": SPATIAL, "GlobalMaxPooling2D": SPATIAL,
    "UpSampling1D": {"length": "size"}, "UpSampling2D": SPATIAL, "ZeroPadding2D": SPATIAL, "Cropping2D": SPATIAL, "Flatten": SPATIAL,
    "LSTM": RECURRENT, "GRU": RECURRENT, "SimpleRNN": RECURRENT,
    "BatchNormalization": NORM, "RepeatVector": {}, "LeakyReLU": {"alpha": "negative_slope"},
    "PReLU": {"init": ("alpha_initializer", initializer)}, "Reshape": {"dims": "target_shape"}, "Permute": {},
    "Conv3DTranspose": CONV | {"output_shape": None}, "GlobalMaxPooling1D": {}, "ConvLSTM2D": CONV | GATES,
    "ZeroPadding3D": SPATIAL, "UpSampling3D": SPATIAL, "SpatialDropout3D": SPATIAL | {"p": "rate"}, "AlphaDropout": {"p": "rate"},
}
"""Class -> what becomes of its old arguments."""

NAMES = {
    "Convolution1D": "Conv1D", "Deconv2D": "Conv2DTranspose", "AtrousConvolution1D": "Conv1D", "AtrousConv2D": "Conv2D",
    "AtrousConv1D": "Conv1D", "Convolution3DTranspose": "Conv3DTranspose", "Deconvolution3D": "Conv3DTranspose",
    "InputLayer": "InputLayer",
}
"""Old names of classes that are there under another."""

CUDNN: dict[str, tuple[str, dict[str, Any]]] = {
    "CuDNNLSTM": ("LSTM", {"recurrent_activation": "sigmoid"}),
    "CuDNNGRU": ("GRU", {"recurrent_activation": "sigmoid", "reset_after": True}),
}
"""Classes that computed on CUDA alone -> the class that there is now, and what of its choices they had made."""

GATED = frozenset({"LSTM", "GRU", "ConvLSTM2D"})
"""Layers whose recurrent_activation has another default now."""

UNMOVED: dict[str, tuple[Any, tuple[str, ...], str]] = {
    "time_major": (False, ("RNN",), "Give the layer keras.ops.swapaxes(x, 0, 1), and leave the argument out."),
    "groups": (1, ("DepthwiseConv1D", "DepthwiseConv2D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "SeparableConv1D",
                  "SeparableConv2D"), "Split the channels, and concatenate what a layer for each group gives."),
}
"""Arguments of TensorFlow's Keras 2 that Keras 3 has not -> what they always were, of which layers, and what to write for another value."""

LOST = {
    "MaxoutDense": "Use Dense and Maximum.", "Highway": "Write it with Dense and Multiply.",
    "TimeDistributedDense": "Use TimeDistributed(Dense(n)).", "Merge": "Use Add, Concatenate, Dot and their like in a functional model.",
    "LocallyConnected1D": "Use Conv1D, or a layer of your own.", "LocallyConnected2D": "Use Conv2D, or a layer of your own.",
    "Recurrent": "Use keras.layers.RNN with a cell.",
    "ConvRecurrent2D": "Use ConvLSTM2D.",
}


def complete(teller: Teller) -> None:
    """Give the layers their old names and arguments."""
    for name, rules in RULES.items():
        before_init(getattr(layers, name), _old_arguments(name, rules, teller))
    for old, new in NAMES.items():
        if not hasattr(layers, old):
            setattr(layers, old, getattr(layers, new))
    for old, new in ALWAYS_OLD.items():
        setattr(layers, old, given_besides(old, getattr(layers, new), {OLD: True}))
    for old, (new, given) in CUDNN.items():
        if not hasattr(layers, old):
            setattr(layers, old, given_besides(old, getattr(layers, new), given))
    for name, remedy in LOST.items():
        if not hasattr(layers, name):
            setattr(layers, name, Lost(f"keras.layers.{name}", remedy))
    wrap(layers.Layer, "__init__", _old_layer)
    wrap(layers.Layer, "_post_build", _with_weights)
    wrap(Sequential, "add", _rows_first)
    wrap(layers.Layer, "add_weight", _name_first)
    if config.backend() == "torch":
        for kind in (layers.RNN, layers.LSTM, layers.GRU, layers.SimpleRNN):
            if "inner_loop" in vars(kind):
                wrap(kind, "inner_loop", _of_copies)


def _old_layer(original: Callable[..., Any]) -> Callable[..., Any]:
    """What every layer took: shapes of its input, and weights to begin with."""

    def __init__(self: Any, *arguments: Any, **options: Any) -> None:
        _drop_unmoved(self, options)
        shape = options.pop("input_shape", None)
        batch_shape, width, weights = (options.pop(name, None) for name in ("batch_input_shape", "input_dim", "weights"))
        rows = None if batch_shape is None else batch_shape[0]
        if not isinstance(self, InputLayer):
            rows = options.pop("batch_size", rows)
        if batch_shape is not None:
            shape = tuple(batch_shape)[1:]
        if width is not None:
            shape = (whole(width),)
        original(self, *arguments, **options)
        if shape is not None:
            self._input_shape_arg = whole(tuple(shape))  # where Keras keeps it; it is taken as an argument only with a warning
        if rows is not None:
            object.__setattr__(self, ROWS, rows)
        if weights is not None:
            object.__setattr__(self, INITIAL, weights)

    return __init__


def _drop_unmoved(layer: Any, options: dict[str, Any]) -> None:
    """Take out arguments that Keras 3 has not, where they say what it does anyway."""
    for word, (value, kinds, remedy) in UNMOVED.items():
        if word not in options or not isinstance(layer, tuple(getattr(layers, kind) for kind in kinds)):
            continue
        given = options.pop(word)
        if given != value:
            fail(f"{type(layer).__name__}({word}={given!r})", remedy)


def _rows_first(original: Callable[..., Any]) -> Callable[..., Any]:
    """A first layer that knows how many rows a batch has, as stateful layers must, gets an input layer that knows it."""

    def add(self: Any, layer: Any, *arguments: Any, **options: Any) -> Any:
        rows = vars(layer).get(ROWS) if isinstance(layer, layers.Layer) else None
        shape = getattr(layer, "_input_shape_arg", None)
        if rows is not None and shape is not None and not self._layers:
            original(self, InputLayer(batch_shape=(rows, *shape)))
            layer._input_shape_arg = None
        return original(self, layer, *arguments, **options)

    return add


def _with_weights(original: Callable[..., Any]) -> Callable[..., Any]:
    def _post_build(self: Any) -> None:
        original(self)
        weights = vars(self).pop(INITIAL, None)
        if weights is None:
            return
        if all(variable._value is not None for variable in self.weights):
            with _outside_of_functions():
                self.set_weights(weights)
            return
        for variable, value in zip(self.weights, weights, strict=True):
            variable._initializer = initializers.Constant(value)  # built while shapes are traced: values are made afterwards

    return _post_build


def _outside_of_functions() -> contextlib.AbstractContextManager[Any]:
    """TensorFlow may build a layer while it traces a function, where setting a value would become a part of that function."""
    if config.backend() != "tensorflow":
        return contextlib.nullcontext()
    tensorflow = importlib.import_module("tensorflow")
    return tensorflow.init_scope()  # type: ignore[no-any-return]


def _of_copies(original: Callable[..., Any]) -> Callable[..., Any]:
    """Begin with copies of a stateful layer's states: PyTorch's gradients need what the step is about to write over."""

    def inner_loop(self: Any, sequences: Any, initial_state: Any, *others: Any, **options: Any) -> Any:
        if self.stateful:
            initial_state = tree.map_structure(ops.copy, initial_state)
        return original(self, sequences, initial_state, *others, **options)

    return inner_loop


def _name_first(original: Callable[..., Any]) -> Callable[..., Any]:
    """Keras 2 took ``add_weight(name, shape)``, Keras 3 takes the shape first."""

    def add_weight(self: Any, *arguments: Any, **options: Any) -> Any:
        if arguments and isinstance(arguments[0], str):
            options["name"] = arguments[0]
            arguments = arguments[1:]
        if isinstance(options.get("initializer"), str):
            options["initializer"] = initializer(options["initializer"])
        return original(self, *arguments, **options)

    return add_weight


def _shape_of_words(options: dict[str, Any]) -> None:
    """An Embedding takes rows of ``input_length`` words, of any length where that is not said: a first layer is built at once."""
    if "input_shape" in options or "batch_input_shape" in options:
        return
    length = options.get("input_length")
    options["input_shape"] = tuple(length) if isinstance(length, list | tuple) else (whole(length),)


def _old_arguments(kind: str, rules: dict[str, Rule], teller: Teller) -> Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, ...]]:
    def change(arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
        arguments = old_positions(kind, arguments, options, teller)
        rate = options.get("dropout") if kind == "Embedding" else None
        size = options.get("input_dim") if kind != "Embedding" else None
        length = options.get("input_length") if kind != "Embedding" else None
        if kind == "Embedding":
            _shape_of_words(options)
        if rate:
            teller.tell("Embedding(dropout=)", "it is ignored; add a SpatialDropout1D layer.")
        if size is not None and (length is not None or kind in ("LSTM", "GRU", "SimpleRNN", "Conv1D")):
            options.pop("input_length", None)
            options["input_shape"] = (length, options.pop("input_dim"))
        if options.get("mode"):
            teller.tell(f"{kind}(mode={options['mode']!r})", "Keras 3 normalizes as mode=0 does; remove the argument.")
        translate(options, rules)
        if options.get("stateful") and kind in ("LSTM", "GRU", "SimpleRNN") and config.backend() == "jax":
            teller.tell(f"{kind}(stateful=True)", "Keras 3 on JAX begins every batch from zero; set KERAS_BACKEND=torch.")
        if kind == "GRU" and not through_tensorflow():
            options.setdefault("reset_after", False)  # the default of Keras 2.2, with which its weights load
        if kind in GATED and "recurrent_activation" not in options:
            teller.tell(kind, "recurrent_activation is 'sigmoid' by default, in Keras 2.2 it was 'hard_sigmoid'; write the one meant.")
        if options.get("kernel_initializer") is not None:
            options["kernel_initializer"] = initializer(options["kernel_initializer"])
        for name in SIZE_WORDS & set(options):
            options[name] = whole(options[name])
        return arguments

    return change
