"""Does making a batch overlap with the step? A source of g ms and a step of s ms should take max(g, s), not g + s.

Run ``python benchmarks/bench_overlap.py`` (or with names of backends). The model's step is made s ms long by a dense model of the right size,
measured alone; the source sleeps (as one that reads a disk does), computes in numpy, which lets go of the GIL for half a millisecond at a time
(``numpy``, and ``numpy, shorter``, which takes three quarters of a step) or for 10 us (``small numpy``), or computes in Python and holds the
GIL. The step has one core, as if it ran on a device, and the source the other. Each number is the median of five turns; a turn of a loader is
the second epoch of a call. All ways take turns: the steps alone, the source alone, the loaders, and two processes that share nothing but the
machine, one of which takes the steps while the other makes the batches. No loader can be expected to do better than those two.

Results: two cores of a shared machine, whose speed changes by a third within minutes, Python 3.11, Keras 3.15.1, JAX 0.10.2, PyTorch 2.13.0,
TensorFlow 2.21.0; of most rows two or three runs::

    backend    the source         step ms make ms     nothing shared      stoker thread stoker 2 processes    keras generator
    jax        sleeps                 9.5    11.5               1.00               1.01               0.82               1.08
    jax        sleeps                 9.7    10.2               1.01               1.02               0.92               1.08
    jax        numpy                  9.6    11.2               1.06               1.10               1.04               1.10
    jax        numpy                  9.2     9.7               1.05               1.06               1.06               1.10
    jax        numpy                  8.8     9.7               1.08               1.11               1.06               1.13
    jax        numpy, shorter         9.7     8.4               1.07               1.00               1.13               1.06
    jax        small numpy           10.2    11.5               1.04               1.14               1.05               1.11
    jax        small numpy            8.9    10.1               1.03               1.07               1.00               1.09
    jax        holds the GIL          9.7    13.3               0.92               1.04               0.90               1.04
    jax        holds the GIL         10.8    11.4               1.12               1.28               1.03               1.18
    jax        holds the GIL          8.8    10.1               1.00               1.11               1.01               1.10
    torch      sleeps                14.5    12.6               1.02               0.97               0.86               2.28
    torch      numpy                 14.3    12.6               1.14               0.98               1.00               2.09
    torch      numpy                 12.0    12.5               1.06               1.02               1.01               2.12
    torch      small numpy           12.3    12.0               1.09               1.17               1.06               2.43
    torch      holds the GIL         13.7    10.7               1.04               1.57               0.90               1.96
    torch      holds the GIL         10.8    13.5               0.94               1.52               0.93               2.05
    tensorflow sleeps                13.3    13.2               1.14               1.02               1.07               1.19
    tensorflow sleeps                12.9    12.8               1.02               1.01               1.02               1.18
    tensorflow numpy                 15.2    12.6               1.03               1.21               1.10               1.24
    tensorflow numpy                 14.0    12.6               0.98               1.09               1.01               1.25
    tensorflow numpy                 12.8    11.1               1.02               1.07               1.05               1.21
    tensorflow numpy, shorter        12.5     8.4               0.94               1.17               1.02               1.14
    tensorflow small numpy           14.0    13.0               1.04               1.10               1.12               1.38
    tensorflow small numpy           15.2    12.9               0.87               1.09               1.01               1.17
    tensorflow holds the GIL         12.6    10.7               1.02               1.14               1.05               1.39
    tensorflow holds the GIL         16.2    14.4               0.98               1.27               0.97               1.35

In quiet minutes, in which a step on TensorFlow took 7.6 ms, a thread beside it took 1.01 with numpy and processes 0.96. In quieter hours of other
days a thread beside a step on JAX took 1.00 (sleeps), 1.02 and 1.04 (numpy) and 1.05 (holds the GIL), on PyTorch 0.99, 1.05 and 1.2, on TensorFlow 1.01,
1.02 and 1.03. What two processes that share nothing take shows how much of the rest is the machine's.

The thread of a source needs the GIL between two of its operations, and waits while the caller's thread hands a step over: 0.4 ms in quiet minutes
on TensorFlow, and 0.8 in others.

A step on JAX takes 1.09 cores of CPU time even with threads for one: on two cores that a source fills too, 1.05 is the least there can be.
On PyTorch a step is many operations with Python between them, and a thread that wants the GIL every 10 us waits for that Python each time:
processes are the remedy.

How to read it: time a step over max(g, s); 1.00 is a perfect overlap, 2.00 none. Two cores: a source that computes and a step that uses both
cores cannot overlap by more than the cores allow.
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


def model_with_steps_of(least_s: float):
    """``(model, batch, seconds a step)`` of a dense model just large enough to take at least so long, trained until nothing starts any more."""
    import keras

    import stoker

    width = 64
    draw = np.random.default_rng(0)
    while True:
        model = keras.Sequential([keras.Input((width,)), *(keras.layers.Dense(width, "relu") for _ in range(4)), keras.layers.Dense(1)])
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


def measure(least_s: float):
    """Yields a kind of source and milliseconds a batch of each way, for each kind."""
    make_threads_for_one_core()
    model, batch, step_s = model_with_steps_of(least_s)
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
        for kind, times in measure(0.008):
            step, make, *others = times.values()
            print(f"{os.environ['KERAS_BACKEND']:10} {kind:18} {step:7.1f} {make:7.1f} "
                  + " ".join(f"{took / max(step, make):18.2f}" for took in others), flush=True)
        return
    print(f"{'backend':10} {'the source':18} {'step ms':>7} {'make ms':>7} {'nothing shared':>18} {'stoker thread':>18} {'stoker 2 processes':>18} {'keras generator':>18}")
    for backend in BACKENDS:
        if (backend in asked or not asked) and importlib.util.find_spec(backend):
            environment = {**os.environ, **ONE_CORE, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
            subprocess.run([sys.executable, __file__, "--inner"], env=environment, stderr=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
