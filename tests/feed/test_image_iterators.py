"""Keras's image iterators with a seed: the batches that ``next()`` of the iterator gives, wherever they are made.

And Sequences that join several of them, such as images and masks.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext

import numpy as np
import pytest
from keras.src.legacy.preprocessing.image import ImageDataGenerator, Iterator

import stoker
from stoker.source.drawing import DRAWING
from stoker.source.open import open_source

IMAGES = np.random.default_rng(0).integers(0, 255, (22, 6, 6, 1)).astype("float32")
LABELS = np.arange(22)
THREADS = [{"workers": 0}, {"workers": 4}]
LANES = [*THREADS, pytest.param({"workers": 2, "processes": True}, marks=pytest.mark.slow)]


def flow(**options):
    augment = ImageDataGenerator(horizontal_flip=True, brightness_range=(0.5, 1.5), width_shift_range=0.2)
    return augment.flow(IMAGES, LABELS, batch_size=4, **{"seed": 5, **options})


def digest(batch):
    images, labels = batch
    return labels.tolist(), float(images.astype("float64").sum())


def as_keras_gives_them(batches, **options):
    iterator = flow(**options)
    return [digest(next(iterator)) for _ in range(batches)]


def passes(source, count, steps=None, first=0, **way):
    with stoker.Feed(source, seed=np.random.randint(1000), **way) as feed:
        feed.plan(epochs=count, steps=steps, first=first)
        return [digest(batch) for _ in range(count) for batch in feed.epoch(steps)]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("way", THREADS)
def test_a_seed_gives_the_batches_that_next_gives(way, shuffle):
    assert passes(flow(shuffle=shuffle), 3, **way) == as_keras_gives_them(18, shuffle=shuffle)


@pytest.mark.parametrize("way", LANES)
def test_a_seed_goes_on_over_calls(way):
    source = flow()
    assert [*passes(source, 1, **way), *passes(source, 2, **way)] == as_keras_gives_them(18)


@pytest.mark.parametrize("way", LANES)
def test_a_seed_gives_the_batches_of_the_epoch_that_training_goes_on_with(way):
    assert passes(flow(), 1, first=2, **way) == as_keras_gives_them(18)[12:]
    assert passes(flow(), 2, steps=4, first=1, **way) == as_keras_gives_them(12)[4:]


@pytest.mark.parametrize("way", THREADS)
def test_a_state_brings_the_order_of_its_pass(way, recwarn):
    expected = as_keras_gives_them(12)[8:]
    with stoker.Feed(flow(), **way) as feed:
        batches = iter(feed.epoch())
        state = [next(batches) for _ in range(2)] and feed.state_dict()
        state["pass"] = 1
    with stoker.Feed(flow(), **way) as feed:
        feed.load_state_dict(state)
        assert [digest(batch) for batch in feed.epoch()] == expected
    assert not [warning for warning in recwarn.list if "on_epoch_end" in str(warning.message)]


class Rows(Iterator):
    """An iterator of the user's own over ten numbers."""

    def _get_batches_of_transformed_samples(self, index_array):
        return index_array


class Ending(Rows):
    def on_epoch_end(self):
        self.ended = True
        super().on_epoch_end()


class Backwards(Rows):
    def on_epoch_end(self):
        self.index_array = np.arange(self.n)[::-1]


class OwnLuck(Rows):
    def _set_index_array(self):
        self.luck = getattr(self, "luck", None) or np.random.default_rng()
        self.index_array = self.luck.permutation(self.n)


@pytest.mark.parametrize("kind", [Ending, Backwards, OwnLuck])
@pytest.mark.parametrize("way", THREADS)
def test_what_an_iterator_of_the_users_own_does_between_passes_is_done(kind, way):
    source = kind(10, 3, kind is not Backwards, 5)
    with stoker.Feed(source, **way) as feed:
        rows = [np.concatenate(list(feed.epoch())).tolist() for _ in range(2)]
    assert rows[0] != rows[1] and sorted(rows[0]) == sorted(rows[1]) == list(range(10))
    if kind is Ending:
        assert source.ended
    if kind is Backwards:
        assert rows == [list(range(10)), list(range(10))[::-1]]


def test_an_end_of_a_pass_that_calls_what_kerass_own_does_is_called():
    ends = 0

    class Closing(Rows):
        def on_epoch_end(self):
            nonlocal ends
            ends += 1
            self._set_index_array()

    with stoker.Feed(Closing(10, 3, True, 5)) as feed:
        assert [len(list(feed.epoch())) for _ in range(2)] == [4, 4]
    assert ends == 2


@pytest.mark.parametrize("way", THREADS)
def test_a_state_counts_what_was_before_once(way):
    expected, source = as_keras_gives_them(12), flow()
    passes(source, 1, **way)
    with stoker.Feed(source, **way) as feed:
        begun = iter(feed.epoch())
        taken = [digest(next(begun)) for _ in range(2)]
        state = feed.state_dict()
    assert taken == expected[6:8]
    for other in (source, flow()):
        feed = stoker.Feed(other, **way)
        feed.load_state_dict(state)
        with feed:
            assert [digest(batch) for batch in feed.epoch()] == expected[8:]


