"""A long run under fire: hundreds of workers killed, the stream unchanged, memory flat."""

from __future__ import annotations

import hashlib
import os
import random
import signal

import numpy as np
import psutil
import pytest

import stoker

pytestmark = pytest.mark.workers_die
GROWTH_BYTES = 64 * 2**20


class Noisy(stoker.Sequence):
    """Small batches with randomness of their own."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return stoker.rng().random(16), np.array([index])


def expected(length, epochs):
    with stoker.Feed(Noisy(length), workers=0, seed=2, shuffle=True) as feed:
        return sha(batch for _ in range(epochs) for batch in feed.epoch())


def sha(batches):
    digest = hashlib.sha256()
    for x, index in batches:
        digest.update(x.tobytes())
        digest.update(index.tobytes())
    return digest.hexdigest()


def under_fire(feed, batches, every, luck, kills):
    """The batches, with a worker killed now and then."""
    lane = feed._pump.lane
    for number, batch in enumerate(batches):
        yield batch
        if number % every == every - 1:
            hand = luck.choice(list(lane._hands.values()))
            if lane._crew.wait_for(hand, "pid", 5) and hand.status is None:
                os.kill(hand.pid, signal.SIGKILL)
                kills.append(hand.pid)


@pytest.mark.slow
@pytest.mark.parametrize(("length", "epochs", "kills"), [
    pytest.param(2_000, 3, 30, id="short"),
    pytest.param(20_000, 10, 500, id="long"),
])
def test_hundreds_of_kills_change_nothing(length, epochs, kills):
    luck, killed = random.Random(0), []
    process = psutil.Process()
    with stoker.Feed(Noisy(length), workers=2, processes=True, seed=2, shuffle=True, max_queue_size=32) as feed:
        every = length * epochs // kills

        def stream():
            for epoch in range(epochs):
                if epoch == 1:
                    memory.append(process.memory_info().rss)
                yield from feed.epoch()

        memory = []
        found = sha(under_fire(feed, stream(), every, luck, killed))
        memory.append(process.memory_info().rss)
        slots = feed._pump.lane._slots.in_use
    assert found == expected(length, epochs)
    assert len(killed) >= kills * 0.9
    assert memory[1] - memory[0] < GROWTH_BYTES
    assert slots <= 2 * 32 + 8, "each worker keeps those of the most that it was ever asked for"
