"""What bad input gets: the type, the text's facts, and a model that predicts what it predicted before."""

from __future__ import annotations

import keras
import models
import numpy as np
import pandas
import pytest

import stoker
import stoker.keras  # noqa: F401
from stoker.errors import BatchError, OptionError, OptionTypeError, SourceError, SourceStopped, SourceTypeError
from stoker.source.order import order as pass_order

X, Y = models.batch(1)
OTHER = models.batch(2)


@pytest.fixture
def model():
    """A model that must predict the same after the test as before, for tests whose call does nothing."""
    made = models.small_model()
    before = made.predict(X, verbose=0)
    yield made
    np.testing.assert_array_equal(made.predict(X, verbose=0), before)
    np.testing.assert_array_equal(made.predict_generator(iter([X]), 1), before)


def fails(model, batch, **options):
    """Run fit and evaluate on one batch; both must refuse it alike."""
    for call in (lambda: model.fit_generator(iter([batch]), 1, verbose=0, **options),
                 lambda: model.evaluate_generator(iter([batch]), 1)):
        with pytest.raises(BatchError) as caught:
            call()
        assert "batch 0" in caught.value.where and caught.value.remedy
    return caught.value


@pytest.mark.parametrize("batch", [X, 3, None, "text", (X,), (X, Y, Y, Y)])
def test_what_is_no_batch(model, batch):
    assert "(inputs, targets)" in fails(model, batch).expected


@pytest.mark.parametrize(
    ("batch", "got"),
    [((X, Y[:2]), "inputs: 4, targets: 2"), ((X, Y, np.ones(3)), "sample_weights: 3"), ((X[:0], Y[:0]), "0 rows"),
     (([[1, 2], [3]], Y[:2]), "inhomogeneous"), ((X, Y.repeat(3, 1)), "(4, 3)"), ((X.repeat(2, 1), Y), "(4, 4)"),
     ((X.astype(str), Y), "<U"), (({"a": X}, Y), "'a'"), (([X, X], Y), "2 arrays"), ((X, {"nope": Y}), "'nope'"),
     ((X, [Y, Y]), "2 arrays"), ((X, None), "None")])
def test_batches_that_the_model_cannot_take(model, batch, got):
    assert got in fails(model, batch).got


def test_the_index_of_a_bad_batch_in_mid_epoch_is_told_and_the_model_keeps_its_training():
    model, twin = models.small_model(), models.small_model()
    with pytest.raises(BatchError) as caught:
        model.fit_generator(iter([(X, Y), OTHER, (X, Y[:1])]), 3, verbose=0)
    assert caught.value.where == "batch 2"
    twin.fit_generator(iter([(X, Y), OTHER]), 2, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], twin.get_weights()[0])


@pytest.mark.parametrize("batch", [None, "text", (X, Y, Y, Y), 5])
def test_predict_refuses_what_is_no_input(model, batch):
    with pytest.raises(BatchError):
        model.predict_generator(iter([batch]), 1)


def test_an_iterator_needs_its_number_of_steps(model):
    pulled = []
    source = (pulled.append(n) for n in range(3))
    for call in (model.fit_generator, model.evaluate_generator, model.predict_generator):
        with pytest.raises(SourceError, match="steps"):
            call(source)
    with pytest.raises(SourceError, match="validation_steps"):
        model.fit_generator(models.endless(), 1, validation_data=source)
    assert pulled == []


@pytest.mark.parametrize("data", [(X,), (X, Y, Y, Y), (X, 3), (X, Y[:2]), (X[:0], Y[:0])])
def test_validation_arrays_of_the_wrong_form(model, data):
    with pytest.raises(ValueError, match="validation_data|different lengths|no rows"):
        model.fit_generator(models.endless(), 1, verbose=0, validation_data=data)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [("steps_per_epoch", 0, OptionError), ("steps_per_epoch", -1, OptionError), ("steps_per_epoch", float("nan"), OptionError),
     ("steps_per_epoch", True, OptionTypeError), ("steps_per_epoch", "3", OptionTypeError), ("epochs", -1, OptionError),
     ("epochs", 1.5, OptionTypeError), ("epochs", None, OptionTypeError), ("initial_epoch", -1, OptionError),
     ("initial_epoch", "0", OptionTypeError), ("workers", -1, OptionError), ("workers", "4", OptionTypeError),
     ("workers", True, OptionTypeError), ("max_queue_size", 0, OptionError), ("max_queue_size", True, OptionTypeError),
     ("validation_steps", 0, OptionError), ("validation_freq", 0, OptionError), ("verbose", 7, OptionError),
     ("verbose", "loud", OptionTypeError), ("shuffle", "batch", OptionTypeError), ("seed", "x", OptionTypeError),
     ("timeout_s", -1, OptionError), ("steps_per_epoch", np.True_, OptionTypeError), ("workers", np.array([1, 2]), OptionTypeError),
     ("use_multiprocessing", "yes", OptionTypeError), ("timeout_s", np.array([1, 2]), OptionTypeError)])
