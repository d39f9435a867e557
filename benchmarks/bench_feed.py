"""How fast do batches reach the consumer, and what do they cost?

    python benchmarks/bench_feed.py            # all; about 25 minutes
    python benchmarks/bench_feed.py tiny image # some workloads

Each cell is a process of its own that takes batches with two workers for about a second after a warm-up; systems are interleaved, and
the medians of five rounds are shown. `first` is the time from opening the loader to the first batch (imports done before); `cpu` the CPU
time of the whole process tree per batch; `mem` the largest proportional memory (PSS) of the tree. Batches are looked at (one element of
each array is read) and dropped.

``nothing carried`` is two processes that make batches and hand none over: the workers of no loader can give more on this machine.

Results: Python 3.11.7, numpy 2.4.6, Keras 3.15.1, PyTorch 2.13.0, Grain 0.2.18, two cores of a shared machine; nothing else ran, except
where said below; medians of 5::

    tiny: 32 x 16 float32 and 32 x 1 float32: 2 KB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process           371,209                54.74          1.00     0.00     0.00      24
        nothing carried      701,075               103.38          1.89              0.00      25
        keras threads         26,742                 3.94          0.07     0.01     0.04     328
        keras processes        6,781                 1.00          0.02     0.03     0.22     340
        torch numpy            5,535                 0.82          0.01     0.04     0.28     258
        torch tensors            648                 0.10          0.00     0.06     1.93     262
        grain processes        1,215                 0.18          0.00     0.87     1.61     334
        stoker threads        72,261                10.66          0.19     0.02     0.01      35
        stoker processes      91,609                13.51          0.25     0.16     0.02      73
        stoker empty          89,332                13.17          0.24     0.16     0.02      73

    image: 64 x 224 x 224 x 3 float32: 38.5 MB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process               177                 4.98          1.00     0.01     5.71      44
        nothing carried          313                 8.80          1.77              6.75      72
        keras threads            242                 6.82          1.37     0.01     7.70     443
        keras processes            4                 0.12          0.02     0.48   374.00     543
        torch numpy                8                 0.21          0.04     0.37   215.00     664
        torch tensors             36                 1.00          0.20     0.18    56.94     539
        grain processes            4                 0.11          0.02     3.66   661.67    3738
        stoker threads           281                 7.89          1.59     0.03     6.98      85
        stoker processes         196                 5.51          1.11     0.22    10.05     650
        stoker empty             475                13.35          2.68     0.22     3.83     496

    uint8: 64 x 224 x 224 x 3 uint8: 9.6 MB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process             5,322                38.31          1.00     0.00     0.19      34
        nothing carried        8,295                59.71          1.56              0.26      53
        keras threads          1,829                13.16          0.34     0.01     0.99     453
        keras processes           30                 0.22          0.01     0.12    56.00     427
        torch numpy               31                 0.22          0.01     0.10    45.48     411
        torch tensors            139                 1.00          0.03     0.07    13.21     366
        grain processes           15                 0.11          0.00     1.29   170.56    2283
        stoker threads         2,284                16.44          0.43     0.02     0.86     151
        stoker processes       1,157                 8.33          0.22     0.21     1.64     218
        stoker empty           1,529                11.01          0.29     0.18     1.17     180

    dict: A dict of 20 inputs and one of 3 targets, each 64 x 16 float32.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process            24,797                11.96          1.00     0.00     0.04      25
        nothing carried       47,526                22.93          1.92              0.05      34
        keras threads          4,767                 2.30          0.19     0.01     0.26     334
        keras processes        1,660                 0.80          0.07     0.04     0.95     347
        torch numpy            2,073                 1.00          0.08     0.05     0.78     265
        torch tensors             52                 0.02          0.00     0.14    21.54     268
        grain processes          253                 0.12          0.01     1.02     7.59     433
        stoker threads         5,408                 2.61          0.22     0.01     0.23      48
        stoker processes      15,996                 7.72          0.65     0.18     0.11     128
        stoker empty          14,610                 7.05          0.59     0.23     0.12      91

    csv: 64 lines of 40 numbers, parsed in pure Python.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process             1,204                 0.83          1.00     0.02     0.84      31
        nothing carried        2,318                 1.61          1.93              0.94      39
        keras threads            974                 0.68          0.81     0.04     1.10     329
        keras processes        1,358                 0.94          1.13     0.05     1.34     342
        torch numpy            1,442                 1.00          1.20     0.06     1.26     250
        torch tensors            409                 0.28          0.34     0.08     3.29     254
        grain processes          957                 0.66          0.79     1.25     1.89     347
        stoker threads           950                 0.66          0.79     0.04     1.19      42
        stoker processes       2,301                 1.60          1.91     0.23     0.87      77
        stoker empty           2,179                 1.51          1.81     0.25     0.92      77

    jpeg: 64 JPEG files of 256 x 256, decoded, resized to 160 x 160, half of them flipped.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process                11                 0.57          1.00     0.15    95.16      41
        nothing carried           19                 1.05          1.85            104.18      60
        keras threads             18                 0.99          1.74     0.15   105.50     351
        keras processes           16                 0.88          1.54     0.21   118.47     377
        torch numpy               17                 0.89          1.57     0.21   119.50     319
        torch tensors             18                 1.00          1.76     0.17   108.09     276
        grain processes           17                 0.92          1.61     2.84   115.10     608
        stoker threads            19                 1.03          1.82     0.16   100.17      67
        stoker processes          20                 1.10          1.93     0.40    98.21     150
        stoker empty              22                 1.17          2.06     0.35    92.00     143

The speed of the machine changes by the minute: of four dict cells one behind another two gave 14,000 batches a second and one 9,600. On other
days, most beside other work, dict made 5.79, 5.85, 6.01, 5.78, 8.71 and 6.42 times the best process peer, and CSV, with a queue of 10, 1.37, 1.35,
1.58, 1.61, 1.42 and 1.45 times it, and 1.56, 1.53, 1.68, 1.67, 1.47 and 1.45 times in-process. On the day of the table CSV made 1.64 times the
peer and 1.72 in-process in a second run, and with ``--queue 10`` for all systems 1.50 and 1.56, and 1.24 and 1.36 in a slow minute.

While dicts are carried a tenth or more of the two cores is idle: a worker that wakes up is put on the core of the other one, and the core that
the consumer leaves stays idle for a millisecond or more, because the kernel does not pull work to where it has been idle for short times only.

A dict of 23 arrays takes 80 to 115 us of the worker's CPU time (a half of that for the source, a tenth each to recognise the arrays and to join and
copy them, the rest to let go of them, for the loop and for messages) and 42 to 60 us of the consumer's (views and dicts, letting go of them,
messages, and 10 us for the look at each array that every system takes). With a queue of 10, as ``--queue 10`` has it for all systems, a message
carries 5 batches instead of 16, which costs 20 us for each batch.

CSV takes 0.72 ms of CPU time a batch in one process. In the workers it takes the same in good minutes, and 0.8 to 0.9 in others, where both cores
at once are slower than one: `nothing carried` is slower then too. Carrying it costs the workers 0.06 ms and the consumer 0.06 with a queue of
64, where a message carries four batches; 0.09 with one of 10, where it carries two: the consumer wakes up for each message on a core that has
run something else meanwhile, and three quarters of its time is Python with cold caches. Messages of three or four with a queue of 10 would take
15 us less and leave workers without asks.

How to read it: `x best process peer` is the rate over that of the fastest of Keras, PyTorch and Grain with processes in the same run. What is
cheap to make is fastest on threads or in process; processes pay where making a batch holds the GIL for longer than carrying it takes.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager, suppress

import numpy as np
from feed_sources import WORKLOADS

SECONDS = {"jpeg": 6.0}
"""How long a cell takes batches: long enough that what lay in buffers when it began counts for little."""
USUAL_SECONDS = 1.0
ROUNDS = 5
WORKERS = 2
QUEUE = {"tiny": 64, "dict": 64, "csv": 64}
"""Batches ahead of the consumer, for every system: 10, but for batches of a few kilobytes, of which a training takes as many at once."""
USUAL_QUEUE = 10
LIMIT_S = 30


@contextmanager
def in_process(make, queue):
    source = make()
    yield (source[index] for index in range(len(source)))


@contextmanager
def stoker_feed(make, queue, **ways):
    import stoker

    with stoker.Feed(make(), workers=WORKERS, max_queue_size=queue, **ways) as feed:
        yield feed.epoch()


@contextmanager
def stoker_empty(make, queue):
    import stoker

    source = make()
    source.empty = stoker.empty
    with stoker.Feed(source, workers=WORKERS, max_queue_size=queue, processes=True) as feed:
        yield feed.epoch()


@contextmanager
def keras_dataset(make, queue, processes):
    import keras
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    inner = make()

    class Dataset(keras.utils.PyDataset):
        def __len__(self):
            return len(inner)

        def __getitem__(self, index):
            return inner[index]

    data = Dataset(workers=WORKERS, use_multiprocessing=processes, max_queue_size=queue)
    adapter = PyDatasetAdapter(data)
    yield adapter._get_iterator()
    os._exit(0) if processes else None


@contextmanager
def torch_loader(make, queue, tensors):
    import torch
    from torch.utils.data import DataLoader, Dataset

    torch.set_num_threads(1)
    inner = make()

    class Batches(Dataset):
        def __len__(self):
            return len(inner)

        def __getitem__(self, index):
            return inner[index]

    def as_tensors(item):
        if isinstance(item, dict):
            return {key: as_tensors(value) for key, value in item.items()}
        if isinstance(item, tuple):
            return tuple(as_tensors(value) for value in item)
        return torch.from_numpy(item)

    loader = DataLoader(
        Batches(), batch_size=None, num_workers=WORKERS, prefetch_factor=queue // WORKERS,
        collate_fn=as_tensors if tensors else (lambda item: item))
    yield iter(loader)


@contextmanager
def grain_loader(make, queue):
    import grain.python as grain
    from absl import flags

    flags.FLAGS(["bench_feed"])
    inner = make()

    class Source:
        def __len__(self):
            return len(inner)

        def __getitem__(self, index):
            return inner[index]

    sampler = grain.IndexSampler(len(inner), shard_options=grain.NoSharding(), shuffle=False, num_epochs=1)
    loader = grain.DataLoader(
        data_source=Source(), sampler=sampler, worker_count=WORKERS, worker_buffer_size=queue // WORKERS)
    yield iter(loader)


UNCARRIED = "nothing carried"
SYSTEMS = {
    "in-process": in_process,
    UNCARRIED: None,
    "keras threads": lambda make, queue: keras_dataset(make, queue, False),
    "keras processes": lambda make, queue: keras_dataset(make, queue, True),
    "torch numpy": lambda make, queue: torch_loader(make, queue, False),
    "torch tensors": lambda make, queue: torch_loader(make, queue, True),
    "grain processes": grain_loader,
    "stoker threads": stoker_feed,
    "stoker processes": lambda make, queue: stoker_feed(make, queue, processes=True),
    "stoker empty": stoker_empty,
}
PROCESS_PEERS = ("keras processes", "torch numpy", "torch tensors", "grain processes")
IMPORTS = {"keras": ("keras",), "torch": ("torch",), "grain": ("grain.python",), "stoker": ("stoker.feed.feed",)}


def touch(item):
    """Read one element of each array, at as little cost as can be: it is the same for all systems, and no part of any."""
    kind = type(item)
    if kind is np.ndarray:
        item.item(-1)
    elif kind is dict:
        for value in item.values():
            touch(value)
    elif kind in (tuple, list):
        for value in item:
            touch(value)
    else:
        float(item.reshape(-1)[-1])  # a tensor


def tree_cost():
    """CPU seconds and proportional bytes of this process and its descendants."""
    import psutil

    cpu = memory = 0.0
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        try:
            times = process.cpu_times()
            cpu += times.user + times.system
            memory += process.memory_full_info().pss
        except psutil.Error:
            continue
    return cpu, memory


def measure_uncarried(workload):
    """What worker processes make that hand nothing over: on this machine no loader can get more from as many."""
    source = WORKLOADS[workload]()
    made = multiprocessing.RawArray("Q", WORKERS)

    def make(worker):
        for index in range(worker, len(source), WORKERS):
            source[index]
            made[worker] += 1

    makers = [multiprocessing.get_context("fork").Process(target=make, args=(worker,), daemon=True) for worker in range(WORKERS)]
    for maker in makers:
        maker.start()
    time.sleep(0.3)
    before, began = sum(made), time.perf_counter()
    time.sleep(SECONDS.get(workload, USUAL_SECONDS))
    rate = (sum(made) - before) / (time.perf_counter() - began)
    cpu, memory = tree_cost()
    for maker in makers:
        maker.kill()
    print(json.dumps({"rate": rate, "first_s": math.nan, "cpu_s": cpu / sum(made), "memory": memory}), flush=True)


def measure(system, workload, queue):
    """One cell, in this process."""
    warnings.simplefilter("ignore")
    if system == UNCARRIED:
        measure_uncarried(workload)
        return
    for module in IMPORTS.get(system.split()[0], ()):
        __import__(module)
    began = time.perf_counter()
    with SYSTEMS[system](WORKLOADS[workload], queue or QUEUE.get(workload, USUAL_QUEUE)) as batches:
        touch(next(batches))
        first_s = time.perf_counter() - began
        until = time.perf_counter() + 0.3
        while time.perf_counter() < until:
            touch(next(batches))
        cpu_before, _ = tree_cost()
        peak = [0.0]
        seconds = SECONDS.get(workload, USUAL_SECONDS)
        watcher = threading.Timer(seconds / 2, lambda: peak.append(tree_cost()[1]))
        watcher.start()
        count, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds:
            touch(next(batches))
            count += 1
        cpu, _ = tree_cost()
        watcher.join()
        result = {"rate": count / elapsed, "first_s": first_s, "cpu_s": (cpu - cpu_before) / count, "memory": max(peak)}
        print(json.dumps(result), flush=True)
        if system.startswith(("keras", "grain", "torch")):
            os._exit(0)


def environment():
    """That of a cell: every system's modules are compiled once, as an installation has them."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "KERAS_BACKEND": "jax", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def cell(system, workload, queue):
    """One cell, in a process group of its own that is killed at the end: some loaders leave workers behind. None where the system fails."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        done = subprocess.Popen(
            [sys.executable, __file__, "--cell", system, workload, "--queue", str(queue)], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            start_new_session=True, env=environment())
        try:
            done.wait(LIMIT_S)
            out.seek(0)
            err.seek(0)
            lines = [line for line in out if line.startswith("{")]
            if not lines:
                print(f"{system}, {workload}: {err.read().strip()[-300:]}", file=sys.stderr)
            return json.loads(lines[-1]) if lines else None
        except subprocess.TimeoutExpired:
            print(f"{system}, {workload}: no end after {LIMIT_S} s", file=sys.stderr)
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(done.pid, signal.SIGKILL)
            done.wait()


def median(cells, key):
    values = [one[key] for one in cells if one]
    return statistics.median(values) if values else float("nan")


def report(workload, cells):
    best = max((median(cells[peer], "rate") for peer in PROCESS_PEERS if any(cells[peer])), default=float("nan"))
    here = median(cells["in-process"], "rate")
    print(f"\n{workload}: {WORKLOADS[workload].__doc__.splitlines()[0]}")
    print(f"    {'system':<17}{'batches/s':>11}{'x best process peer':>21}{'x in-process':>14}{'first s':>9}{'cpu ms':>9}{'mem MB':>8}")
    for system, found in cells.items():
        rate = median(found, "rate")
        print(f"    {system:<17}{rate:>11,.0f}{rate / best:>21.2f}{rate / here:>14.2f}{median(found, 'first_s'):>9.2f}"
              f"{median(found, 'cpu_s') * 1e3:>9.2f}{median(found, 'memory') / 1e6:>8.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--queue", type=int, default=0, help="batches ahead of the consumer; 0: as the workload says")
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS))
    arguments = parser.parse_args()
    if arguments.cell:
        measure(*arguments.cell, arguments.queue)
        return
    print(f"Python {sys.version.split()[0]}, numpy {np.__version__}, {os.cpu_count()} cores, {WORKERS} workers, "
          f"medians of {arguments.rounds}")
    for workload in arguments.workloads:
        cells = {system: [] for system in SYSTEMS}
        for _ in range(arguments.rounds):
            for system in SYSTEMS:
                cells[system].append(cell(system, workload, arguments.queue))
        report(workload, cells)


if __name__ == "__main__":
    main()
