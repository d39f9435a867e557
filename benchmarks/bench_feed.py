"""How fast do batches reach the consumer, and what do they cost?

    python benchmarks/bench_feed.py            # all; about 20 minutes
    python benchmarks/bench_feed.py tiny image # some workloads

Each cell is a process of its own that takes batches with two workers for about a second after a warm-up; systems are interleaved, and
the medians of five rounds are shown. `first` is the time from opening the loader to the first batch (imports done before); `cpu` the CPU
time of the whole process tree per batch; `mem` the largest proportional memory (PSS) of the tree. Batches are looked at (one element of
each array is read) and dropped.
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
