"""Steps that run ahead of batch hooks: whoever hears, reads, looks, writes, stops or raises finds what single steps would have left."""

from __future__ import annotations

import os
import signal
import threading

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("JAX only", allow_module_level=True)

from counting import counting_model, ones

import stoker
from stoker.backend import fusing, jax_ahead, keras_jax
from stoker.backend.choose import load_backend
from stoker.batch.form import Batch
from stoker.batch.stack import Stack
from stoker.feed.epoch import Epoch

pytestmark = pytest.mark.slow

ROWS = 8
GROUP = 4
STEPS = 23


def source(steps=STEPS, rows=lambda step: ROWS, seed=0):
    draw = np.random.default_rng(seed)
    made = []
    for step in range(steps):
        x = draw.normal(size=(rows(step), 4)).astype("float32")
        made.append((x, x.sum(1, keepdims=True)))
    return made


def build(**compiled):
    keras.utils.set_random_seed(1)
    made = keras.Sequential([
        keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.BatchNormalization(), keras.layers.Dropout(0.3),
        keras.layers.Dense(1)])
    made.compile(keras.optimizers.Adam(1e-2, clipnorm=1.0), "mse", **{"metrics": ["mae"], **compiled})
    return made


@pytest.fixture
def groups(monkeypatch):
    """Every short step is taken for one that this pays for, and all that is wanted is ready; returns the groups that have run."""
    for name, value in {"WARM_STEPS": 1, "TIMED_STEPS": 1, "LONG_STEP_S": 60.0, "SAVED_SHARE": 1e9, "WORTHWHILE": 1e9}.items():
        monkeypatch.setattr(fusing, name, value)
    monkeypatch.setattr(jax_ahead, "AHEAD", GROUP)
    monkeypatch.setattr(jax_ahead, "CACHED_BYTES", 0)
    make_all_ready(monkeypatch)
    made = []

    class Seen(jax_ahead.Group):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(keras_jax, "Group", Seen)
    return made


def make_all_ready(monkeypatch):
    """Have a feed wait for all that is wanted at once, as if it had been there; an error comes after what was made before it."""
    take_many, late = Epoch.take_many, []

    def wait(epoch, most):
        made = []
        if late:
            raise late.pop()
        while len(made) < most:
            try:
                taken = take_many(epoch, most - len(made))
            except Exception as error:
                if not made:
                    raise
                late.append(error)
                break
            made += taken
            if not taken:
                break
        return made

    monkeypatch.setattr(Epoch, "take_many", wait)


class Hook(keras.callbacks.Callback):
    """Notes what it finds."""

    def __init__(self):
        super().__init__()
        self.found = []

    def look(self):
        self.found.append([value.tobytes() for value in self.model.get_weights()])


class Hear(Hook):
    def on_train_batch_end(self, batch, logs=None):
        self.found.append(batch)


class Read(Hook):
    def on_train_batch_end(self, batch, logs=None):
        self.found.append(dict(logs))


class LookSometimes(Hook):
    def on_train_batch_end(self, batch, logs=None):
        if batch % 9 == 7:
            self.look()


class LookAlways(Hook):
    def on_train_batch_end(self, batch, logs=None):
        self.look()


class LookBefore(Hook):
    def on_train_batch_begin(self, batch, logs=None):
        if batch % 7 in (2, 5):
            self.look()
            self.found.append(int(self.model.optimizer.iterations))


class LookAtMetrics(Hook):
    def on_train_batch_end(self, batch, logs=None):
        if batch % 8 == 4:
            self.found.append({name: float(value) for name, value in self.model.get_metrics_result().items()})


class WriteRate(Hook):
    def on_train_batch_end(self, batch, logs=None):
        self.found.append(logs["loss"])
        if batch % 5 == 3:
            self.model.optimizer.learning_rate = 1e-2 / (batch + 1)


class WriteRateBefore(Hook):
    """Writes before the first batch of a group, when nothing of it counts yet."""

    def on_train_batch_begin(self, batch, logs=None):
        if batch in (2, 6, 10):
            self.model.optimizer.learning_rate = 1e-2 / (batch + 1)

    def on_train_batch_end(self, batch, logs=None):
        self.found.append(logs["loss"])


class SetWeights(Hook):
    def on_train_batch_end(self, batch, logs=None):
        self.found.append(logs["mae"])
        if batch == 8:
            self.model.set_weights([value * np.float32(0.5) for value in self.model.get_weights()])


class ResetMetrics(Hook):
    def on_train_batch_end(self, batch, logs=None):
        self.found.append(logs["loss"])
        if batch == 11:
            self.model.reset_metrics()


