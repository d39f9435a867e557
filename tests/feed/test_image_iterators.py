"""Keras's image iterators with a seed: the batches that ``next()`` of the iterator gives, wherever they are made.

And Sequences that join several of them, such as images and masks.
"""

from __future__ import annotations

import numpy as np
import pytest
from keras.src.legacy.preprocessing.image import ImageDataGenerator, Iterator

import stoker

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


def test_what_an_iterator_of_the_users_own_does_between_passes_is_done():
    class Mine(Iterator):
        ends = 0

        def on_epoch_end(self):
            self.ends += 1
            super().on_epoch_end()

        def _get_batches_of_transformed_samples(self, index_array):
            return index_array

    source = Mine(10, 3, True, 5)
    with stoker.Feed(source) as feed:
        rows = [np.concatenate(list(feed.epoch())).tolist() for _ in range(2)]
    assert source.ends == 2 and rows[0] != rows[1] and sorted(rows[0]) == sorted(rows[1]) == list(range(10))


def test_without_a_seed_an_order_is_drawn_for_each_pass():
    rows = [labels for labels, _ in passes(flow(seed=None), 2, workers=2)]
    assert sorted(sum(rows[:6], [])) == sorted(sum(rows[6:], [])) == list(range(22)) and rows[:6] != rows[6:]


def test_an_image_that_cannot_be_read_takes_no_order_away():
    source = flow()
    opened = stoker.source.open.open_source(source)
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
    class Rows(Joined):
        def __getitem__(self, index):
            return self.kept[0][index]

    rows = [labels for labels, _ in passes(Rows([flow(seed=None)]), 2, workers=2, processes=True)]
    assert sorted(sum(rows[:6], [])) == sorted(sum(rows[6:], [])) == list(range(22)) and rows[:6] != rows[6:]
