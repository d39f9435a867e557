"""The table behind ``stoker run --check``: what of Keras 1 and 2 is translated, and what cannot work, with what to write instead.

Rules: data alone; what is in no table works as it is.
"""

from __future__ import annotations

from stoker.compat import keras_names

TRANSLATED_WORDS = {
    "lr": "learning_rate", "decay": "followed as Keras 2 did", "nb_epoch": "epochs", "samples_per_epoch": "steps_per_epoch",
    "nb_val_samples": "validation_steps", "val_samples": "steps", "nb_worker": "workers", "pickle_safe": "use_multiprocessing",
    "max_q_size": "max_queue_size", "border_mode": "padding", "subsample": "strides", "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer", "dim_ordering": "data_format", "nb_filter": "filters", "nb_row": "kernel_size",
    "period": "kept", "sample_weight_mode": "weights of steps are taken as they are",
    "show_accuracy": "metrics=['accuracy']", "batch_input_shape": "input_shape", "inner_activation": "recurrent_activation",
    "write_grads": "dropped", "by_name": "kept", "use_multiprocessing": "the feed's processes", "steps_per_epoch": "",
}
"""Keyword -> what becomes of it."""

TRANSLATED_NAMES = {
    "fit_generator": "stoker's", "evaluate_generator": "stoker's", "predict_generator": "stoker's",
    "multi_gpu_model": "the model itself", "predict_classes": "argmax of predict", "predict_proba": "predict",
    "ImageDataGenerator": "Keras's legacy class", "get_session": "does nothing", "set_session": "does nothing",
    "ConfigProto": "does nothing", "GPUOptions": "does nothing", "Convolution2D": "Conv2D", "Convolution1D": "Conv1D",
    "set_random_seed": "keras.utils.set_random_seed", "merge": "a merging layer", "OrderedEnqueuer": "stoker.Feed",
    "GeneratorEnqueuer": "stoker.Feed", "set_image_dim_ordering": "set_image_data_format", "set_learning_phase": "does nothing",
    "CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU",
}
"""Attribute or imported name -> what it is now."""

OPTIMIZERS = frozenset({"SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "Adamax", "Nadam"})
"""Optimizers whose arguments by position are Keras 2's."""

OF_KERAS = frozenset({"keras", "set_random_seed", "test", "config", "random", "logging", "compat", "python", "VERSION", "__version__"})
"""What scripts take of TensorFlow that is Keras's, or is translated."""

SILENT = frozenset({
    "ConfigProto", "GPUOptions", "Session", "InteractiveSession", "get_default_graph", "reset_default_graph",
    "global_variables_initializer", "local_variables_initializer", "tables_initializer", "initialize_all_variables", "OptimizerOptions",
    "GraphOptions", "enable_eager_execution", "disable_eager_execution", "enable_v2_behavior", "disable_v2_behavior",
    "disable_v2_tensorshape", "enable_resource_variables", "disable_resource_variables", "device",
})
"""Sessions, graphs and options of TensorFlow: calls that do nothing, and are told."""

CANNOT_NAMES = {
    "to_yaml": "Use to_json(), or save('model.keras').", "model_from_yaml": "Use model_from_json.",
    "MaxoutDense": "Use Dense and Maximum.", "Merge": "Use Concatenate, Add and their like in a functional model.",
    "Highway": "Write it with Dense and Multiply.", "HDF5Matrix": "Read the file with h5py in a Sequence.",
    "TimeDistributedDense": "Use TimeDistributed(Dense(n)).", "LocallyConnected2D": "Use Conv2D, or a layer of your own.",
    "LocallyConnected1D": "Use Conv1D, or a layer of your own.",
    "KerasClassifier": "Use keras.wrappers.SKLearnClassifier, or scikeras.",
    "KerasRegressor": "Use keras.wrappers.SKLearnRegressor, or scikeras.",
}
"""Attribute or imported name -> what to write instead."""

CANNOT_OF_BACKEND = {
    "function": "Build a keras.Model of the inputs and outputs, and call predict() on it.",
    "gradients": "Use jax.grad, torch.autograd.grad or tf.GradientTape.", "rnn": "Use keras.layers.RNN with a cell.",
    "scan": "Use keras.ops.scan.",
}
"""Function of ``keras.backend`` -> what to write instead."""

CANNOT_OF_TENSORFLOW = {
    "log": "Use keras.ops.log.", "placeholder": "Use keras.Input.", "variable_scope": "Keras layers hold their variables.",
    "get_variable": "Use add_weight in a layer.", "Graph": "Keras 3 has no graphs.", "layers": "Use keras.layers.",
    "contrib": "It is gone.", "train": "Use keras.optimizers.", "gradients": "Use tf.GradientTape.", "assign": "Use Variable.assign.",
}
"""Function of ``tensorflow`` -> what to write instead."""

CANNOT_MODULES = {
    "theano": "Use keras.ops.", "cntk": "Use keras.ops.", "scipy.misc": "Use PIL or imageio.",
    "keras_contrib": "It is not ported to Keras 3.",
    "tensorflow.contrib": "It is gone.", "tensorflow.examples": "Load the data with keras.datasets.",
}
"""Module -> what to write instead."""

MOVED_MODULES = frozenset(keras_names.MODULES) | frozenset(keras_names.SHORT_MODULES)
"""Modules that are made."""