class Stop(Hook):
    def on_train_batch_end(self, batch, logs=None):
        self.found.append(logs["loss"])
        if batch == 8:
            self.model.stop_training = True


class EvaluateWithin(Hook):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 8:
            self.found.append(self.model.evaluate(*source(1)[0], verbose=0))
            self.found.append(stoker.evaluate(self.model, source(3), callbacks=[TestHook()], verbose=0))
        self.found.append(logs["loss"])


class ThreadLooks(Hook):
    def on_train_batch_end(self, batch, logs=None):
        self.found.append(logs["loss"])
        if batch == 8:
            thread = threading.Thread(target=self.model.get_weights)
            thread.start()
            thread.join()


class TestHook(Hook):
    __test__ = False

    def on_test_batch_end(self, batch, logs=None):
        self.found.append(dict(logs))
        if batch % 9 == 7:
            self.look()


HOOKS = [Hear, Read, LookSometimes, LookAlways, LookBefore, LookAtMetrics, WriteRate, WriteRateBefore, SetWeights, ResetMetrics, Stop,
         EvaluateWithin, ThreadLooks]


def trained(batches, hooks, workers, epochs=2, make=build, **options):
    """What a training gave: its history, the last weights, and what hooks found."""
    model = make()
    history = stoker.fit(model, batches, epochs=epochs, verbose=0, shuffle=False, workers=workers, callbacks=hooks, **options)
    state = [np.asarray(variable.value).tobytes() for variable in [*model.variables, *model.optimizer.variables]]
    return history.history, state, [hook.found for hook in hooks]


def assert_unnoticed(batches, hooks, **options):
    """Whatever runs ahead, nobody can tell, to the last bit."""
    expected = trained(batches, [hook() for hook in hooks], 0, **options)
    found = trained(batches, [hook() for hook in hooks], 1, **options)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine == theirs


@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_find_what_single_steps_leave(groups, hook):
    assert_unnoticed(source(), [hook])
    assert bool(groups) == (hook is not LookAlways)


def test_most_steps_of_a_training_run_ahead(groups):
    assert_unnoticed(source(), [Read])
    assert len(groups) == (STEPS - 2) // GROUP + STEPS // GROUP
    assert all(group.place == GROUP for group in groups)


def test_several_hooks_at_once(groups):
    assert_unnoticed(source(), [Read, LookSometimes, WriteRate])
    assert groups


def test_nothing_runs_ahead_without_workers_but_for_arrays(groups):
    x, y = (np.concatenate(parts) for parts in zip(*source(), strict=True))
    expected = trained(source(), [Read()], 0)
    assert not groups
    found = trained((x, y), [Read()], None, batch_size=ROWS)
    assert found == expected and groups


