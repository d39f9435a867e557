"""Each index once a pass, whatever the number of workers, the steps and the model; nothing lost between epochs and calls.

What the model was trained on is read from the weights: a model with one weight per index, whose gradient counts how often
each index came.
"""

from __future__ import annotations

import itertools
import os
import time

import keras
import models
import numpy as np
import pytest

import stoker
import stoker.keras  # noqa: F401

LENGTH = 7


class OneHot(stoker.Sequence):
    """Batch i is one row, the i-th unit vector."""

    def __init__(self, length=LENGTH):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return np.eye(self.length, dtype="float32")[index : index + 1], np.zeros((1, 1), "float32")


def counting_model(built):
    """Its kernel grows by 1 at index i for every time that batch i is trained on."""
    layers = [keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    model = keras.Sequential([keras.Input((LENGTH,)), *layers] if built else layers)
    model.compile(keras.optimizers.SGD(1.0), lambda y_true, y_pred: -y_pred)
    return model


def counts(model):
    return model.get_weights()[0].ravel().round().astype(int).tolist()


@pytest.mark.thinned(5)
@pytest.mark.parametrize("workers", range(6))
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("built", [True, False])
def test_a_pass_trains_on_each_index_once(workers, shuffle, built):
    model = counting_model(built)
    for call in range(1, 3):
        model.fit_generator(OneHot(), epochs=2, verbose=0, workers=workers, shuffle=shuffle)
        assert counts(model) == [2 * call] * LENGTH


@pytest.mark.thinned(7)
@pytest.mark.parametrize("workers", [0, 1, 5])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("steps", "epochs"), [(3, 7), (7, 3), (14, 2), (1, 7), (21, 1)])
def test_epochs_are_windows_over_a_sequence_of_whole_passes(workers, shuffle, steps, epochs):
    model = counting_model(True)
    model.fit_generator(OneHot(), steps_per_epoch=steps, epochs=epochs, verbose=0, workers=workers, shuffle=shuffle)
    assert counts(model) == [steps * epochs // LENGTH] * LENGTH


def test_steps_beyond_the_length_wrap_into_the_next_pass():
    model = counting_model(True)
    model.fit_generator(OneHot(), steps_per_epoch=LENGTH + 2, verbose=0, shuffle=False)
    assert counts(model) == [2, 2, 1, 1, 1, 1, 1]


def one_row(number):
    return np.eye(LENGTH, dtype="float32")[number][None], np.zeros((1, 1), "float32")


@pytest.mark.once
@pytest.mark.parametrize("way", [{"workers": 0}, {"workers": 3}, {"workers": 2, "use_multiprocessing": True}], ids=str)
def test_a_function_mapped_over_a_list_makes_a_pass_of_each_epoch(way):
    model = counting_model(True)
    history = model.fit_generator(stoker.parallel_map(range(LENGTH), one_row), epochs=3, verbose=0, **way)
    assert counts(model) == [3] * LENGTH
    assert len(history.history["loss"]) == 3


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_stream_goes_on_where_the_last_call_stopped(workers):
    stream = itertools.count()
    batches = ((np.eye(LENGTH, dtype="float32")[n % LENGTH][None], np.zeros((1, 1), "float32")) for n in stream)
    model = counting_model(True)
    for _ in range(2):
        model.fit_generator(batches, steps_per_epoch=5, epochs=2, verbose=0, workers=workers)
    model.evaluate_generator(batches, 4, workers=workers)
    assert model.predict_generator(batches, 2, workers=workers).shape == (2, 1)
    assert counts(model) == [3, 3, 3, 3, 3, 3, 2]
    assert next(stream) == 26


@pytest.mark.thinned(4)
@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("made", ["generator", "zip", "class"])
def test_one_iterator_may_serve_training_validation_and_a_call_within(workers, made):
    inside, together = [], []

    def batch(number):
        inside.append(number)
        time.sleep(0.001)
        together.append(len(inside))
        inside.remove(number)
        return np.eye(LENGTH, dtype="float32")[number % LENGTH][None]

    class Own:
        numbers = itertools.count()

        def __next__(self):
            return batch(next(self.numbers)), np.zeros((1, 1), "float32")

    numbers, zeros = itertools.count(), itertools.repeat(np.zeros((1, 1), "float32"))
    stream = {
        "generator": lambda: ((batch(number), y) for number, y in zip(numbers, zeros, strict=False)),
        "zip": lambda: zip(map(batch, numbers), zeros, strict=False), "class": Own}[made]()

    class Nest(keras.callbacks.Callback):
        def on_train_batch_end(self, number, logs=None):
            if number % 4 == 0:
                self.model.evaluate_generator(stream, 1, workers=workers)

    model = counting_model(True)
    model.fit_generator(
        stream, 10, 2, verbose=0, workers=workers, callbacks=[Nest()], validation_data=stream, validation_steps=3)
    assert set(together) == {1} and len(together) == 2 * (10 + 3 + 3) and sum(counts(model)) == 20


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_on_epoch_end_runs_once_for_each_pass_that_ended(workers):
    training, validation = models.Numbered(4), models.Numbered(2)
    model = models.small_model()
    model.fit_generator(training, epochs=3, validation_data=validation, verbose=0, workers=workers)
    assert (training.ended, validation.ended) == (3, 3)
    model.fit_generator(training, steps_per_epoch=6, epochs=1, verbose=0, workers=workers)
    assert training.ended == 4


@pytest.mark.parametrize("make", [models.small_model, models.unbuilt_model, models.subclassed_model])
def test_models_of_every_kind_are_trained(make):
    model = make()
    history = model.fit_generator(models.endless(), 3, epochs=2, verbose=0, validation_data=models.Numbered(2))
    assert list(history.history) == ["loss", "mae", "val_loss", "val_mae"] and model.predict(models.batch()[0], verbose=0).shape == (4, 1)


def test_a_source_that_refills_its_arrays_trains_on_what_it_yielded():
    array = np.zeros((1, LENGTH), "float32")

    def refilled():
        for index in itertools.cycle(range(LENGTH)):
            array[:] = 0
            array[0, index] = 1
            yield array, np.zeros((1, 1), "float32")

    for workers in (0, 1):
        model = counting_model(True)
        model.fit_generator(refilled(), steps_per_epoch=LENGTH * 40, verbose=0, workers=workers)
        assert counts(model) == [40] * LENGTH


@pytest.mark.parametrize("workers", [0, 2])
def test_arrays_shuffled_in_place_between_passes_are_not_changed_while_in_use(workers):
    class InPlace(stoker.Sequence):
        data = np.eye(LENGTH, dtype="float32")

        def __len__(self):
            return LENGTH

        def __getitem__(self, index):
            return self.data[index : index + 1], np.zeros((1, 1), "float32")

        def on_epoch_end(self):
            np.random.default_rng(0).shuffle(self.data)

    model = counting_model(True)
    model.fit_generator(InPlace(), epochs=30, verbose=0, workers=workers)
    assert counts(model) == [30] * LENGTH


def test_a_training_asks_no_source_for_a_state_of_its_own():
    class Loader:
        def __iter__(self):
            return iter([models.batch(number) for number in range(3)])

        def state_dict(self):
            raise AssertionError("nobody goes on from here")

        def load_state_dict(self, state):
            raise AssertionError("nobody goes on from here")

    history = stoker.fit(models.small_model(), Loader(), validation_data=Loader(), epochs=2, verbose=0)
    assert len(history.history["loss"]) == len(history.history["val_loss"]) == 2


@pytest.mark.once
@pytest.mark.slow
def test_validation_on_part_of_a_pass_lets_go_of_what_it_had():
    open_files = []

    def count(epoch, logs):
        open_files.append(len(os.listdir("/proc/self/fd")))

    model = counting_model(True)
    model.fit_generator(
        OneHot(), epochs=6, validation_data=OneHot(), validation_steps=2, workers=2, use_multiprocessing=True, verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=count)])
    assert open_files[1:] == open_files[1:2] * 5


