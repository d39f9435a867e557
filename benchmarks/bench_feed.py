"""How fast do batches reach the consumer, and what do they cost?

    python benchmarks/bench_feed.py            # all; about 20 minutes
    python benchmarks/bench_feed.py tiny image # some workloads

Each cell is a process of its own that takes batches with two workers for about a second after a warm-up; systems are interleaved, and
the medians of five rounds are shown. `first` is the time from opening the loader to the first batch (imports done before); `cpu` the CPU
time of the whole process tree per batch; `mem` the largest proportional memory (PSS) of the tree. Batches are looked at (one element of
each array is read) and dropped.

Results: Python 3.11.7, numpy 2.4.6, Keras 3.15.1, PyTorch 2.13.0, Grain 0.2.18, two cores that did nothing else, medians of 5; tiny and dict in a run of their own::

    tiny: 32 x 16 float32 and 32 x 1 float32: 2 KB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process           476,972                29.25          1.00     0.00     0.00      24
        keras threads         55,765                 3.42          0.12     0.00     0.02     328
        keras processes       16,308                 1.00          0.03     0.02     0.08     340
        torch numpy           12,843                 0.79          0.03     0.03     0.12     258
        torch tensors            840                 0.05          0.00     0.05     1.35     263
        grain processes        1,992                 0.12          0.00     0.51     0.94     334
        stoker threads       129,172                 7.92          0.27     0.02     0.01      37
        stoker processes      97,281                 5.97          0.20     0.18     0.02      87
        stoker empty          80,397                 4.93          0.17     0.18     0.02      87

    image: 64 x 224 x 224 x 3 float32: 38.5 MB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process               331                 5.65          1.00     0.01     3.04      58
        keras threads            276                 4.70          0.83     0.01     7.23     422
        keras processes            8                 0.14          0.02     0.26   194.44     541
        torch numpy               15                 0.25          0.04     0.23   116.67     672
        torch tensors             59                 1.00          0.18     0.10    34.75     374
        grain processes            6                 0.10          0.02     1.13   402.50    2812
        stoker threads           308                 5.25          0.93     0.02     6.26     138
        stoker processes         258                 4.39          0.78     0.21     7.83     659
        stoker empty             341                 5.82          1.03     0.20     5.64     506

    uint8: 64 x 224 x 224 x 3 uint8: 9.6 MB.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process             2,932                11.43          1.00     0.00     0.34      34
        keras threads          2,832                11.04          0.97     0.01     0.64     453
        keras processes           44                 0.17          0.01     0.08    35.45     434
        torch numpy               52                 0.20          0.02     0.09    25.93     411
        torch tensors            257                 1.00          0.09     0.06     7.28     367
        grain processes           21                 0.08          0.01     0.85   121.90    2570
        stoker threads         3,729                14.53          1.27     0.01     0.51     155
        stoker processes       1,451                 5.66          0.49     0.19     1.29     226
        stoker empty           3,030                11.81          1.03     0.18     0.60     189

    dict: A dict of 20 inputs and one of 3 targets, each 64 x 16 float32.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process            39,590                10.19          1.00     0.00     0.03      24
        keras threads          9,558                 2.46          0.24     0.00     0.12     330
        keras processes        3,184                 0.82          0.08     0.03     0.44     342
        torch numpy            3,885                 1.00          0.10     0.03     0.39     260
        torch tensors            126                 0.03          0.00     0.08     8.25     263
        grain processes          584                 0.15          0.01     0.56     3.18     443
        stoker threads        11,502                 2.96          0.29     0.02     0.10      46
        stoker processes      17,140                 4.41          0.43     0.18     0.09      89
        stoker empty          12,528                 3.23          0.32     0.18     0.12      89

    csv: 64 lines of 40 numbers, parsed in pure Python.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process             4,024                 0.95          1.00     0.01     0.25      31
        keras threads          3,502                 0.83          0.87     0.01     0.29     328
        keras processes        3,350                 0.79          0.83     0.03     0.47     340
        torch numpy            4,237                 1.00          1.05     0.03     0.41     249
        torch tensors            793                 0.19          0.20     0.04     1.60     254
        grain processes        2,570                 0.61          0.64     0.55     0.62     351
        stoker threads         3,403                 0.80          0.85     0.02     0.31      44
        stoker processes       6,435                 1.52          1.60     0.19     0.31      86
        stoker empty           5,864                 1.38          1.46     0.19     0.33      86

    jpeg: 64 JPEG files of 256 x 256, decoded, resized to 160 x 160, half of them flipped.
        system             batches/s  x best process peer  x in-process  first s   cpu ms  mem MB
        in-process                17                 0.55          1.00     0.08    59.41      41
        keras threads             29                 0.94          1.70     0.08    67.01     351
        keras processes           27                 0.87          1.58     0.13    72.75     385
        torch numpy               27                 0.90          1.63     0.14    72.29     306
        torch tensors             30                 1.00          1.81     0.12    64.78     277
        grain processes           30                 0.98          1.77     1.73    65.94     693
        stoker threads            30                 0.98          1.78     0.10    64.06      78
        stoker processes          36                 1.19          2.15     0.27    55.09     161
        stoker empty              35                 1.14          2.06     0.27    57.69     151

Tiny and dict lie at what two cores can do: a tiny batch takes 6 us of the consumer's CPU time (1 of it this benchmark's look) and 8.6 of a worker's
(2 for seeding, 1 for the source), a dict of 23 arrays 36 us (10 for the look) and 48 (18 for the source). The rest of the 20 and 107 us
that two cores have in that time goes into waking up: about 50 us each time that one waits for the other.

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
IMPORTS = {"keras": ("keras",), "torch": ("torch",), "grain": ("grain.python",), "stoker": ("stoker.feed.feed",)}


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