def test_senseless_arguments_are_named_before_anything_is_pulled(model, name, value, error):
    pulled = []

    class Source(models.Numbered):
        def __getitem__(self, index):
            pulled.append(index)
            return super().__getitem__(index)

    with pytest.raises(error, match=name):
        model.fit_generator(Source(3), **{"verbose": 0, name: value})
    assert pulled == []


def test_a_fractional_number_of_steps_is_rounded_up(model):
    rest = models.Numbered(3)
    history = models.small_model().fit_generator(models.endless(), 2.4, verbose=0, validation_data=rest, validation_steps=1.5)
    assert history.records[0].steps == 3


@pytest.mark.parametrize("length", [0, -1, 2.5, "3", None, 1 << 70])
def test_a_length_that_is_none(model, length):
    source = models.Numbered(length)
    with pytest.raises(SourceError):
        model.fit_generator(source, verbose=0)
    with pytest.raises(SourceError):
        model.fit_generator(models.endless(), 1, verbose=0, validation_data=source)


class Own(Exception):
    """An exception that cannot be made without its arguments."""

    def __init__(self, code, detail):
        super().__init__(f"{code} {detail}")
        self.code = code


@pytest.mark.thinned(4)
@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("error", [OSError("disk"), KeyError("k"), Own(3, "x")])
def test_an_exception_in_the_source_keeps_its_type_and_says_where(workers, error):
    model, source = models.small_model(), models.Numbered(5, 2, error)
    for call in (model.fit_generator, model.evaluate_generator):
        with pytest.raises(type(error)) as caught:
            call(source, workers=workers, **({"shuffle": False} if call == model.fit_generator else {}))
        assert caught.value is error and any("index 2" in note for note in error.__notes__)
    assert model.predict(X, verbose=0).shape == (4, 1)


def test_stop_iteration_in_getitem_is_an_error(model):
    with pytest.raises(SourceStopped, match="StopIteration"):
        model.evaluate_generator(models.Numbered(3, 1, StopIteration()))


def test_a_model_that_is_not_compiled_gets_keras_error():
    model = models.small_model(compiled=False)
    for call in (lambda: model.fit_generator(models.endless(), 1), lambda: model.evaluate_generator(models.endless(), 1)):
        with pytest.raises(ValueError, match="compile"):
            call()
    assert model.predict_generator(models.endless(), 1).shape == (4, 1)


@pytest.mark.parametrize("source", [3, "text", models.Numbered, pandas.DataFrame({"a": [1]}), None, X, {"a": X}])
def test_what_is_no_source_is_told_what_is_one(model, source):
    with pytest.raises(SourceTypeError, match="Sequence"):
        model.fit_generator(source, 1)


def test_class_weights_that_lack_a_class_name_it(model):
    with pytest.raises(BatchError, match="class 1"):
        model.fit_generator(models.endless_of(X, Y), 1, verbose=0, class_weight={0: 1.0})


def test_an_exhausted_iterator_is_an_error_for_every_call(model):
    for call in (model.fit_generator, model.evaluate_generator, model.predict_generator):
        with pytest.raises(SourceError, match="no batch"):
            call(iter([]), 2, verbose=0)


def test_an_iterator_that_ends_with_an_epoch_ends_training_with_a_warning():
    with pytest.warns(stoker.StokerWarning, match="ended after 0 of 2"):
        history = models.small_model().fit_generator(iter([(X, Y)] * 2), 2, 3, verbose=0)
    assert history.epoch == [0]


def test_a_function_that_gives_the_same_iterator_again_ends_training_with_a_warning():
    once = iter([(X, Y)] * 3)
    with pytest.warns(stoker.StokerWarning, match="gave no batch in this epoch"):
        history = stoker.fit(models.small_model(), lambda: once, epochs=5, verbose=0)
    assert history.epoch == [0]


@pytest.mark.parametrize("call", ["fit", "evaluate", "predict"])
def test_what_is_no_model_is_refused_before_any_batch_is_pulled(call):
    with pytest.raises(OptionTypeError, match=rf"no model.*str.*Call {call}"):
        getattr(stoker, call)("model.keras", models.endless())


@pytest.mark.parametrize(("callback", "remedy"), [(keras.callbacks.TerminateOnNaN, r"TerminateOnNaN\(\)"), ("early", "Callback")])
def test_what_is_no_callback_is_refused(model, callback, remedy):
    with pytest.raises(OptionTypeError, match=remedy):
        model.fit_generator(models.endless(), 1, callbacks=[callback])


