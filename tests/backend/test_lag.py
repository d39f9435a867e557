"""Steps under way, and arrays that a source uses again."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import stoker
from stoker.backend.lag import Lag
from stoker.batch.form import Batch
from stoker.batch.memory import LARGE_BATCH_BYTES, STEPS_UNDER_WAY


def batch(size_bytes, form):
    return Batch(np.zeros(size_bytes, np.uint8), None, None, 1, form)


def test_large_batches_are_waited_for_and_small_ones_are_not():
    waited = []
    lag = Lag(waited.append)
    large, small = object(), object()
    for number in range(10):
        lag.handed_over(batch(LARGE_BATCH_BYTES, large), number)
    assert waited == list(range(10 - STEPS_UNDER_WAY))
    for number in range(10, 20):
        lag.handed_over(batch(100, small), number)
    assert len(waited) == 10 - STEPS_UNDER_WAY


def test_forms_that_are_not_known_are_looked_at_each_time():
    waited = []
    lag = Lag(waited.append)
    for size_bytes in [LARGE_BATCH_BYTES, 10] * 8:
        lag.handed_over(batch(size_bytes, None), size_bytes)
    assert waited == [LARGE_BATCH_BYTES] * (8 - STEPS_UNDER_WAY)


def aligned(shape):
    """An array that JAX on a CPU reads from where it lies: 64 bytes aligned."""
    size = int(np.prod(shape)) * 4
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.__array_interface__["data"][0] % 64
    return memory[start:start + size].view(np.float32).reshape(shape)


@pytest.mark.slow
@pytest.mark.parametrize("rows, width", [(64, 1024), (64, 64)], ids=["large", "small"])
@pytest.mark.parametrize("ring, options", [
    (1, {}), (2, {"workers": 0}), (2, {"max_queue_size": 1}), (4, {"max_queue_size": 2}), (12, {}), (16, {}), (20, {"workers": 0})])
def test_a_generator_that_goes_round_a_ring_of_buffers_is_predicted_right(ring, options, rows, width):
    model = keras.Sequential([keras.Input((width,)), *(keras.layers.Dense(256, "relu") for _ in range(3)), keras.layers.Dense(1)])

    def batches(copies):
        buffers = [aligned((rows, width)) for _ in range(ring)]
        for number in range(10**6):
            buffer = buffers[number % ring]
            buffer[:] = (number * 37 % 101) / 101
            yield buffer.copy() if copies else buffer

    expected = stoker.predict(model, batches(True), steps=60)
    assert np.allclose(stoker.predict(model, batches(False), steps=60, **options), expected, atol=1e-5)


@pytest.mark.thinned(3)
@pytest.mark.parametrize("steps_per_execution", [1, 16])
@pytest.mark.parametrize("ring", [1, 3, 16])
def test_a_generator_that_goes_round_a_ring_of_buffers_is_trained_on_right(ring, steps_per_execution):
    def trained(copies):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        more = {} if keras.backend.backend() == "torch" else {"steps_per_execution": steps_per_execution}
        model.compile("sgd", "mse", **more)

        def batches():
            buffers = [(aligned((4, 8)), aligned((4, 1))) for _ in range(ring)]
            for number in range(10**6):
                x, y = buffers[number % ring]
                x[:], y[:] = number % 7 / 7, number % 5 / 5
                yield (x.copy(), y.copy()) if copies else (x, y)

        return stoker.fit(model, batches(), steps_per_epoch=50, epochs=3, verbose=0).history["loss"]

    assert np.allclose(trained(True), trained(False), rtol=1e-5)