class Table:
    """A table that becomes an array on demand, and counts how often."""

    ndim = 2

    def __init__(self, rows):
        self.rows = rows
        self.made = 0

    def __array__(self, dtype=None, copy=None):
        self.made += 1
        return np.array(self.rows, dtype)


def test_validation_arrays_are_made_once_and_cut_as_in_training():
    x, y = Table(np.zeros((80, LENGTH), "float32")), Table(np.zeros((80, 1), "float32"))
    sizes, made = [], []

    class Hook(keras.callbacks.Callback):
        def on_test_batch_begin(self, batch, logs=None):
            sizes.append(logs["size"])

        def on_epoch_end(self, epoch, logs=None):
            made.append(x.made)

    batches = [(np.zeros((rows, LENGTH), "float32"), np.zeros((rows, 1), "float32")) for rows in (32, 32, 32, 4)]
    counting_model(True).fit_generator(
        itertools.cycle(batches), 4, 3, verbose=0, validation_data=(x, y), validation_steps=2, callbacks=[Hook()])
    assert sizes == [32, 32] * 3
    assert made == made[:1] * 3


class Dataset(keras.utils.PyDataset):
    """Says how often each pass began and ended; its length is a property, as Keras allows."""

    def __init__(self):
        super().__init__()
        self.begun = self.ended = 0

    @property
    def num_batches(self):
        return 2

    def __getitem__(self, index):
        return np.full((2, LENGTH), self.begun, "float32"), np.zeros((2, 1), "float32")

    def on_epoch_begin(self):
        self.begun += 1

    def on_epoch_end(self):
        self.ended += 1