def test_whole_arrays_in_a_list_are_told_apart_from_batches(model):
    with pytest.raises(BatchError, match="as a tuple"):
        stoker.fit(model, [X, Y], verbose=0)


@pytest.mark.parametrize("error", [OSError("disk"), TypeError("mine"), ValueError("mine")])
def test_an_exception_in_len_is_the_users_own(model, error):
    class Source(models.Numbered):
        def __len__(self):
            raise error

    with pytest.raises(type(error)) as caught:
        model.fit_generator(Source(3), verbose=0)
    assert caught.value is error


def begun(heard):
    return keras.callbacks.LambdaCallback(on_train_begin=lambda logs: heard.append("begin"))


@pytest.mark.parametrize(
    "data", [(X.repeat(2, 1), Y), ({"nope": X}, Y), (X, Y.repeat(3, 1)), ([X, X], Y), (X, Y, np.ones((4, 3))), (X, None)])
def test_validation_arrays_are_judged_before_training_begins(model, data):
    heard = []
    with pytest.raises(BatchError, match="validation batch 0"):
        model.fit_generator(models.endless(), 1, verbose=0, validation_data=data, callbacks=[begun(heard)])
    assert heard == []


def test_names_in_class_weight_are_judged_before_training_begins(model):
    heard = []
    for senseless in ({"nope": {0: 1.0}}, {0: "heavy"}):
        with pytest.raises(OptionError, match="class_weight"):
            model.fit_generator(models.endless(), 1, verbose=0, class_weight=senseless, callbacks=[begun(heard)])
    assert heard == []


def test_a_model_that_is_built_by_its_first_batch_refuses_it_before_it_trains():
    model = models.unbuilt_model()
    for batch, got in (((X, Y.repeat(3, 1)), r"\(4, 3\)"), (({"nope": X}, Y), "nope")):
        with pytest.raises(ValueError, match=got):
            model.fit_generator(iter([batch]), 1, verbose=0)
    assert model.optimizer.iterations == 0
    assert model.fit_generator(models.endless(), 2, verbose=0).history["loss"]


@pytest.mark.slow
def test_batches_of_many_lengths_go_through_a_sequential_without_input():
    model = keras.Sequential([keras.layers.LSTM(2), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    source = [(np.zeros((2, length, 3), "float32"), np.zeros((2, 1), "float32")) for length in (3, 3, 5, 4)]
    history = stoker.fit(model, source, epochs=2, verbose=0)
    assert [record.steps for record in history.records] == [4, 4]


def test_an_error_in_a_step_names_its_batch():
    model = models.subclassed_model()
    wide = X.repeat(2, 1)
    for call in (model.fit_generator, model.evaluate_generator):
        with pytest.raises(Exception) as caught:
            call(iter([(X, Y), (wide, Y)]), 2, verbose=0)
        assert "raised by the model's step on batch 1: inputs float32 (4, 4), targets float32 (4, 1)" in caught.value.__notes__


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_error_names_the_index_of_a_shuffled_sequence(workers):
    class Data(stoker.Sequence):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            return (X.repeat(3, 1) if index == 4 else X), Y

    number = pass_order(7, 0, 6, True).tolist().index(4)
    assert number != 4
    with pytest.raises(BatchError) as caught:
        stoker.fit(models.small_model(), Data(), shuffle=True, seed=7, workers=workers, verbose=0)
    assert caught.value.where == f"inputs, batch {number} (index 4 of Data)"
    with pytest.raises(BatchError) as caught:
        stoker.evaluate(models.small_model(), Data(), workers=workers, verbose=0)
    assert caught.value.where == "inputs, batch 4"


def test_text_for_a_model_that_does_not_say_what_it_takes():
    model = models.subclassed_model()
    model.fit_generator(iter([(X, Y)]), 1, verbose=0)
    with pytest.raises(Exception) as caught:
        model.fit_generator(iter([(X.astype(str), Y)]), 1, verbose=0)
    assert isinstance(caught.value, BatchError) or caught.value.__notes__


def test_an_error_in_several_steps_at_once_says_what_batches_they_had():
    model = models.subclassed_model()
    model.fit_generator(iter([(X, Y)]), 1, verbose=0)
    model.compile("sgd", "mse", steps_per_execution=4)
    with pytest.raises(Exception) as caught:
        model.fit_generator(models.endless_of(X.repeat(2, 1), Y), 4, verbose=0)
    assert any("inputs float32 (4, 4)" in note for note in caught.value.__notes__)
