"""Several steps in one call: the results of single steps, and only where that was measured to pay."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import itertools
import sys

import keras
import numpy as np
import pytest

if keras.backend.backend() == "torch":
    pytest.skip("steps are not fused on PyTorch", allow_module_level=True)

import stoker
from stoker.backend import choose, fusing
from stoker.backend.fusing import LARGEST, SMALLEST, TIMED_CALLS, TIMED_STEPS, WARM_STEPS, Choice, Ways, group_size
from stoker.batch.stack import Stack
from stoker.errors import BatchError

ROWS = 8
AHEAD = 32
choose.load_backend()


def source(steps, ragged=False, seed=0):
    draw = np.random.default_rng(seed)
    made = []
    for step in range(steps):
        rows = ROWS - 3 if ragged and step == steps - 1 else ROWS
        x = draw.normal(size=(rows, 4)).astype("float32")
        made.append((x, x.sum(1, keepdims=True)))
    return made


def model(steps_per_execution=1, optimizer="adam", kind=keras.Sequential):
    keras.utils.set_random_seed(1)
    made = kind([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.BatchNormalization(), keras.layers.Dropout(0.3),
                 keras.layers.Dense(1)])
    made.compile(optimizer, "mse", metrics=["mae"], steps_per_execution=steps_per_execution)
    return made


def train(made, batches, epochs=3, **options):
    history = stoker.fit(made, batches, epochs=epochs, verbose=0, **options)
    return history.history, made.get_weights()


def assert_same(one, other):
    assert one[0].keys() == other[0].keys()
    for name, values in one[0].items():
        np.testing.assert_allclose(other[0][name], values, rtol=1e-6, atol=1e-7, err_msg=name)
    for mine, theirs in zip(one[1], other[1], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 5, 7, 20])
@pytest.mark.parametrize("ragged", [False, True])
def test_fused_steps_give_what_single_steps_give(size, ragged):
    batches, validation = source(12, ragged), source(5, seed=9)
    expected = train(model(), batches, validation_data=validation)
    assert_same(expected, train(model(size), batches, validation_data=validation))


@pytest.fixture
def eager_choice(monkeypatch):
    """Every short step is taken for one that fusing pays for; returns the sizes of the calls that are made."""
    monkeypatch.setattr(fusing, "WARM_STEPS", 1)
    monkeypatch.setattr(fusing, "TIMED_STEPS", 1)
    for name in ("fusing", "keras_tensorflow"):
        if f"stoker.backend.{name}" in sys.modules:
            monkeypatch.setattr(sys.modules[f"stoker.backend.{name}"], "LONG_STEP_S", 60.0)
    monkeypatch.setattr(fusing, "SAVED_SHARE", 1e9)
    monkeypatch.setattr(fusing, "WORTHWHILE", 1e9)
    calls = []
    together = Stack.together
    monkeypatch.setattr(Stack, "together", lambda stack: (calls.append(len(stack)), together(stack))[1])
    return calls


@pytest.mark.slow
def test_what_is_measured_at_the_start_changes_no_result(eager_choice):
    batches = source(40)
    expected = train(model(), batches, workers=0)
    assert not eager_choice
    assert_same(expected, train(model(), batches, workers=1))
    assert eager_choice


@pytest.mark.slow
def test_arrays_are_fused_without_workers(eager_choice):
    x, y = (np.concatenate(parts) for parts in zip(*source(40), strict=True))
    train(model(), (x, y), batch_size=ROWS)
    assert eager_choice


@pytest.mark.thinned(3)
@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_train_batch_begin", "on_batch_end"])
def test_a_batch_hook_forbids_fusing_and_hears_of_every_batch(eager_choice, hook):
    heard = []
    callback = type("Hear", (keras.callbacks.Callback,), {hook: lambda self, batch, logs=None: heard.append(batch)})()
    train(model(), source(40), 2, callbacks=[callback])
    are_ahead = keras.backend.backend() == "jax"  # groups that run ahead of the hooks (test_jax_ahead.py)
    assert heard == [*range(40)] * 2 and set(eager_choice) <= ({AHEAD} if are_ahead else set())


@pytest.mark.slow
def test_a_checkpoint_of_epochs_does_not_forbid_fusing(eager_choice, tmp_path):
    save = keras.callbacks.ModelCheckpoint(tmp_path / "m.weights.h5", save_weights_only=True)
    train(model(), source(40), callbacks=[save])
    assert eager_choice


@pytest.mark.slow
def test_batch_hooks_hear_of_groups_where_the_user_set_steps_per_execution():
    heard = []
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: heard.append((batch, logs["size"])))
    train(model(5), source(12), 1, callbacks=[callback])
    assert heard == [(4, 5 * ROWS), (9, 5 * ROWS), (11, 2 * ROWS)]


@pytest.mark.slow
def test_batches_read_before_an_error_of_the_source_are_trained_on():
    def fails():
        yield from source(7)
        raise OSError("disk")

    def bad():
        yield from source(7)
        yield (np.ones((2, 4)), np.ones((3, 1)))

    expected = train(model(), source(7), 1, shuffle=False)[1]
    for broken, error in ((fails, OSError), (bad, BatchError)):
        made = model(5)
        with pytest.raises(error):
            stoker.fit(made, broken(), steps_per_epoch=20, verbose=0)
        np.testing.assert_allclose(made.get_weights()[0], expected[0], rtol=1e-5)


def test_without_workers_no_batch_is_pulled_before_the_step_that_needs_it(eager_choice):
    made = model(optimizer="sgd")
    pulled = []

    def watching():
        for item in itertools.cycle(source(5)):
            pulled.append(len(pulled))
            yield item

    stoker.fit(made, watching(), steps_per_epoch=100, workers=0, verbose=0)
    assert not eager_choice and len(pulled) == 100


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the step's own signature is that of JAX")
def test_a_step_that_cannot_be_scanned_over_stays_single(eager_choice):
    import jax.numpy as jnp

    class Grows(keras.Sequential):
        def train_step(self, state, data):
            logs, (trainable, rest, optimizer, metrics) = super().train_step(state, data)
            return logs, (trainable, [value.astype(jnp.float32) for value in rest], optimizer, metrics)

    batches = source(40)
    history, _ = train(model(kind=Grows), batches, 2)
    assert len(history["loss"]) == 2 and all(np.isfinite(history["loss"]))


def test_arrays_changed_in_place_between_passes_are_not_changed_while_a_group_waits():
    class InPlace(stoker.Sequence):
        data = np.eye(7, dtype="float32")

        def __len__(self):
            return 7

        def __getitem__(self, index):
            return self.data[index : index + 1], np.zeros((1, 1), "float32")

        def on_epoch_end(self):
            np.random.default_rng(0).shuffle(self.data)

    counting = keras.Sequential([keras.Input((7,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    counting.compile(keras.optimizers.SGD(1.0), lambda y_true, y_pred: -y_pred, steps_per_execution=5)
    stoker.fit(counting, InPlace(), steps_per_epoch=70, epochs=3, verbose=0)
    assert counting.get_weights()[0].ravel().tolist() == [30] * 7


@pytest.mark.parametrize(("steps", "most_left_over"), [(100, 2), (2000, 8), (65, 3), (1000, 8), (64, 0), (7, 0)])
def test_group_sizes_leave_few_steps_over(steps, most_left_over):
    size = group_size(steps)
    assert SMALLEST <= size <= LARGEST and steps % size <= most_left_over


def test_short_epochs_are_not_fused():
    assert group_size(3) == 1 and group_size(None) > 1


class Clock:
    """Time that goes on by the next of the given durations with every call that is timed."""

    def __init__(self, durations):
        self.times = itertools.accumulate(itertools.chain([0.0], *([duration, 0.0] for duration in durations)))

    def __call__(self):
        return next(self.times)


def settled(compile_s, single_s, call_s, left, size=32):
    singles = WARM_STEPS + TIMED_STEPS
    clock = Clock([compile_s] + [single_s] * (singles - 1) + [1.0] + [call_s] * TIMED_CALLS)
    choice = Choice(size, left, None, Ways(clock, lambda result: None))
    for _ in range(singles):
        choice.time(lambda: 0, 1)
    while not choice.is_settled:
        choice.time(lambda: 0, choice.size)
    return choice.fuse


def test_the_choice_follows_the_measured_times():
    assert settled(0.2, 50e-6, 32 * 20e-6, 100_000) == 32
    assert settled(0.2, 50e-6, 32 * 60e-6, 100_000) == 1
    assert settled(0.2, 50e-6, 32 * 48e-6, 100_000) == 1
    assert settled(0.2, 50e-6, 32 * 20e-6, 1_000) == 1
    assert settled(0.2, 5e-3, 32 * 20e-6, 100_000) == 1
    assert settled(0.2, 50e-6, 32 * 20e-6, None) == 1


def test_a_size_that_is_known_to_pay_serves_any_pass_that_is_long_enough():
    choice = Choice.fixed(64)
    choice.has_measured = True
    assert choice.serves(61, 20_000) and choice.serves(64, 64) and choice.serves(64, None)
    assert not choice.serves(40, 40) and not choice.serves(1, 100)
    single = Choice.fixed(1)
    single.has_measured = True
    assert single.serves(40, 40)


class Present(keras.layers.Layer):
    """The inputs that are there, added up."""

    def call(self, inputs):
        return sum(part for part in inputs if part is not None)

    def compute_output_shape(self, input_shape):
        return next(shape for shape in input_shape if shape is not None)


@pytest.mark.parametrize("absent", [0, 1])
def test_an_input_that_is_absent_is_so_in_fused_steps_too(absent):
    def optional(steps_per_execution):
        inputs = [keras.Input((4,), name=f"x{place}", optional=place == absent) for place in range(2)]
        made = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(Present()(inputs)))
        made.compile("sgd", "mse", steps_per_execution=steps_per_execution)
        return made

    batches = [([None if place == absent else x for place in range(2)], y) for x, y in source(8)]
    fused = optional(4)
    assert_same(train(optional(1), batches), train(fused, batches))
    if keras.backend.backend() == "tensorflow":
        assert fused._stoker_programs.by_phase["train"]._many is not None
