"""What is a source, what is none, and what the refusal says."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import stoker
from stoker.source.open import open_source
from stoker.testing import Counting


class Duck:
    """A source with no base class and no ``super().__init__()``."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return index, index


class Cursor:
    """An iterator that is a class of its own."""

    def __init__(self):
        self.number = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.number += 1
        return self.number


class IndexedIterator(Duck):
    """Iterates too, as Keras's image iterators do."""

    def __next__(self):
        raise AssertionError("asked by next()")

    def __iter__(self):
        return self


class Loader:
    """Iterable with a length, as torch's DataLoader is."""

    def __len__(self):
        return 3

    def __iter__(self):
        return iter(range(3))


def numbers():
    yield from range(4)


def needs(rows):
    yield rows


@pytest.mark.parametrize(("original", "kind", "length"), [
    (Counting(5), "indexed", 5),
    (Duck(), "indexed", 2),
    (IndexedIterator(), "indexed", 2),
    ([(1, 2), (3, 4)], "indexed", 2),
    (numbers(), "stream", None),
    (zip([1], [2], strict=True), "stream", None),
    (map(str, [1]), "stream", None),
    (Cursor(), "stream", None),
    (numbers, "restartable", None),
    (functools.partial(needs, 3), "restartable", None),
    (lambda: iter([1]), "restartable", None),
    (Loader(), "restartable", 3),
])
def test_what_the_object_can_do_decides_its_kind(original, kind, length):
    source = open_source(original)
    assert (source.kind, source.length()) == (kind, length)
    assert open_source(source) is source


@pytest.mark.parametrize(("original", "remedy"), [
    (7, "yields batches"),
    ("train", "yields batches"),
    (None, "yields batches"),
    (Counting, "Pass an instance: Counting"),
    (np.zeros((4, 2)), "stoker.fit"),
    ((np.zeros(4), np.zeros(4)), "stoker.fit"),
    ({"x": 1}, "generator or a Sequence"),
    (range(5), "generator or a Sequence"),
    (needs, "rows"),
    (object(), "__len__"),
])
def test_what_is_no_source_is_refused_with_a_remedy(original, remedy):
    with pytest.raises(stoker.SourceTypeError) as caught:
        open_source(original)
    assert isinstance(caught.value, TypeError)
    assert remedy in caught.value.remedy
    assert "generator" in caught.value.expected


def test_a_data_frame_is_refused():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(stoker.SourceTypeError, match=r"stoker\.fit"):
        open_source(pandas.DataFrame({"x": [1]}))


@pytest.mark.parametrize("length", [0, -1, 2.5, "three"])
def test_a_length_that_is_none_is_an_error_before_anything_runs(length):
    class Odd(Duck):
        def __len__(self):
            return length

    with pytest.raises(stoker.SourceError) as caught:
        stoker.Feed(Odd())
    assert isinstance(caught.value, ValueError) and "Odd" in str(caught.value)


def test_a_pass_end_that_does_nothing_is_known_as_such():
    class Silent(stoker.Sequence):
        """Does not override on_epoch_end."""

    class Passing(Duck):
        def on_epoch_end(self):
            """Nothing."""

    assert not open_source(Silent()).has_pass_end
    assert not open_source(Passing()).has_pass_end
    assert not open_source(Duck()).has_pass_end
    assert open_source(Counting(1)).has_pass_end


def test_a_function_that_gives_no_iterator_is_an_error():
    with stoker.Feed(lambda: 5, workers=0) as feed, pytest.raises(stoker.SourceTypeError, match="no iterator"):
        next(feed.epoch(1))


def test_a_generator_left_before_its_end_is_closed_when_the_next_pass_begins():
    closed = []

    def resource():
        try:
            yield from range(10)
        finally:
            closed.append(True)

    source = open_source(resource)
    assert source.get(0, 0) == 0
    assert source.get(1, 0) == 0
    assert closed == [True]
