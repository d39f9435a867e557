"""Does making a batch overlap with the step? A source of g ms and a step of s ms should take max(g, s), not g + s.

Run ``python benchmarks/bench_overlap.py`` (or with names of backends). The step waits, as for a device, and needs no core for that; or it
computes: a dense model of the right size, with threads for one core. The source sleeps (as one that reads a disk does), computes in numpy, which
lets go of the GIL for half a millisecond at a time (``numpy``, and ``numpy, shorter``, which takes three quarters of a step) or for 10 us
(``small numpy``), or computes in Python and holds the GIL. Each number is the median of five turns; a turn of a loader is the second epoch of a
call. All ways take turns: the steps alone, the source alone, the loaders, and two processes that share nothing but the machine, one of which takes
the steps while the other makes the batches. No loader can be expected to do better than those two.

Results: two cores of a shared machine, whose speed changes by a third within minutes, Python 3.11, Keras 3.15.1, JAX 0.10.2, PyTorch 2.13.0,
TensorFlow 2.21.0::

    backend    the step the source     step ms make ms     nothing shared      stoker thread stoker 2 processes    keras generator
    jax        waits    sleeps             9.3     9.5               1.00               1.00               0.98               2.00
    jax        waits    numpy              8.6     9.7               0.99               1.02               0.97               2.00
    jax        waits    numpy, shorter     9.0     7.0               1.00               1.01               1.02               1.86
    jax        waits    small numpy        8.9     9.1               0.99               1.11               1.01               2.02
    jax        waits    holds the GIL      8.9     8.3               1.05               1.23               1.04               2.18
    jax        computes sleeps            11.9    12.0               1.01               1.02               1.03               1.13
    jax        computes numpy             11.8    11.3               1.02               1.03               1.06               1.10
    jax        computes numpy, shorter    11.6     8.4               1.03               0.99               1.05               1.05
    jax        computes small numpy       11.5    12.4               1.01               1.05               0.95               1.05
    jax        computes holds the GIL      9.9    12.5               1.09               1.10               0.94               1.32
    torch      waits    sleeps            11.2    12.1               1.00               1.00               0.93               2.03
    torch      waits    numpy             11.1    12.5               1.01               1.04               1.00               2.03
    torch      waits    numpy, shorter    12.5     8.4               0.97               1.01               1.02               1.68
    torch      waits    small numpy       12.2    12.0               1.00               1.39               1.04               2.12
    torch      waits    holds the GIL     12.4    14.4               0.87               1.52               0.96               2.08
    torch      computes sleeps            10.4     9.7               0.95               0.96               0.76               2.51
    torch      computes numpy              9.1    10.0               1.02               1.05               0.98               2.54
    torch      computes numpy, shorter     7.8     7.0               1.05               0.89               1.12               2.36
    torch      computes small numpy        7.1     9.6               1.05               1.20               0.96               2.19
    torch      computes holds the GIL      8.0     6.4               1.00               1.85               1.07               2.36
    tensorflow waits    sleeps             9.6     9.7               1.00               1.01               0.99               1.12
    tensorflow waits    numpy              8.9     9.8               1.00               1.01               1.03               1.12
    tensorflow waits    numpy, shorter     9.2     6.9               0.99               1.00               1.02               1.09
    tensorflow waits    small numpy        8.9     9.6               1.00               1.14               1.04               1.27
    tensorflow waits    holds the GIL      9.5     8.9               1.01               1.42               1.13               1.69
    tensorflow computes sleeps            16.0    13.8               1.04               1.09               1.13               1.20
    tensorflow computes numpy             17.2    14.2               0.91               1.14               1.10               1.18
    tensorflow computes numpy, shorter    16.1     9.8               0.86               1.07               1.03               1.15
    tensorflow computes small numpy       15.8    13.1               0.93               1.12               1.06               1.26
    tensorflow computes holds the GIL     15.8    15.4               1.18               1.11               1.22               1.42

Where the step waits, the row says what the loop and the feed cost. Where it computes, it has one of two cores, the source has the other, and
everything else that the machine does makes itself felt. Over several runs

- a thread with numpy took 1.02 to 1.11 on JAX, where those that share nothing took 1.02 to 1.10, and 0.98 to 1.05 on PyTorch; on TensorFlow 1.01
  to 1.06 in minutes in which a step took 8 to 12 ms, and 1.07 to 1.21 in those in which the same step took 13 to 17;
- two processes beside a source that holds the GIL took 0.90 to 1.03 on JAX, 0.90 to 1.07 on PyTorch, and 0.97 to 1.22 on TensorFlow, where those
  that share nothing took 0.98 to 1.18.

A step that computes on JAX takes 1.09 cores of CPU time even with threads for one: on two cores that a source fills too, 1.05 is the least there can
be. On TensorFlow, in a minute in which it took 1.02, the threads of a step took as much CPU time with a thread beside them as without one, one after
the other on one core, and the source kept the other busy to the full.

The thread of a source needs the GIL between two of its operations, and waits while the caller's thread hands a step over. A step on PyTorch that runs
somebody's own layer is not recorded, and is 3 ms of Python; a thread that wants the GIL every 10 us waits for that Python each time: processes
are the remedy. Where two processes make 9 ms of Python for each step, two cores are busy for 17 of 20 ms, and a step that waits begins up to
1 ms later for that (``tensorflow waits holds the GIL``; 0.88, 1.03 and 1.02 in later runs).

How to read it: time a step over max(g, s); 1.00 is a perfect overlap, 2.00 none.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
from time import perf_counter, sleep

import numpy as np

BACKENDS = ("jax", "torch", "tensorflow")
TURNS = 5
STEPS = 100
ROWS = 64
VALUES = np.ones(1_000_000)
ONE_CORE = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


class Source:
    """Batches that take as long to make as ``work(rounds)``."""

    def __init__(self, work, rounds: float, batch) -> None:
        self.work, self.rounds, self.batch = work, rounds, batch

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, index: int):
        self.work(self.rounds)
        return self.batch


def sleeping(rounds: float) -> None:
    """Waits, as for a disk."""
    sleep(rounds / 1000)


def numpy_work(rounds: float, elements: int = 1_000_000) -> None:
    """Work that releases the GIL for half a millisecond and more at a time, one core wide."""
    values = VALUES[:elements]
    for _ in range(round(rounds)):
        np.sqrt(values, out=values)


def small_numpy_work(rounds: float) -> None:
    """The same for some microseconds at a time."""
    numpy_work(rounds, 20_000)


def python_work(rounds: float) -> int:
    """Work that holds the GIL."""
    total = 0
    for number in range(round(rounds)):
        total += number & 7
    return total


KINDS = {
    "sleeps": (sleeping, 1), "numpy": (numpy_work, 1), "numpy, shorter": (numpy_work, 0.75), "small numpy": (small_numpy_work, 1),
    "holds the GIL": (python_work, 1)}
"""Kinds of work, and how long it takes as a share of a step."""


def rounds_in(seconds: float, work) -> float:
    """How many rounds of a kind of work take so long on a core that does nothing else."""
    rounds = 1
    while True:
        took_s = seconds_of(lambda rounds=rounds: work(rounds))
        if took_s > 0.2:
            return rounds * seconds / took_s
        rounds *= 2


class Apart:
    """A process that does the work of an epoch's source, and shares nothing with the one that takes the steps but the machine."""

    def __init__(self, kind: str, rounds: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--work", kind, str(rounds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._process.stdout.readline()

    def work_beside(self, steps) -> None:
        """Returns when both have ended."""
        print(file=self._process.stdin, flush=True)
        steps()
        self._process.stdout.readline()

    def end(self) -> None:
        self._process.communicate()

    @staticmethod
    def run(kind: str, rounds: str) -> None:
        print("ready", flush=True)
        for _ in sys.stdin:
            for _ in range(STEPS):
                KINDS[kind][0](float(rounds))
            print("done", flush=True)


def stopwatch(keras):
    """A callback that times the second epoch: in the first one things start."""

    class Watch(keras.callbacks.Callback):
        began = seconds = 0.0

        def on_epoch_begin(self, epoch, logs=None):
            self.began = perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds = perf_counter() - self.began

    return Watch()


def make_threads_for_one_core() -> None:
    """Train once where only one core may be used: JAX has no variable for how many threads a step takes. Then all cores may be used again."""
    import keras

    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(np.zeros((1, 2)), np.zeros((1, 1)))
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), cores)


