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
    "keras.engine.network": ("keras.models", "keras", "keras.utils"),
    "keras.engine.saving": ("keras.models", "keras.saving"),
    "keras.engine.training": ("keras.models", "keras", "keras.utils"),
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
    "keras.callbacks.callbacks": ("keras.callbacks",),
    "keras.callbacks.tensorboard_v1": ("keras.callbacks",),
    "keras.callbacks.tensorboard_v2": ("keras.callbacks",),
    "keras.experimental": ("keras.optimizers.schedules", "keras.models"),
    "keras.layers.experimental": LAYERS,
    "keras.layers.experimental.preprocessing": LAYERS,
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
    **{f"keras_applications.{name}": (f"keras.applications.{name}",) for name in (
        "vgg16", "vgg19", "resnet", "resnet_v2", "inception_v3", "inception_resnet_v2", "xception", "mobilenet", "mobilenet_v2",
        "densenet", "nasnet", "imagenet_utils", "efficientnet")},
    "keras_applications.resnet50": ("keras.applications.resnet",),
}
"""Old module -> the modules in which its names are now."""

GONE: dict[str, str] = {
    "scipy.misc": "Use PIL.Image.open, Image.resize and Image.save, or imageio; numpy.asarray makes an array of an image.",
    "keras_contrib": "It is not ported to Keras 3: keras.layers has GroupNormalization(groups=-1) for InstanceNormalization.",
    "keras.engine.training_utils": "The loops of Keras 2 are gone; use Model.fit.",
    "keras.engine.training_generator": "The loops of Keras 2 are gone; use Model.fit.",
    "keras.engine.training_arrays": "The loops of Keras 2 are gone; use Model.fit.",
    "keras.utils.test_utils": "Use numpy.testing, and arrays that the script makes.",
    "keras.applications.music_tagger_crnn": "It is not in Keras 3.", "keras.applications.audio_conv_utils": "It is not in Keras 3.",
    "tensorflow.contrib": "It is gone with TensorFlow 1.", "tensorflow.examples": "Load the data with keras.datasets.",
    "tensorflow.python.framework": "It is private to TensorFlow: use keras.ops.",
    "tensorflow.python.ops": "It is private to TensorFlow: use keras.ops.",
    "tensorflow.python.keras": "Use keras.", "tensorflow.python.platform": "It is private to TensorFlow.",
    "tensorflow.python.training": "Use keras.optimizers.", "tensorflow.python.saved_model": "Use Model.save.",
    "theano": "Use keras.ops.", "theano.tensor": "Use keras.ops.",
    "cntk": "Use keras.ops.",
}
"""Modules that are not there any more -> what to use; their names can be imported, and fail at their use."""

SHORT_MODULES: dict[str, str] = {
    "keras.applications.resnet50": "keras.applications.resnet", "keras.applications.mobilenetv2": "keras.applications.mobilenet_v2",
    "keras.initializations": "stoker.compat.initializations",
}
"""Old module -> the module that it is."""

