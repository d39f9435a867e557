"""Frameworks that keep batches, alias their memory or lag behind never see overwritten data, and never bring the feed to a stop."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap

import pytest

LIMIT_S = 120

HEAD = """
    import numpy as np, stoker

    class Big(stoker.Sequence):
        def __len__(self): return 40
        def __getitem__(self, index): return np.full((128, 1024), index, np.float32), np.full(64, index)

    def batches(feed, epochs=3):
        for _ in range(epochs):
            yield from feed.epoch()

    def check(kept):
        assert len(kept) == 120
        for number, array in enumerate(kept):
            array = np.asarray(array)
            assert (array == number % 40).all(), (number, array.min(), array.max())
"""

CONSUMERS = {
    ("jax", "device_put"): """
        import jax
        with stoker.Feed(Big(), workers=2, processes=True) as feed:
            check([jax.device_put(x) for x, _ in batches(feed)])
    """,
    ("jax", "jit lags"): """
        import jax
        double = jax.jit(lambda x: x * 1.0 + 0.0)
        with stoker.Feed(Big(), workers=2, processes=True, max_queue_size=3) as feed:
            check([double(x) for x, _ in batches(feed)])
    """,
    ("jax", "only the last"): """
        import jax
        total = jax.jit(lambda s, x: s + x.sum())
        s = 0.0
        with stoker.Feed(Big(), workers=2, processes=True, max_queue_size=1) as feed:
            for x, _ in batches(feed):
                s = total(s, x)
        assert float(s) == 3 * sum(range(40)) * 128 * 1024
    """,
    ("torch", "from_numpy"): """
        import torch
        with stoker.Feed(Big(), workers=2, processes=True) as feed:
            check([torch.from_numpy(x) for x, _ in batches(feed)])
    """,
    ("torch", "a view of it"): """
        import torch
        with stoker.Feed(Big(), workers=2, processes=True, max_queue_size=2) as feed:
            check([torch.from_numpy(x)[5:9].T for x, _ in batches(feed)])
    """,
    ("tensorflow", "from_generator"): """
        import tensorflow as tf
        with stoker.Feed(Big(), workers=2, processes=True, max_queue_size=4) as feed:
            data = tf.data.Dataset.from_generator(
                lambda: (x for x, _ in batches(feed)), output_signature=tf.TensorSpec((128, 1024), tf.float32))
            check([x for x in data.prefetch(3)])
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "way"), CONSUMERS)
def test_a_consumer_of_any_framework_sees_right_data(framework, way, tmp_path):
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    path = tmp_path / "consumer.py"
    path.write_text(textwrap.dedent(HEAD) + textwrap.dedent(CONSUMERS[framework, way]), encoding="utf-8")
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
