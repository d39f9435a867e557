"""Does making a batch overlap with the step? A source of g ms and a step of s ms should take max(g, s), not g + s.

Run ``python benchmarks/bench_overlap.py`` (or with names of backends). The model's step is made s ms long by a dense model of the right size,
measured alone; the source sleeps (as one that reads a disk does), computes in numpy, which lets go of the GIL for half a millisecond at a time
(``numpy``) or for 10 us (``small numpy``), or computes in Python and holds the GIL. The step has one core, as if it ran on a device, and the
source the other. Each number is the median of five turns, each the second epoch of a
call; all ways take turns, with them two processes that share nothing but the machine, one of which takes the steps while the other makes
the batches: no loader can be expected to do better than that.

Results: two cores of a shared machine in an hour in which others used it too, Python 3.11, Keras 3.15.1, JAX 0.10.2, PyTorch 2.13.0,
TensorFlow 2.21.0::

    backend    the source         step ms make ms     nothing shared      stoker thread stoker 2 processes    keras generator
    jax        sleeps                12.2    12.3               1.00               1.01               0.87               1.09
    jax        numpy                 12.2    13.1               1.00               1.02               0.99               1.07
    jax        small numpy           12.2    12.3               1.04               1.12               1.03               1.11
    jax        holds the GIL         12.2    10.9               1.22               1.09               0.94               0.99
    torch      sleeps                 8.9     9.2               1.07               1.01               0.95               2.58
    torch      numpy                  8.9     8.6               1.01               0.99               1.04               2.29
    torch      small numpy            8.9     9.1               1.02               1.27               1.00               2.49
    torch      holds the GIL          8.9     8.4               1.06               1.88               1.04               2.61
    tensorflow sleeps                 9.2     9.5               1.01               1.01               0.99               1.15
    tensorflow numpy                  9.2     9.9               1.02               1.02               0.99               1.18
    tensorflow small numpy            9.2     9.2               1.04               1.25               1.01               1.43
    tensorflow holds the GIL          9.2     8.3               0.92               1.22               1.04               1.32

In quieter hours a thread beside a step on JAX took 1.00 (sleeps), 1.04 (numpy) and 1.05 (holds the GIL), on PyTorch 0.99, 1.05 and 1.2, on
TensorFlow 1.01, 1.02 and 1.03. What two processes that share nothing take shows how much of the rest is the machine's.

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


KINDS = {"sleeps": sleeping, "numpy": numpy_work, "small numpy": small_numpy_work, "holds the GIL": python_work}


def rounds_in(seconds: float, work) -> float:
    """How many rounds of a kind of work take so long on a core that does nothing else."""
    rounds = 1
    while True:
        began = perf_counter()
        work(rounds)
        took_s = perf_counter() - began
        if took_s > 0.2:
            return rounds * seconds / took_s
        rounds *= 2


class Apart:
    """A process that does the work of an epoch's source, and shares nothing with the one that takes the steps but the machine."""

    def __init__(self, kind: str, rounds: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--work", kind, str(rounds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._process.stdout.readline()

    def work_beside(self, steps) -> float:
        """Seconds until both have ended."""
        began = perf_counter()
        print(file=self._process.stdin, flush=True)
        steps()
        self._process.stdout.readline()
        return perf_counter() - began

    def end(self) -> None:
        self._process.communicate()

    @staticmethod
    def run(kind: str, rounds: str) -> None:
        print("ready", flush=True)
        for _ in sys.stdin:
            for _ in range(STEPS):
                KINDS[kind](float(rounds))
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


def measure(step_target_s: float):
    """Yields lines of the table."""
    make_threads_for_one_core()
    import keras

    import stoker

    width = 64
    draw = np.random.default_rng(0)
    while True:
        model = keras.Sequential([keras.Input((width,)), *(keras.layers.Dense(width, "relu") for _ in range(4)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        batch = draw.normal(size=(ROWS, width)).astype("float32"), np.zeros((ROWS, 1), "float32")
        quick = [batch] * STEPS
        for _ in range(3):  # PyTorch's steps are recorded in the second
            stoker.fit(model, quick, verbose=0)
        began = perf_counter()
        stoker.fit(model, quick, verbose=0, workers=0)
        step_s = (perf_counter() - began) / STEPS
        if step_s > step_target_s:
            break
        width = int(width * 1.4)
    for kind, work in KINDS.items():
        source = Source(work, rounds_in(step_s, work), batch)
        began = perf_counter()
        for index in range(10):
            source[index]
        make_s = (perf_counter() - began) / 10

        class Data(keras.utils.PyDataset):
            __len__ = Source.__len__
            __getitem__ = Source.__getitem__

        def generator(source=source):
            while True:
                yield source[0]

        watch = stopwatch(keras)
        two = {"epochs": 2, "verbose": 0, "callbacks": [watch]}
        ways = {
            "stoker thread": lambda: stoker.fit_generator(model, source, workers=1, **two),
            "stoker 2 processes": lambda: stoker.fit_generator(model, source, workers=2, use_multiprocessing=True, **two),
            "keras generator": lambda: model.fit(generator(), steps_per_epoch=STEPS, **two),
        }
        times = {way: [] for way in ("nothing shared", *ways)}
        apart = Apart(kind, source.rounds)
        for _ in range(TURNS):
            times["nothing shared"].append(apart.work_beside(lambda: stoker.fit(model, quick, verbose=0, workers=0)) / STEPS)
            for way, run in ways.items():
                run()
                times[way].append(watch.seconds / STEPS)
        apart.end()
        shares = {way: statistics.median(found) / max(make_s, step_s) for way, found in times.items()}
        yield kind, step_s, make_s, shares


def main() -> None:
    asked = sys.argv[1:]
    if "--work" in asked:
        Apart.run(*asked[1:])
        return
    if "--inner" in asked:
        for kind, step_s, make_s, shares in measure(0.008):
            print(f"{os.environ['KERAS_BACKEND']:10} {kind:18} {step_s * 1e3:7.1f} {make_s * 1e3:7.1f} "
                  + " ".join(f"{share:18.2f}" for share in shares.values()), flush=True)
        return
    print(f"{'backend':10} {'the source':18} {'step ms':>7} {'make ms':>7} {'nothing shared':>18} {'stoker thread':>18} {'stoker 2 processes':>18} {'keras generator':>18}")
    for backend in BACKENDS:
        if (backend in asked or not asked) and importlib.util.find_spec(backend):
            environment = {**os.environ, **ONE_CORE, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
            subprocess.run([sys.executable, __file__, "--inner"], env=environment, stderr=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
