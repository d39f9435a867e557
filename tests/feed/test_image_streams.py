"""Streams of Keras's image iterators, such as ``zip(images, masks)``: in step, whatever else seeds ``numpy.random`` meanwhile."""

from __future__ import annotations

import functools
import itertools
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest
from keras.src.legacy.preprocessing.image import ImageDataGenerator

import stoker
from stoker.source.drawing import DRAWING, LOOKED_AT_IN_ALL, seeds
from stoker.source.owner import turns_of

IMAGES = np.random.default_rng(0).random((24, 48, 48, 3)).astype("float32")


def flow(seed=5):
    augment = ImageDataGenerator(horizontal_flip=True, rotation_range=90, width_shift_range=0.2)
    return augment.flow(IMAGES, batch_size=8, seed=seed)


def pairs(seed=5):
    return zip(flow(seed), flow(seed), strict=False)


def over_a_zip(seed=5):
    both = pairs(seed)
    return ((images, masks) for images, masks in both)


def from_variables(seed=5):
    def generate():
        while True:
            yield next(images), next(masks)

    images, masks = flow(seed), flow(seed)
    return generate()


def made_when_begun(seed=5):
    images, masks = flow(seed), flow(seed)
    while True:
        yield next(images), next(masks)


def from_another(seed=5):
    yield from made_when_begun(seed)


def mapped(seed=5):
    return map(tuple, pairs(seed))


def by_a_bound_function(seed=5):
    def both(images, masks):
        return next(images), next(masks)

    return iter(functools.partial(both, flow(seed), flow(seed)), None)


def sliced(seed=5):
    return itertools.islice(pairs(seed), 100)


class Reader:
    """An iterator of the user's own."""

    def __init__(self, seed=5):
        self.parts = {"images": flow(seed), "masks": flow(seed)}

    def __iter__(self):
        return self

    def __next__(self):
        return tuple(map(next, self.parts.values()))


GLOBAL = flow()


def by_a_global_name():
    while True:
        yield next(GLOBAL)


SHOWN = [pairs, over_a_zip, from_variables, mapped, by_a_bound_function, sliced, Reader, by_a_global_name]
LATER = [made_when_begun, from_another]
KINDS = [pairs, over_a_zip, from_variables, mapped, by_a_bound_function, sliced, Reader, *LATER]


@pytest.mark.parametrize("make", SHOWN)
def test_what_a_stream_pulls_from_is_seen_before_it_is_pulled(make):
    assert seeds(make())


@pytest.mark.parametrize("make", LATER)
def test_iterators_that_a_generator_makes_are_seen_once_it_has(make):
    stream = make()
    assert not seeds(stream)
    next(stream)
    assert seeds(stream)


def test_streams_that_seed_nothing_are_told_from_them():
    def named():
        yield circle

    def plain():
        while True:
            yield np.ones(3)

    ended = made_when_begun()
    next(ended)
    ended.close()
    circle: list = []
    circle.append(circle)
    for stream in (plain(), zip(IMAGES, IMAGES, strict=True), iter([1, 2]), pairs(seed=None), ended, named(), iter(circle), None):
        assert not seeds(stream)


def test_an_object_that_lets_nobody_look_at_it_hides_no_other():
    class Shy:
        def __getattribute__(self, name):
            raise RuntimeError("outside of its context")

    assert seeds(iter([Shy(), pairs()]))


def test_no_more_than_so_many_objects_are_looked_at():
    chain: list = [flow()]
    for _ in range(LOOKED_AT_IN_ALL):
        chain = [chain]
    assert not seeds(iter(chain))


@pytest.mark.parametrize("make", KINDS)
def test_training_and_validation_data_stay_in_step_on_threads(make):
    with stoker.Feed(make(1), workers=4) as feed, feed.sibling(make(2)) as validation:
        feed.plan(epochs=3, steps=6)  # the next epoch's are pulled while others are taken
        for _ in range(3):
            for images, masks in [*feed.epoch(6), *validation.epoch(6)]:
                assert (images == masks).all()


def test_a_stream_gives_the_batches_that_it_would_give_alone():
    alone = [[next(stream) for _ in range(18)] for stream in (pairs(1), pairs(2))]
    with stoker.Feed(pairs(1), workers=4) as feed, feed.sibling(pairs(2)) as validation:
        feed.plan(epochs=3, steps=6)
        made = [[*feed.epoch(6), *validation.epoch(6)] for _ in range(3)]
    together = [[pair for epoch in made for pair in epoch[half]] for half in (slice(6), slice(6, 12))]
    for one, other in zip(sum(alone, []), sum(together, []), strict=True):
        assert (one[0] == other[0]).all()


@pytest.mark.parametrize("make", [pairs, from_variables])
def test_an_item_is_pulled_in_a_turn_where_the_stream_seeds(make):
    stream = make()
    turns = turns_of(stream)
    with ThreadPoolExecutor(1) as other:
        turns.next_of(stream)
        with DRAWING.turn():
            made = other.submit(turns.next_of, stream)
            assert not wait([made], 0.05).done
        made.result(60)


def test_items_of_other_streams_wait_for_no_turn_but_the_first():
    stream, seeding = iter([1, 2, 3]), pairs()
    turns = turns_of(stream)
    others = turns_of(seeding)
    others.next_of(seeding)
    with ThreadPoolExecutor(1) as other:
        with DRAWING.turn():
            first = other.submit(turns.next_of, stream)
            assert not wait([first], 0.05).done
        assert first.result(60) == 1
        with DRAWING.turn():
            assert other.submit(turns.next_of, stream).result(60) == 2


def test_a_generator_may_have_batches_made_by_a_feed_of_its_own():
    def generate():
        masks = flow()
        with stoker.Feed(flow(), workers=4, timeout_s=60) as feed:
            while True:
                for images in feed.epoch():
                    yield images, next(masks)

    with stoker.Feed(generate(), workers=2, timeout_s=60) as feed:
        assert len(list(feed.epoch(15))) == 15


def test_a_sequence_may_have_batches_made_by_a_feed_of_its_own():
    class Nested(stoker.Sequence):
        def __init__(self):
            self.own, self.other = flow(), flow(9)

        def __len__(self):
            return len(self.own)

        def __getitem__(self, index):
            with stoker.Feed(self.other, workers=4, timeout_s=60) as feed:
                return self.own[index], next(iter(feed))

    with stoker.Feed(Nested(), workers=2, timeout_s=60) as feed:
        assert len(list(feed.epoch())) == 3