RENAMED: dict[str, dict[str, str]] = {
    "keras.losses": {
        "mse": "mean_squared_error", "mae": "mean_absolute_error", "mape": "mean_absolute_percentage_error",
        "msle": "mean_squared_logarithmic_error", "kld": "kl_divergence", "kullback_leibler_divergence": "kl_divergence",
        "cosine_proximity": "cosine_similarity", "cosine": "cosine_similarity", "logcosh": "log_cosh", "KLD": "kl_divergence",
        "MAPE": "mean_absolute_percentage_error", "MSLE": "mean_squared_logarithmic_error", "MSE": "mean_squared_error",
        "MAE": "mean_absolute_error",
    },
    "keras.initializers": {
        "uniform": "RandomUniform", "normal": "RandomNormal", "zero": "Zeros", "one": "Ones", "Zeros": "Zeros", "Ones": "Ones",
        "random_normal": "RandomNormal", "random_uniform": "RandomUniform", "Initializer": "Initializer",
    },
    "keras.regularizers": {"activity_l1": "L1", "activity_l2": "L2", "WeightRegularizer": "L1L2"},
    "keras.constraints": {"maxnorm": "MaxNorm", "nonneg": "NonNeg", "unitnorm": "UnitNorm", "max_norm": "MaxNorm"},
    "keras.utils": {"Sequence": "Sequence", "plot": "plot_model"},
    "keras.preprocessing.sequence": {},
    "keras.metrics": {
        "mse": "mean_squared_error", "mae": "mean_absolute_error", "MSE": "mean_squared_error", "MAE": "mean_absolute_error",
        "mape": "mean_absolute_percentage_error", "MAPE": "mean_absolute_percentage_error", "msle": "mean_squared_logarithmic_error",
        "MSLE": "mean_squared_logarithmic_error", "kullback_leibler_divergence": "kl_divergence", "KLD": "kl_divergence",
        "logcosh": "log_cosh",
    },
    "keras.models": {"Network": "Model", "Functional": "Model"},
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
    "keras.legacy.interfaces": dict.fromkeys((
        "generate_legacy_interface", "legacy_dense_support", "legacy_conv2d_support", "legacy_get_updates_support",
        "legacy_add_weight_support", "raise_duplicate_arg_error", "legacy_generator_methods_support"),
        "Leave the decorator out, and write the new arguments."),
    "keras.layers.core": {"AutoEncoder": "Build it of two models."}, "keras.layers.normalization": {"LRN2D": "Write a Lambda layer."},
    "keras.layers.merge": {"_Merge": "Write a layer whose call takes a list."},
    "keras.layers.recurrent": {"_time_distributed_dense": "Use TimeDistributed(Dense(n)).",
                               "time_distributed_dense": "Use TimeDistributed(Dense(n))."},
    "keras.layers.advanced_activations": {"SReLU": "Use PReLU.", "ParametricSoftplus": "Write a Lambda layer.",
                                          "ParametricSoftPlus": "Write a Lambda layer."},
    "keras.layers": {"ConvLSTM2DCell": "Use ConvLSTM2D."},
    "keras.layers.experimental": {"RandomFourierFeatures": "Write a layer of your own.",
                                  "SyncBatchNormalization": "Use BatchNormalization(synchronized=True)."},
    "keras.layers.experimental.preprocessing": {
        **dict.fromkeys(("RandomHeight", "RandomWidth"), "Use RandomZoom."), "CategoryCrossing": "Use HashedCrossing.",
        "PreprocessingLayer": "Use Layer."},
    "keras.engine.training": dict.fromkeys((
        "_standardize_input_data", "_make_batches", "_batch_shuffle", "_slice_arrays", "_check_array_lengths", "_collect_metrics",
        "_standardize_user_data", "_weighted_masked_objective"), "The loops of Keras 2 are gone; use Model.fit."),
    "keras.engine.saving": dict.fromkeys((
        "load_weights_from_hdf5_group", "load_weights_from_hdf5_group_by_name", "save_weights_to_hdf5_group",
        "preprocess_weights_for_loading"), "Use model.load_weights(path, by_name=...) and model.save_weights(path)."),
    "keras.utils.io_utils": {"ask_to_proceed_with_overwrite": "Use os.path.exists."},
    "keras.utils.layer_utils": {"layer_from_config": "Use keras.layers.deserialize."},
    "keras.utils.data_utils": {"_hash_file": "Use hashlib."},
    "keras.metrics": {"matthews_correlation": "Write it with K functions, or use F1Score."},
    "keras.optimizers": {"clip_norm": "Pass global_clipnorm= to the optimizer."},
    "keras.models": {"Graph": "Use keras.Model."},
    "keras.preprocessing.image": {"_count_valid_files_in_directory": "Use os.walk."},
    "keras.applications.mobilenet": {"_depthwise_conv_block": "Copy it from Keras."},
    "keras.applications.imagenet_utils": {"_obtain_input_shape": "Pass input_shape to the model."},
    "keras.engine.topology": {
        "Container": "Use keras.Model.", "Node": "Keras 3 has other nodes.", "Merge": "Use Concatenate or Add.",
        **dict.fromkeys(("load_weights_from_hdf5_group", "load_weights_from_hdf5_group_by_name", "save_weights_to_hdf5_group",
                         "preprocess_weights_for_loading"), "Use model.load_weights(path, by_name=...).")},
}
"""Module -> names that have no meaning now -> what to write instead."""