def seconds_of(run) -> float:
    """How long a call takes."""
    began = perf_counter()
    run()
    return perf_counter() - began


def model_that_computes(least_s: float, width: int):
    """A dense model whose step takes longer the wider it is."""
    import keras

    return keras.Sequential([keras.Input((width,)), *(keras.layers.Dense(width, "relu") for _ in range(4)), keras.layers.Dense(1)])


def model_that_waits(least_s: float, width: int):
    """A small model with a layer that waits so long, and needs no core for that, as a step on a device does."""
    import keras

    class Waits(keras.layers.Layer):
        def build(self, shape):
            self.call = waiting(least_s)

    return keras.Sequential([keras.Input((width,)), Waits(), keras.layers.Dense(1)])


def waiting(least_s: float):
    """An operation of the backend that gives back what it gets once so much time has passed."""
    import keras

    def wait(value):
        sleep(least_s)
        return value

    if keras.backend.backend() == "jax":
        import jax

        return lambda value: value + jax.pure_callback(wait, jax.ShapeDtypeStruct((), value.dtype), value[0, 0] * 0)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return lambda value: tf.ensure_shape(tf.numpy_function(wait, [value], value.dtype), value.shape)
    import torch

    return torch.library.custom_op("bench::waits", lambda value: wait(value.clone()), mutates_args=(), schema="(Tensor value) -> Tensor")


