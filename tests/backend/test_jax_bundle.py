"""Small arrays of a state on JAX travel together, and nothing else changes."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("JAX only", allow_module_level=True)

import jax
import jax.numpy as jnp

import stoker
from stoker.backend.choose import load_backend
from stoker.backend.jax_bundle import SMALL_BYTES, Bundle, Unfit
from stoker.batch.form import Batch

LARGE = SMALL_BYTES // 4 + 1


def parts():
    """Arrays of several kinds and sizes."""
    return (
        [jnp.arange(6.0).reshape(2, 3), jnp.ones(LARGE)], [jnp.array([7, 8], "uint32")],
        [jnp.array(5), jnp.array(2.5), jnp.full((1, 2), 3, "bfloat16"), jnp.zeros((0, 4))])


def step(state, data):
    """Adds to everything, in the dtype of each."""
    made = jax.tree.map(lambda array: (array + data).astype(array.dtype), state)
    return {"sum": made[0][0].sum()}, made


def test_a_bundled_step_does_what_the_step_does():
    state, bundle = parts(), Bundle(parts(), may_pack=True)
    bundled = jax.jit(bundle.inside(step))
    flat = jax.tree.leaves(state)
    packed = (bundle.gather([flat[place] for place in bundle.together]), [flat[place] for place in bundle.alone])
    for _ in range(3):
        logs, packed = bundled(packed, 1)
        expected, state = step(state, 1)
        assert logs["sum"] == expected["sum"]
    found = dict(zip((*bundle.together, *bundle.alone), (*bundle.spread(packed[0]), *packed[1]), strict=True))
    for place, array in enumerate(jax.tree.leaves(state)):
        assert found[place].dtype == array.dtype and found[place].shape == array.shape
        np.testing.assert_array_equal(found[place], array)


def test_large_arrays_travel_alone_and_so_do_all_where_nothing_may_be_packed():
    assert Bundle(parts(), may_pack=True).alone == [1]
    loose = Bundle(parts(), may_pack=False)
    assert loose.alone == list(range(7)) and loose.gather([]) == [] and loose.spread([]) == []


@pytest.mark.parametrize("change", [lambda array: array.astype("float16"), lambda array: array[None]])
def test_a_step_that_changes_the_form_of_its_state_does_not_fit(change):
    bundle = Bundle(parts(), may_pack=True)
    bundled = bundle.inside(lambda state, data: (None, jax.tree.map(change, state)))
    with pytest.raises(Unfit):
        jax.eval_shape(bundled, bundle.shapes(parts()), 1)


class Widens(keras.Model):
    """Its step gives a metric's variable back in another dtype."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)

    def train_step(self, state, data):
        logs, (*others, metrics) = super().train_step(state, data)
        return logs, (*others, [value.astype("bfloat16") for value in metrics])


def test_a_model_whose_step_changes_dtypes_is_trained_all_the_same():
    model = Widens()
    model.compile("sgd", "mse")
    history = stoker.fit(model, [(np.ones((2, 3), "float32"), np.ones((2, 1), "float32"))] * 4, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
    assert not model._stoker_programs.by_phase["train"].bundle.together


def small_model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile("adam", "mse")
    return model


BATCH = Batch(np.ones((2, 2), "float32"), np.zeros((2, 1), "float32"), None, 2)


def test_what_somebody_gives_away_and_does_not_put_back_has_its_last_value_in_the_end():
    model = small_model()
    with load_backend().session(model) as session:
        train = session.begin("train")
        train(BATCH)
        kept = np.array(model.trainable_variables[0].value)
        model.trainable_variables[0].value.delete()
    np.testing.assert_array_equal(model.trainable_variables[0].value, kept)


def test_the_next_step_goes_on_from_the_last_value_of_what_was_given_away():
    alone, disturbed = small_model(), small_model()
    for model in (alone, disturbed):
        with load_backend().session(model) as session:
            train = session.begin("train")
            for _ in range(3):
                train(BATCH)
                if model is disturbed:
                    model.trainable_variables[0].value.delete()
    for mine, theirs in zip(disturbed.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_large_weight_is_not_copied_when_a_small_variable_is_assigned(monkeypatch):
    from stoker.backend import keras_jax_variables

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(LARGE), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    copied, copies = [], keras_jax_variables.copies
    monkeypatch.setattr(keras_jax_variables, "copies", lambda values: copied.append(len(values)) or copies(values))
    with load_backend().session(model) as session:
        train = session.begin("train")
        train(BATCH)
        train(BATCH)
        model.optimizer.learning_rate.assign(0.5)
        copied.clear()
        train(BATCH)
        assert not any(copied)
        assert float(model.optimizer.learning_rate.value) == 0.5