@pytest.mark.parametrize("rows", [
    lambda step: ROWS - 3 if step == STEPS - 1 else ROWS, lambda step: ROWS + step // 6, lambda step: ROWS + step % 3])
def test_batches_of_other_shapes_run_singly(groups, rows):
    assert_unnoticed(source(rows=rows), [Read, LookSometimes])


def test_validation_with_hooks(groups):
    assert_unnoticed(source(), [TestHook], validation_data=source(19, seed=5))
    assert groups


def test_sample_weights_and_class_weights(groups):
    batches = [(x, (y > 0).astype("float32"), np.abs(x[:, 0])) for x, y in source()]
    assert_unnoticed(batches, [Read], class_weight={0: 1.0, 1: 3.0})
    assert groups


def test_not_a_number_is_told_of_its_own_batch(groups):
    batches = source()
    batches[9][1][:] = np.nan
    found = trained(batches, [Read()], 1, 1, plain)[2][0]
    assert [np.isnan(logs["loss"]) for logs in found] == [number >= 9 for number in range(STEPS)] and groups


def plain():
    keras.utils.set_random_seed(1)
    made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


class Trouble(Exception):
    pass


@pytest.mark.parametrize("at", range(2, 11))
@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_train_batch_begin"])
def test_after_an_error_in_a_hook_the_model_is_as_the_last_batch_left_it(groups, at, hook):
    def fail(callback, batch, logs=None):
        if batch == at:
            raise Trouble

    model = counting_model(width=4)
    with pytest.raises(Trouble):
        stoker.fit(model, ones(STEPS, width=4), verbose=0, callbacks=[type("Fails", (keras.callbacks.Callback,), {hook: fail})()])
    done = at + (hook == "on_train_batch_end")
    assert model.get_weights()[0].ravel().tolist() == [done] * 4
    assert int(model.optimizer.iterations) == done
    assert groups


@pytest.mark.parametrize("at", range(5, 11))
def test_ctrl_c_within_a_group(groups, at):
    model = counting_model(width=4)
    strike = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batch == at and signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        stoker.fit(model, ones(STEPS, width=4), verbose=0, callbacks=[strike])
    assert model.get_weights()[0][0].item() == int(model.optimizer.iterations) == at + 1 and groups


@pytest.mark.parametrize("at", range(5, 11))
def test_an_error_of_the_source_comes_after_the_batches_before_it(groups, at):
    def fails():
        yield from ones(at, width=4)
        raise Trouble

    model, hook = counting_model(width=4), Hear()
    with pytest.raises(Trouble):
        stoker.fit(model, fails(), steps_per_epoch=STEPS, verbose=0, workers=1, callbacks=[hook])
    assert hook.found == list(range(at)) and model.get_weights()[0][0].item() == at


@pytest.mark.parametrize("at", range(5, 11))
def test_a_source_that_ends_within_a_group_is_trained_on_to_its_end(groups, at):
    model, hook = counting_model(width=4), Hear()
    with pytest.warns(UserWarning, match=f"ended after {at} of {STEPS} batches"):
        stoker.fit(model, iter(ones(at, width=4)), steps_per_epoch=STEPS, verbose=0, workers=1, callbacks=[hook])
    assert hook.found == list(range(at)) and model.get_weights()[0][0].item() == at


def test_a_step_that_changes_its_dtypes(groups):
    import jax.numpy as jnp

    class Grows(keras.Sequential):
        def train_step(self, state, data):
            logs, (trainable, rest, optimizer, metrics) = super().train_step(state, data)
            return logs, (trainable, [value.astype(jnp.float32) for value in rest], optimizer, metrics)

    def make():
        made = Grows(build().layers)
        made.compile("adam", "mse")
        return made

    assert_unnoticed(source(), [Read, LookSometimes], make=make)


def test_a_large_state_is_not_run_ahead(groups, monkeypatch):
    monkeypatch.setattr(jax_ahead, "STATES_LIMIT_BYTES", 1000)
    assert_unnoticed(source(), [Read])
    assert not groups


def test_arrays_that_travel_alone_are_kept_too(groups):
    def wide():
        keras.utils.set_random_seed(1)
        made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3000, "tanh"), keras.layers.Dense(1)])
        made.compile("adam", "mse")
        return made

    assert_unnoticed(source(), [Read, LookSometimes, WriteRate], make=wide)
    assert groups


def test_after_two_groups_in_a_row_that_were_dropped_there_are_no_more(groups):
    class Looks(Hook):
        def on_train_batch_end(self, batch, logs=None):
            if batch > 5 and batch % GROUP == 3:  # within each group
                self.look()

    assert_unnoticed(source(60), [Looks], epochs=1)
    assert len(groups) == 3 and [group.place for group in groups[1:]] == [2, 2]


def test_the_logs_of_a_group_are_read_at_once_and_its_state_is_not_cut_for_nobody(groups, monkeypatch):
    read, cut = [], []
    monkeypatch.setattr(jax_ahead, "look", read.append)
    one = jax_ahead._cut
    monkeypatch.setattr(jax_ahead, "_cut", lambda *arguments: cut.append(arguments) or one(*arguments))
    trained(source(2 + 3 * GROUP), [Read()], 1, 1)
    assert len(read) == len(groups) == 3 and not cut


def test_the_state_of_a_group_is_whole_wherever_it_is_left():
    for count in range(GROUP + 1):
        model = counting_model(width=4)
        with load_backend().session(model) as session:
            step = session.begin("train")
            batch = Batch(*ones(1, width=4)[0], None, 1)
            step(batch)
            session._is_heard = True
            session._fuser.begin(GROUP)  # as if it had been found to pay
            stack = Stack(batch, GROUP)
            while not stack.is_full:
                stack.add(batch)
            session.foresee(stack)
            assert session._group is not None
            for _ in range(count):
                step(batch)
            session.wait()
        assert model.get_weights()[0][0].item() == 1 + count
        assert stoker.fit(model, ones(2, width=4), verbose=0).history["loss"]


@pytest.mark.parametrize(("state_bytes", "steps", "size"), [
    (20_000, None, 32), (20_000, 32, 32), (20_000, 31, 16), (20_000, 15, 1), (200_000, 100, 16), (200_000, 10, 1)])
def test_groups_are_larger_where_their_states_fit_a_cache(state_bytes, steps, size):
    foresight = jax_ahead.Foresight(lambda state, data: None, None, state_bytes, may_try=True)
    assert foresight.can_fuse and foresight.group_size(steps) == size