MODELS = {"waits": model_that_waits, "computes": model_that_computes}


def model_with_steps_of(least_s: float, make):
    """``(model, batch, seconds a step)`` of a model whose step takes at least so long, trained until nothing starts any more."""
    import stoker

    width = 64
    draw = np.random.default_rng(0)
    while True:
        model = make(least_s, width)
        model.compile("sgd", "mse")
        batch = draw.normal(size=(ROWS, width)).astype("float32"), np.zeros((ROWS, 1), "float32")
        for _ in range(3):  # PyTorch's steps are recorded in the second
            stoker.fit(model, [batch] * STEPS, verbose=0)
        step_s = seconds_of(lambda: stoker.fit(model, [batch] * STEPS, verbose=0, workers=0)) / STEPS
        if step_s > least_s:
            return model, batch, step_s
        width = int(width * 1.4)


def ways_of(model, source: Source, apart: Apart) -> dict:
    """Each way by its name: a call that gives the seconds of an epoch."""
    import keras

    import stoker

    watch = stopwatch(keras)
    two = {"epochs": 2, "verbose": 0, "callbacks": [watch]}

    def generator():
        while True:
            yield source[0]

    def steps() -> None:
        stoker.fit(model, [source.batch] * STEPS, verbose=0, workers=0)

    def second_epoch(run) -> float:
        run()
        return watch.seconds

    return {
        "step alone": lambda: seconds_of(steps),
        "make alone": lambda: seconds_of(lambda: [source[index] for index in range(STEPS)]),
        "nothing shared": lambda: seconds_of(lambda: apart.work_beside(steps)),
        "stoker thread": lambda: second_epoch(lambda: stoker.fit_generator(model, source, workers=1, **two)),
        "stoker 2 processes": lambda: second_epoch(lambda: stoker.fit_generator(model, source, workers=2, use_multiprocessing=True, **two)),
        "keras generator": lambda: second_epoch(lambda: model.fit(generator(), steps_per_epoch=STEPS, **two)),
    }


def measure(least_s: float, step: str):
    """Yields a kind of source and milliseconds a batch of each way, for each kind.

    Args:
        step: what it does, of ``MODELS``.
    """
    make_threads_for_one_core()
    model, batch, step_s = model_with_steps_of(least_s, MODELS[step])
    for kind, (work, share) in KINDS.items():
        source = Source(work, rounds_in(step_s * share, work), batch)
        apart = Apart(kind, source.rounds)
        ways = ways_of(model, source, apart)
        times = {way: [] for way in ways}
        for _ in range(TURNS):
            for way, run in ways.items():
                times[way].append(run() / STEPS * 1e3)
        apart.end()
        yield kind, {way: statistics.median(found) for way, found in times.items()}


def main() -> None:
    asked = sys.argv[1:]
    if "--work" in asked:
        Apart.run(*asked[1:])
        return
    if "--inner" in asked:
        for kind, times in measure(0.008, asked[1]):
            step, make, *others = times.values()
            print(f"{os.environ['KERAS_BACKEND']:10} {asked[1]:8} {kind:14} {step:7.1f} {make:7.1f} "
                  + " ".join(f"{took / max(step, make):18.2f}" for took in others), flush=True)
        return
    print(f"{'backend':10} {'the step':8} {'the source':14} {'step ms':>7} {'make ms':>7} "
          f"{'nothing shared':>18} {'stoker thread':>18} {'stoker 2 processes':>18} {'keras generator':>18}", flush=True)
    for backend in BACKENDS:
        if (backend in asked or not asked) and importlib.util.find_spec(backend):
            environment = {**os.environ, **ONE_CORE, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
            for step in MODELS:
                subprocess.run([sys.executable, __file__, "--inner", step], env=environment, stderr=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
