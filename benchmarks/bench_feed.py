"""How fast do batches reach the consumer, and what do they cost?

    python benchmarks/bench_feed.py            # all; about 20 minutes
    python benchmarks/bench_feed.py tiny image # some workloads

Each cell is a process of its own that takes batches with two workers for about a second after a warm-up; systems are interleaved, and
the medians of five rounds are shown. `first` is the time from opening the loader to the first batch (imports done before); `cpu` the CPU
time of the whole process tree per batch; `mem` the largest proportional memory (PSS) of the tree. Batches are looked at (one element of
each array is read) and dropped.

Results: Python 3.11.7, numpy 2.4.6, Keras 3.15.1, PyTorch 2.13.0, Grain 0.2.18, two cores that did nothing else, medians of 3; csv is newer than the others, and
jpeg older than its longer turns::

    tiny: 32 x 16 float32 and 32 x 1 float32: 2 KB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process           480,365                26.20          1.00     0.00     0.00      24
        keras threads         52,994                 2.89          0.11     0.00     0.02     329
        keras processes       18,337                 1.00          0.04     0.03     0.08     341
        torch numpy           11,808                 0.64          0.02     0.03     0.13     258
        torch tensors            908                 0.05          0.00     0.05     1.28     263
        grain processes        2,132                 0.12          0.00     0.50     0.91     334
        stoker threads        99,805                 5.44          0.21     0.02     0.01      38
        stoker processes      95,895                 5.23          0.20     0.18     0.02      87
        stoker empty          33,700                 1.84          0.07     0.18     0.04      85

    dict: A dict of 20 inputs and one of 3 targets, each 64 x 16 float32.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process            39,851                 9.88          1.00     0.00     0.03      24
        keras threads          9,533                 2.36          0.24     0.00     0.12     331
        keras processes        3,206                 0.79          0.08     0.02     0.45     343
        torch numpy            4,035                 1.00          0.10     0.03     0.38     260
        torch tensors            131                 0.03          0.00     0.08     7.95     263
        grain processes          553                 0.14          0.01     0.55     3.27     440
        stoker threads        11,270                 2.79          0.28     0.02     0.11      45
        stoker processes      16,762                 4.15          0.42     0.18     0.09      89
        stoker empty           6,530                 1.62          0.16     0.18     0.26      89

    csv: 64 lines of 40 numbers, parsed in pure Python.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process             3,933                 0.93          1.00     0.02     0.26      31
        keras threads          3,330                 0.79          0.85     0.01     0.31     329
        keras processes        3,301                 0.78          0.84     0.03     0.49     341
        torch numpy            4,242                 1.00          1.08     0.03     0.41     249
        torch tensors            763                 0.18          0.19     0.04     1.61     254
        grain processes        2,507                 0.59          0.64     0.56     0.64     350
        stoker threads         3,285                 0.77          0.84     0.02     0.32      44
        stoker processes       6,090                 1.44          1.55     0.19     0.32      85
        stoker empty           5,559                 1.31          1.41     0.19     0.35      86

    image: 64 x 224 x 224 x 3 float32: 38.5 MB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process               336                 5.31          1.00     0.01     3.01      62
        keras threads            270                 4.27          0.80     0.02     7.04     428
        keras processes            7                 0.12          0.02     0.23   206.25     555
        torch numpy               14                 0.23          0.04     0.23   112.00     689
        torch tensors             63                 1.00          0.19     0.10    31.41     568
        grain processes            6                 0.09          0.02     2.17   415.00    3408
        stoker threads           297                 4.70          0.88     0.02     6.70      73
        stoker processes         233                 3.69          0.69     0.21     8.58     659
        stoker empty             316                 5.00          0.94     0.20     5.92     506

    uint8: 64 x 224 x 224 x 3 uint8: 9.6 MB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process             2,938                12.04          1.00     0.00     0.34      34
        keras threads          2,732                11.20          0.93     0.01     0.68     454
        keras processes           39                 0.16          0.01     0.08    41.03     415
        torch numpy               44                 0.18          0.02     0.09    29.33     401
        torch tensors            244                 1.00          0.08     0.06     7.77     353
        grain processes           21                 0.09          0.01     0.95   122.73    2532
        stoker threads         3,862                15.83          1.31     0.01     0.50     155
        stoker processes       1,249                 5.12          0.43     0.19     1.56     226
        stoker empty           2,375                 9.74          0.81     0.19     0.82     189

    jpeg: 64 JPEG files of 256 x 256, decoded, resized to 160 x 160, half of them flipped.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process                16                 0.44          1.00     0.11    61.18      40
        keras threads             26                 0.71          1.60     0.08    74.23     351
        keras processes           23                 0.64          1.44     0.14    82.50     387
        torch numpy               27                 0.73          1.64     0.15    75.71     301
        torch tensors             29                 0.78          1.77     0.13    69.00     272
        grain processes           37                 1.00          2.26     2.02    62.63     565
        stoker threads            27                 0.73          1.66     0.11    71.79      68
        stoker processes          30                 0.82          1.85     0.30    66.67     159
        stoker empty              30                 0.81          1.83     0.31    68.67     149

How to read it: `x best process peer` is the rate over that of the fastest of Keras, PyTorch and Grain with processes in the same run. What is
cheap to make is fastest on threads or in process; processes pay where making a batch holds the GIL for longer than carrying it takes.
In these turns of a second, Grain's 37 JPEG batches a second of 63 ms of CPU time each are more than two cores can make: part of them must have lain in its buffers, which
it fills for two seconds before the first batch.
"""

from __future__ import annotations

import argparse
import json
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
QUEUE = {"tiny": 64}
"""Batches ahead of the consumer, for every system: 10, but for batches of a few microseconds."""
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


SYSTEMS = {
    "in-process": in_process,
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
IMPORTS = {"keras": ("keras",), "torch": ("torch",), "grain": ("grain.python",), "stoker": ("stoker",)}


def touch(item):
    """Read one element of each array."""
    if isinstance(item, dict):
        return sum(touch(value) for value in item.values())
    if isinstance(item, tuple | list):
        return sum(touch(value) for value in item)
    return float(item.reshape(-1)[-1])


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


def measure(system, workload):
    """One cell, in this process."""
    warnings.simplefilter("ignore")
    for module in IMPORTS.get(system.split()[0], ()):
        __import__(module)
    began = time.perf_counter()
    with SYSTEMS[system](WORKLOADS[workload], QUEUE.get(workload, USUAL_QUEUE)) as batches:
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


def cell(system, workload):
    """One cell, in a process group of its own that is killed at the end: some loaders leave workers behind. None where the system fails."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        done = subprocess.Popen(
            [sys.executable, __file__, "--cell", system, workload], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
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
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS))
    arguments = parser.parse_args()
    if arguments.cell:
        measure(*arguments.cell)
        return
    print(f"Python {sys.version.split()[0]}, numpy {np.__version__}, {os.cpu_count()} cores, {WORKERS} workers, "
          f"medians of {arguments.rounds}")
    for workload in arguments.workloads:
        cells = {system: [] for system in SYSTEMS}
        for _ in range(arguments.rounds):
            for system in SYSTEMS:
                cells[system].append(cell(system, workload))
        report(workload, cells)


if __name__ == "__main__":
    main()