@pytest.mark.once
@pytest.mark.thinned(3)
@pytest.mark.parametrize("ways", [{"workers": 0}, {"workers": 2}, {"workers": 2, "processes": True}])
def test_a_data_set_of_keras_hears_when_an_epoch_begins(ways):
    data, model = Dataset(), counting_model(True)
    stoker.fit(model, data, epochs=3, verbose=0, **ways)
    assert (data.begun, data.ended) == (3, 3)
    assert counts(model) == [2 * (1 + 2 + 3)] * LENGTH


class Still(keras.callbacks.Callback):
    """Undoes what training does to the weights."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.set_weights([np.ones((LENGTH, 1), "float32")])


@pytest.mark.once
@pytest.mark.thinned(3)
@pytest.mark.parametrize("ways", [{"workers": 0}, {"workers": 2}, {"workers": 2, "processes": True}])
def test_a_data_set_of_keras_hears_when_each_validation_begins(ways):
    data, seen = Dataset(), []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((data.begun, data.ended, logs["val_loss"]))

    model = counting_model(True)
    model.set_weights([np.ones((LENGTH, 1), "float32")])
    stoker.fit(
        model, OneHot(), epochs=3, steps_per_epoch=1, verbose=0, validation_data=data, callbacks=[Look(), Still()], **ways)
    assert [told[:2] for told in seen] == [(1, 1), (2, 2), (3, 3)]
    assert [told[2] for told in seen] == [-LENGTH * 1.0, -LENGTH * 2.0, -LENGTH * 3.0]


class Crewed(Dataset):
    """A data set that says who makes its batches, or not even that it is one."""

    def __init__(self, **options):
        if options:
            keras.utils.PyDataset.__init__(self, **options)
        self.begun = self.ended = 0


@pytest.mark.once
@pytest.mark.parametrize(("said", "given", "crew"), [
    ({"workers": 2, "use_multiprocessing": True, "max_queue_size": 7}, {}, ("processes", 2, 7)),
    ({"workers": 0}, {}, ("inline", 0, 10)),
    ({"workers": 2, "max_queue_size": 7}, {"workers": 3, "max_queue_size": 4}, ("threads", 3, 4)),
    ({}, {}, ("threads", 1, 10))])
def test_a_data_set_of_keras_says_who_makes_its_batches_where_the_call_does_not(said, given, crew):
    model = counting_model(True)
    for call in (stoker.fit, stoker.fit_generator):
        figures = call(model, Crewed(**said), verbose=0, **given).feed[0]
        assert (figures.lane, figures.workers, figures.max_queue_size) == crew
    stoker.evaluate(model, Crewed(**said), **given)
    assert stoker.predict(model, Crewed(**said), **given).shape == (4, 1)
