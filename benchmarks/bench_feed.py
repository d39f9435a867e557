"""How fast do batches reach the consumer, and what do they cost?

    python benchmarks/bench_feed.py            # all; about 20 minutes
    python benchmarks/bench_feed.py tiny image # some workloads

Each cell is a process of its own that takes batches with two workers for about a second after a warm-up; systems are interleaved, and
the medians of five rounds are shown. `first` is the time from opening the loader to the first batch (imports done before); `cpu` the CPU
time of the whole process tree per batch; `mem` the largest proportional memory (PSS) of the tree. Batches are looked at (one element of
each array is read) and dropped.

Results: Python 3.11.7, numpy 2.4.6, Keras 3.15.1, PyTorch 2.13.0, Grain 0.2.18, two cores on which a whole test suite ran at the same time
(load 4 to 10), medians of 3. Every loader with processes had to share two cores with that, so these figures say who is ahead, and not by how
much; they should be taken again on a machine that does nothing else::

    tiny: 32 x 16 float32 and 32 x 1 float32: 2 KB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process           445,217                26.51          1.00     0.00     0.00      22
        keras threads         67,595                 4.03          0.15     0.00     0.02     321
        keras processes       16,791                 1.00          0.04     0.04     0.06     333
        torch numpy            6,821                 0.41          0.02     0.05     0.24     251
        torch tensors            689                 0.04          0.00     0.08     1.74     256
        grain processes        1,390                 0.08          0.00     1.19     0.94     328
        stoker threads       119,040                 7.09          0.27     0.01     0.01      35
        stoker processes      33,608                 2.00          0.08     0.21     0.03      80
        stoker empty          20,816                 1.24          0.05     0.21     0.05      82

    image: 64 x 224 x 224 x 3 float32: 38.5 MB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process               220                 7.89          1.00     0.01     4.27      31
        keras threads            130                 4.68          0.59     0.04     7.56     388
        keras processes            6                 0.21          0.03     0.45   207.14     536
        torch numpy                9                 0.32          0.04     0.60   114.44     667
        torch tensors             28                 1.00          0.13     0.20    42.31     470
        grain processes            3                 0.12          0.02     3.46   422.50    2705
        stoker threads           141                 5.07          0.64     0.05     7.48      90
        stoker processes          63                 2.27          0.29     0.31    15.97     542
        stoker empty             145                 5.22          0.66     0.27     6.56     504

    uint8: 64 x 224 x 224 x 3 uint8: 9.6 MB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process             2,681                18.26          1.00     0.00     0.34      32
        keras threads            926                 6.30          0.35     0.02     1.08     437
        keras processes           32                 0.22          0.01     0.09    36.56     421
        torch numpy               35                 0.24          0.01     0.16    28.89     405
        torch tensors            147                 1.00          0.05     0.10     7.57     383
        grain processes           12                 0.08          0.00     1.78   134.29    3100
        stoker threads         1,285                 8.75          0.48     0.01     0.80     150
        stoker processes         649                 4.42          0.24     0.24     1.70     205
        stoker empty             793                 5.40          0.30     0.22     1.21     186

    dict: A dict of 20 inputs and one of 3 targets, each 64 x 16 float32.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process            38,202                10.83          1.00     0.00     0.03      22
        keras threads         22,358                 6.34          0.59     0.01     0.04     323
        keras processes        3,217                 0.91          0.08     0.03     0.31     335
        torch numpy            3,528                 1.00          0.09     0.05     0.28     254
        torch tensors            194                 0.05          0.01     0.10     5.19     257
        grain processes          329                 0.09          0.01     1.22     4.28     429
        stoker threads        19,274                 5.46          0.50     0.01     0.05      43
        stoker processes       8,612                 2.44          0.23     0.21     0.11      82
        stoker empty           3,926                 1.11          0.10     0.22     0.26      84

    csv: 64 lines of 40 numbers, parsed in pure Python.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process             3,754                 1.49          1.00     0.02     0.25      25
        keras threads          3,306                 1.31          0.88     0.01     0.31     263
        keras processes        2,150                 0.85          0.57     0.03     0.47     276
        torch numpy            2,523                 1.00          0.67     0.05     0.40     241
        torch tensors            843                 0.33          0.22     0.06     1.20     247
        grain processes        1,904                 0.75          0.51     1.34     0.68     325
        stoker threads         3,090                 1.22          0.82     0.02     0.31      38
        stoker processes       2,842                 1.13          0.76     0.22     0.36      82
        stoker empty           2,527                 1.00          0.67     0.23     0.40      82

    jpeg: 64 JPEG files of 256 x 256, decoded, resized to 160 x 160, half of them flipped.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process                16                 0.57          1.00     0.10    62.67      34
        keras threads             15                 0.54          0.95     0.16    68.00     287
        keras processes           16                 0.58          1.03     0.22    79.29     314
        torch numpy               13                 0.47          0.84     0.25    80.00     299
        torch tensors             10                 0.37          0.65     0.25    82.50     272
        grain processes           27                 1.00          1.76     3.82    59.44     506
        stoker threads            15                 0.53          0.94     0.17    68.12     127
        stoker processes          15                 0.55          0.96     0.45    68.12     156
        stoker empty              13                 0.46          0.82     0.42    78.57     146

How to read it: `x best process peer` is the rate over that of the fastest of Keras, PyTorch and Grain with processes in the same run. What is
cheap to make is fastest on threads or in process; processes pay where making a batch holds the GIL for longer than carrying it takes.
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

SECONDS = 1.0
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
        watcher = threading.Timer(SECONDS / 2, lambda: peak.append(tree_cost()[1]))
        watcher.start()
        count, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < SECONDS:
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