@pytest.mark.parametrize("way", LANES)
def test_training_goes_on_in_the_same_process_as_in_another(way):
    source, expected = flow(), as_keras_gives_them(24)
    assert passes(source, 2, **way) == expected[:12]
    assert passes(source, 1, first=2, **way) == expected[12:18]
    assert passes(source, 1, **way) == expected[18:]


def test_one_iterator_may_be_used_by_others_in_between():
    source, expected = flow(), as_keras_gives_them(6)
    with stoker.Feed(source, workers=0) as feed:  # threads would draw at the same time
        batches = iter(feed.epoch())
        taken = [digest(next(batches)) for _ in range(3)]
        source.on_epoch_end()
        assert taken + [digest(batch) for batch in batches] == expected


def test_iterators_without_a_seed_take_turns_with_one_that_has_one():
    gc.collect()
    alone = open_source(flow(seed=None))
    assert not DRAWING.seeding and isinstance(DRAWING.turn(), nullcontext)
    seeded = open_source(flow())
    assert set(DRAWING.seeding) == {seeded} and DRAWING.turn() is DRAWING.turn()
    alone.prepare()
    with ThreadPoolExecutor(1) as other:
        with DRAWING.turn():
            made = other.submit(alone.get, 0, 1)
            assert not wait([made], 0.05).done
        made.result(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_does_not_wait_for_a_thread_that_it_does_not_have():
    program = """
import os, threading
from stoker.source.drawing import DRAWING
DRAWING.seeding = {1}
held, done = threading.Event(), threading.Event()
def hold():
    with DRAWING.turn():
        held.set()
        done.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
pid = os.fork()
if pid == 0:
    os._exit(0 if DRAWING.turn().acquire(timeout=5) else 1)
print(os.waitpid(pid, 0)[1])
done.set()
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0\n"


@pytest.mark.slow
def test_the_order_can_be_read_in_the_callers_process():
    source = flow(shuffle=False)
    passes(source, 1, workers=2, processes=True)
    assert source.index_array.tolist() == list(range(22))


def test_without_a_seed_an_order_is_drawn_for_each_pass():
    rows = [labels for labels, _ in passes(flow(seed=None), 2, workers=2)]
    assert sorted(sum(rows[:6], [])) == sorted(sum(rows[6:], [])) == list(range(22)) and rows[:6] != rows[6:]


def test_an_image_that_cannot_be_read_takes_no_order_away():
    source = flow()
    opened = open_source(source)
    opened.prepare()
    with pytest.raises(ValueError, match="element 9"):
        opened.get(0, 9)
    assert digest(opened.get(0, 1)) == as_keras_gives_them(2)[1]


class Joined(stoker.Sequence):
    """Images and masks, turned alike."""

    def __init__(self, kept, shuffles=True):
        self.kept, self.shuffles = kept, shuffles

    def __len__(self):
        return 6

    def __getitem__(self, index):
        parts = self.kept.values() if isinstance(self.kept, dict) else self.kept
        (images, rows), (masks, same) = [part[index] for part in parts]
        assert (rows == same).all() and (images == masks).all()
        return images, rows

    def on_epoch_end(self):
        for part in self.kept if self.shuffles else ():
            part.on_epoch_end()


@pytest.mark.parametrize("way", LANES)
def test_iterators_that_a_sequence_joins_stay_in_step_wherever_and_over_calls(way):
    source, alone = Joined([flow(), flow()]), Joined((flow(), flow()))
    batches = [*passes(source, 1, **way), *passes(source, 2, **way)]
    assert batches == [*passes(alone, 1, workers=0), *passes(alone, 2, workers=0)]
    orders = [sum((rows for rows, _ in batches[first:first + 6]), []) for first in (0, 6, 12)]
    assert all(sorted(order) == list(range(22)) for order in orders) and orders[1] != orders[2]
    assert batches[1:6] == as_keras_gives_them(6)[1:]


def test_an_order_that_a_sequence_does_not_have_drawn_anew_stays():
    batches = passes(Joined({"images": flow(), "masks": flow()}, shuffles=False), 2, workers=4)
    assert [rows for rows, _ in batches[:6]] == [rows for rows, _ in batches[6:]]
    assert [sums for _, sums in batches[:6]] != [sums for _, sums in batches[6:]]


def test_an_order_that_a_sequence_sets_itself_stays():
    source = Joined([flow(shuffle=False), flow(shuffle=False)])
    source.on_epoch_end = lambda: [setattr(part, "index_array", np.arange(22)[::-1]) for part in source.kept]
    with stoker.Feed(source, workers=4) as feed:
        rows = [sum((digest(batch)[0] for batch in feed.epoch()), []) for _ in range(2)]
    assert rows == [list(range(22)), list(range(22))[::-1]]
    assert "_set_index_array" not in vars(source.kept[0])


@pytest.mark.slow
def test_without_a_seed_the_workers_of_joined_iterators_have_one_order():
    class Only(Joined):
        def __getitem__(self, index):
            return self.kept[0][index]

    rows = [labels for labels, _ in passes(Only([flow(seed=None)]), 2, workers=2, processes=True)]
    assert sorted(sum(rows[:6], [])) == sorted(sum(rows[6:], [])) == list(range(22)) and rows[:6] != rows[6:]
