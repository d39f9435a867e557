"""How fast do batches reach the consumer, and what do they cost?

    python benchmarks/bench_feed.py            # all; about 20 minutes
    python benchmarks/bench_feed.py tiny image # some workloads

Each cell is a process of its own that takes batches with two workers for about a second after a warm-up; systems are interleaved, and
the medians of five rounds are shown. `first` is the time from opening the loader to the first batch (imports done before); `cpu` the CPU
time of the whole process tree per batch; `mem` the largest proportional memory (PSS) of the tree. Batches are looked at (one element of
each array is read) and dropped.

Results: Python 3.11.7, numpy 2.4.6, Keras 3.15.1, PyTorch 2.13.0, Grain 0.2.18, two cores of a shared machine in an hour in which it ran at
a third of the speed that it has in others; nothing else ran, medians of 5 (tiny, dict and CSV later than the rest, in such an hour too)::

    tiny: 32 x 16 float32 and 32 x 1 float32: 2 KB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process           150,448                25.13          1.00     0.00     0.01      24
        keras threads         18,562                 3.10          0.12     0.01     0.06     328
        keras processes        5,986                 1.00          0.04     0.04     0.25     341
        torch numpy            4,468                 0.75          0.03     0.05     0.35     258
        torch tensors            452                 0.08          0.00     0.06     2.68     262
        grain processes          897                 0.15          0.01     1.17     2.22     334
        stoker threads        47,718                 7.97          0.32     0.02     0.02      35
        stoker processes      49,950                 8.34          0.33     0.30     0.04      78
        stoker empty          48,860                 8.16          0.32     0.28     0.04      78

    image: 64 x 224 x 224 x 3 float32: 38.5 MB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process               132                 4.27          1.00     0.01     7.58      62
        keras threads            213                 6.90          1.62     0.02     9.44     441
        keras processes            4                 0.14          0.03     0.53   363.33     560
        torch numpy                6                 0.21          0.05     0.49   257.14     666
        torch tensors             31                 1.00          0.23     0.21    65.31     595
        grain processes            4                 0.11          0.03     4.12   730.00    4017
        stoker threads           243                 7.88          1.85     0.03     8.16     105
        stoker processes         193                 6.25          1.47     0.39    10.37     574
        stoker empty             460                14.91          3.49     0.34     4.46     497

    uint8: 64 x 224 x 224 x 3 uint8: 9.6 MB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process             4,743                43.58          1.00     0.00     0.21      34
        keras threads          1,414                12.99          0.30     0.01     1.30     452
        keras processes           24                 0.22          0.01     0.16    65.20     434
        torch numpy               25                 0.23          0.01     0.12    55.00     411
        torch tensors            109                 1.00          0.02     0.10    17.06     339
        grain processes           12                 0.11          0.00     1.94   222.86    2134
        stoker threads         1,354                12.44          0.29     0.01     1.38     150
        stoker processes         937                 8.61          0.20     0.30     2.12     199
        stoker empty           1,457                13.39          0.31     0.24     1.33     181

    dict: A dict of 20 inputs and one of 3 targets, each 64 x 16 float32.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process            11,237                 6.77          1.00     0.00     0.09      24
        keras threads          3,269                 1.97          0.29     0.01     0.34     330
        keras processes        1,316                 0.79          0.12     0.04     1.16     343
        torch numpy            1,660                 1.00          0.15     0.06     0.92     260
        torch tensors             50                 0.03          0.00     0.13    23.92     263
        grain processes          186                 0.11          0.02     1.35    10.26     427
        stoker threads         3,423                 2.06          0.30     0.02     0.34      43
        stoker processes       7,838                 4.72          0.70     0.27     0.22      79
        stoker empty           8,043                 4.85          0.72     0.27     0.22      79

    csv: 64 lines of 40 numbers, parsed in pure Python.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process             1,143                 0.87          1.00     0.03     0.89      31
        keras threads            867                 0.66          0.76     0.03     1.20     328
        keras processes        1,034                 0.79          0.90     0.07     1.71     340
        torch numpy            1,306                 1.00          1.14     0.06     1.36     248
        torch tensors            302                 0.23          0.26     0.07     4.14     254
        grain processes          732                 0.56          0.64     1.31     2.28     345
        stoker threads           809                 0.62          0.71     0.05     1.35      42
        stoker processes       1,463                 1.12          1.28     0.35     1.36      75
        stoker empty           1,561                 1.20          1.37     0.27     1.27      75

    jpeg: 64 JPEG files of 256 x 256, decoded, resized to 160 x 160, half of them flipped.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process                 8                 0.54          1.00     0.21   122.86      41
        keras threads             14                 0.95          1.75     0.17   132.79     351
        keras processes           14                 0.93          1.72     0.24   141.79     378
        torch numpy               14                 0.95          1.75     0.26   141.28     314
        torch tensors             15                 1.00          1.84     0.26   132.11     280
        grain processes           15                 0.99          1.83     3.66   132.33     562
        stoker threads            15                 0.99          1.82     0.21   129.66      67
        stoker processes          17                 1.12          2.06     0.44   119.41     150
        stoker empty              16                 1.06          1.95     0.47   125.79     141

In other runs of such hours tiny was 8.07, 8.97 and 9.49 and dict 3.79, 4.01 and 4.58 times the best process peer, CSV 1.32 and 1.46 times it and
1.56 and 1.61 times in-process.

A dict of 23 arrays takes 103 to 117 us of the worker's CPU time (53 for the source, 10 to recognise the arrays, 11 to join and copy them, the rest
to let go of them, for the loop and for messages) and 84 to 104 us of the consumer's (31 for this benchmark's look, 14 for views and dicts, the
rest to let go of them and for messages, each of which carries 5 batches, because 10 may be in flight or ready): 6 times the peer would be 185
for all, at full use of both cores. With ``max_queue_size=64`` a third more come.

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
QUEUE = {"tiny": 64, "dict": 64}
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


def cell(system, workload, queue):
    """One cell, in a process group of its own that is killed at the end: some loaders leave workers behind. None where the system fails."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        done = subprocess.Popen(
            [sys.executable, __file__, "--cell", system, workload, "--queue", str(queue)], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            start_new_session=True,
            env={**os.environ, "KERAS_BACKEND": "jax", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"})
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
