"""``OrderedEnqueuer`` and ``GeneratorEnqueuer`` of ``keras.utils``, on top of ``stoker.Feed``.

Rules: batches come in order, for threads and processes alike; ``stop`` ends the workers; ``get`` may be called only between ``start`` and
``stop``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stoker.errors import FeedClosed
from stoker.feed.feed import Feed
from stoker.source.open import open_source

ENDLESS = 1 << 62
"""More batches than anybody takes."""


class _Enqueuer:
    """The part that is common.

    Args:
        source: a Sequence or a generator.
        use_multiprocessing: workers are processes.
        shuffle: permute the order of a Sequence in each pass.
        seed: as in ``Feed``.
    """

    def __init__(self, source: Any, use_multiprocessing: bool, shuffle: bool, seed: int | None) -> None:
        self._source = source
        self._processes = use_multiprocessing
        self._shuffle = shuffle
        self._seed = seed
        self._feed: Feed | None = None

    def is_running(self) -> bool:
        """Whether ``start`` was called, and ``stop`` was not."""
        return self._feed is not None

    def start(self, workers: int = 1, max_queue_size: int = 10, max_q_size: int | None = None, **old: Any) -> None:
        """Begin to make batches.

        Args:
            workers: threads or processes; 0 makes each batch when it is taken.
            max_queue_size: batches made ahead.
            max_q_size: Keras 1's word for it.
            old: ``nb_worker``, Keras 1's word for ``workers``.
        """
        workers, max_queue_size = old.get("nb_worker", workers), max_q_size or max_queue_size
        self._feed = Feed(
            open_source(self._source), workers=workers, processes=self._processes, max_queue_size=max_queue_size,
            shuffle=self._shuffle, seed=self._seed)
        self._feed.__enter__()

    def get(self) -> Iterator[Any]:
        """Batches, pass after pass; a generator's end is the end.

        Raises:
            FeedClosed: it was not started, or was stopped.
        """
        feed = self._feed
        if feed is None:
            raise FeedClosed("the enqueuer is not running", expected="start() before get()", remedy="Call start() first.")
        return feed.epoch(ENDLESS)

    def stop(self, timeout: float | None = None) -> None:
        """End the workers.

        Args:
            timeout: not needed: ending takes no longer than a worker's last batch.
        """
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()


class OrderedEnqueuer(_Enqueuer):
    """Batches of a Sequence, in order.

    Args:
        sequence: the Sequence.
        use_multiprocessing: workers are processes.
        shuffle: permute the order in each pass.
    """

    def __init__(self, sequence: Any, use_multiprocessing: bool = False, shuffle: bool = False) -> None:
        super().__init__(sequence, use_multiprocessing, shuffle, None)
        self.sequence = sequence


class GeneratorEnqueuer(_Enqueuer):
    """Items of a generator, in order.

    Args:
        generator: the generator.
        use_multiprocessing: the worker is a process.
        wait_time: not needed: nothing polls.
        random_seed: as ``seed`` in ``Feed``.
    """

    def __init__(
        self, generator: Any, use_multiprocessing: bool = False, wait_time: float = 0.05, random_seed: int | None = None, **old: Any
    ) -> None:
        super().__init__(generator, bool(old.pop("pickle_safe", use_multiprocessing)), False, random_seed)
