"""The table of modules and names that Keras 1 and 2 had in other places.

Rules: data alone; a name is looked up in the modules of its row, in their order, when it is asked for.
"""

from __future__ import annotations

LAYERS = ("keras.layers",)

MODULES: dict[str, tuple[str, ...]] = {
    **{f"keras.layers.{name}": LAYERS for name in (
        "core", "convolutional", "normalization", "merge", "recurrent", "pooling", "wrappers", "advanced_activations", "embeddings",
        "local", "noise", "convolutional_recurrent", "cudnn_recurrent")},
    "keras.engine": ("keras.layers", "keras", "keras.models", "keras.utils"),
    "keras.engine.topology": ("keras.layers", "keras", "keras.models", "keras.utils"),
    "keras.engine.base_layer": ("keras.layers", "keras"),
    "keras.engine.input_layer": ("keras.layers", "keras"),
    "keras.engine.network": ("keras.models", "keras"),
    "keras.engine.saving": ("keras.models", "keras.saving"),
    "keras.engine.training": ("keras.models", "keras"),
    "keras.engine.sequential": ("keras.models", "keras"),
    "keras.utils.np_utils": ("keras.utils",),
    "keras.utils.data_utils": ("keras.utils",),
    "keras.utils.generic_utils": ("keras.utils", "keras.saving"),
    "keras.utils.layer_utils": ("keras.utils",),
    "keras.utils.vis_utils": ("keras.utils",),
    "keras.utils.visualize_util": ("keras.utils",),
    "keras.utils.conv_utils": ("keras.utils",),
    "keras.utils.training_utils": ("keras.utils",),
    "keras.utils.io_utils": ("keras.utils",),
    "keras.utils.multi_gpu_utils": ("keras.utils",),
    "keras.objectives": ("keras.losses",),
    "keras.initializations": ("keras.initializers",),
    "keras.callbacks.callbacks": ("keras.callbacks",),
    "keras.legacy.interfaces": (),
    "keras.legacy.layers": ("keras.layers",),
    "keras.preprocessing.text": ("keras.src.legacy.preprocessing.text",),
    "keras.models.models": ("keras.models",),
    "keras.backend.common": ("keras.backend",),
    "keras.backend.tensorflow_backend": ("keras.backend",),
    "keras.wrappers.scikit_learn": ("keras.wrappers",),
    "keras_preprocessing": ("keras.preprocessing",),
    "keras_preprocessing.image": ("keras.preprocessing.image",),
    "keras_preprocessing.sequence": ("keras.preprocessing.sequence",),
    "keras_preprocessing.text": ("keras.src.legacy.preprocessing.text",),
    "keras_applications": ("keras.applications",),
}
"""Old module -> the modules in which its names are now."""

GONE: dict[str, str] = {
    "scipy.misc": "Use PIL or imageio for images.", "theano": "Use keras.ops.", "theano.tensor": "Use keras.ops.",
    "cntk": "Use keras.ops.",
}
"""Modules that are not there any more -> what to use; their names can be imported, and fail at their use."""

SHORT_MODULES: dict[str, str] = {
    "keras.applications.resnet50": "keras.applications.resnet", "keras.applications.mobilenetv2": "keras.applications.mobilenet_v2",
}
"""Old module -> the module that it is."""

RENAMED: dict[str, dict[str, str]] = {
    "keras.losses": {
        "mse": "mean_squared_error", "mae": "mean_absolute_error", "mape": "mean_absolute_percentage_error",
        "msle": "mean_squared_logarithmic_error", "kld": "kl_divergence", "kullback_leibler_divergence": "kl_divergence",
        "cosine_proximity": "cosine_similarity", "logcosh": "log_cosh", "MSE": "mean_squared_error", "MAE": "mean_absolute_error",
    },
    "keras.initializers": {
        "uniform": "RandomUniform", "normal": "RandomNormal", "zero": "Zeros", "one": "Ones", "Zeros": "Zeros", "Ones": "Ones",
        "random_normal": "RandomNormal", "random_uniform": "RandomUniform", "Initializer": "Initializer",
    },
    "keras.regularizers": {"l1l2": "L1L2", "activity_l1": "L1", "activity_l2": "L2", "WeightRegularizer": "L1L2", "l1_l2": "L1L2"},
    "keras.constraints": {"maxnorm": "MaxNorm", "nonneg": "NonNeg", "unitnorm": "UnitNorm", "max_norm": "MaxNorm"},
    "keras.utils": {"Sequence": "Sequence", "plot": "plot_model"},
    "keras.preprocessing.sequence": {},
    "keras.metrics": {"mse": "mean_squared_error", "mae": "mean_absolute_error", "categorical_accuracy": "categorical_accuracy"},
}
"""Module -> old name -> the name it has now in the same module."""

LOST: dict[str, dict[str, str]] = {
    "keras.utils": {
        "HDF5Matrix": "Read the file with h5py in a Sequence.", "CustomObjectScope": "Use keras.saving.custom_object_scope.",
        "convert_all_kernels_in_model": "Theano kernels need flipping by hand.",
    },
    "keras.wrappers.scikit_learn": {
        "KerasClassifier": "Use keras.wrappers.SKLearnClassifier, or the scikeras package.",
        "KerasRegressor": "Use keras.wrappers.SKLearnRegressor, or the scikeras package.",
    },
    "keras.legacy.interfaces": {},
    "keras.applications.imagenet_utils": {"_obtain_input_shape": "Pass input_shape to the model."},
    "keras.engine.topology": {"Container": "Use keras.Model.", "Node": "Keras 3 has other nodes.", "Merge": "Use Concatenate or Add."},
}
"""Module -> names that have no meaning now -> what to write instead."""
