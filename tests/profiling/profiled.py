"""Sources whose faults and costs are known."""

from __future__ import annotations

import hashlib
import random
import sqlite3
import threading
import time

import numpy as np

import stoker


class Plain(stoker.Sequence):
    """Batch ``i`` holds ``i``; no randomness."""

    length = 40

    def __init__(self):
        self.passes_ended = 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return np.full((4, 3), float(index)), np.full(4, index % 2)

    def on_epoch_end(self):
        self.passes_ended += 1


class Noise(Plain):
    """``Plain`` with noise from wherever ``draw`` takes it."""

    def draw(self):
        return 0.0

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + self.draw(), y


class NumpyGenerator(Noise):
    def __init__(self):
        super().__init__()
        self.luck = np.random.default_rng(3)

    def draw(self):
        return self.luck.normal(size=(4, 3))


class LateGenerator(Noise):
    """Makes its generator when it is first needed: each worker one of its own, and all alike."""

    luck = None

    def draw(self):
        if self.luck is None:
            self.luck = np.random.default_rng(3)
        return self.luck.normal(size=(4, 3))


class PythonRandom(Noise):
    def __init__(self):
        super().__init__()
        self.tools = {"luck": random.Random(3)}

    def draw(self):
        return self.tools["luck"].gauss(0, 1)


class NumpyGlobal(Noise):
    def draw(self):
        return np.random.normal(size=(4, 3))


class ItemRng(Noise):
    def draw(self):
        return stoker.rng().normal(size=(4, 3))


class FreshEntropy(Noise):
    def draw(self):
        return np.random.default_rng().normal(size=(4, 3))


class ShuffledOnly(Plain):
    """Keeps a generator, which no item draws from."""

    def __init__(self):
        super().__init__()
        self.luck = np.random.default_rng(3)
        self.order = self.luck.permutation(self.length)

    def __getitem__(self, index):
        return super().__getitem__(int(self.order[index]))

    def on_epoch_end(self):
        self.luck.shuffle(self.order)


class Coins(ItemRng):
    """Flips or does not flip the whole batch: often alike by luck."""

    def draw(self):
        return float(stoker.rng().integers(2))


class Sleeping(Plain):
    def __getitem__(self, index):
        time.sleep(0.01)
        return super().__getitem__(index)


class Holding(Plain):
    def __getitem__(self, index):
        total = 0
        for number in range(150_000):
            total += number
        return super().__getitem__(index)


class Releasing(Plain):
    def __init__(self):
        super().__init__()
        self.text = bytes(3_000_000)

    def __getitem__(self, index):
        hashlib.sha256(self.text).digest()
        return super().__getitem__(index)


class Leaking(Plain):
    length = 1000

    def __init__(self):
        super().__init__()
        self.kept = []

    def __getitem__(self, index):
        self.kept.append(np.ones(1 << 20, "uint8"))
        return super().__getitem__(index)


class Caching(Plain):
    length = 1000

    def __init__(self):
        super().__init__()
        self.cache = {}

    def __getitem__(self, index):
        if index not in self.cache:
            self.cache[index] = np.ones(1 << 20, "uint8")
        return super().__getitem__(index)


class Reader:
    def __init__(self):
        self.handle = sqlite3.connect(":memory:")


class Unpicklable(Plain):
    """Cannot travel; a lock, which can, is beside what cannot."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        self.reader = Reader()


class Locked(Plain):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class Raising(Plain):
    def __getitem__(self, index):
        if index == 7:
            raise KeyError("seven")
        return super().__getitem__(index)


class Malformed(Plain):
    def __getitem__(self, index):
        return "text"


class Giant(Plain):
    def __getitem__(self, index):
        if index == 7:
            return np.ones((4, 1 << 20)), np.zeros(4)
        return np.ones((4, 3)) * index, np.zeros(4)


class NotANumber(Plain):
    def __getitem__(self, index):
        return np.full((4, 3), np.nan), np.full(4, index)


class Stuck(Plain):
    """Waits for ``release`` at one index."""

    def __init__(self, index, release):
        super().__init__()
        self.index, self.release = index, release

    def __getitem__(self, index):
        if index == self.index:
            self.release.wait(60)
        return super().__getitem__(index)


class Slow(Plain):
    def __getitem__(self, index):
        time.sleep(0.4)
        return super().__getitem__(index)


def endless():
    number = 0
    while True:
        yield np.full((4, 3), number), np.zeros(4)
        number += 1


def noisy():
    while True:
        yield stoker.rng().normal(size=(4, 3)), np.zeros(4)


def five():
    for number in range(5):
        yield np.full((4, 3), number), np.zeros(4)


def ragged():
    number = 0
    while True:
        number += 1
        yield np.full((4, 3 + number % 5), number), np.zeros(4)


def nothing():
    yield from ()


class Lazy:
    """A function with something that cannot travel once it has been called."""

    handle = None

    def __call__(self, number):
        if self.handle is None:
            self.handle = iter(twice(number) for number in (1, 2))
            next(self.handle)
        return twice(number)


def of_first(items):
    return twice(next(items))


def twice(number):
    return np.full((4, 1), number * 2.0) + stoker.rng().normal(), np.zeros(4)
