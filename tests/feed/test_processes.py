"""What travels to worker processes, and what they hold."""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import stoker
from stoker.feed.arena import Arena
from stoker.feed.child import NICENESS
from stoker.feed.crew import Crew
from stoker.testing import Counting

LIMIT_S = 120


def run_script(tmp_path, text, **environment):
    """Run a script as a user would: a file, without a ``__main__`` guard."""
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=tmp_path,
        env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def take(source, **options):
    with stoker.Feed(source, workers=2, processes=True, **options) as feed:
        return list(feed.epoch())


def test_an_unguarded_script_with_classes_lambdas_and_closures_runs(tmp_path):
    out = run_script(tmp_path, """
        import numpy as np, stoker
        print("main once")
        def outer(k):
            return lambda v: v * k
        class Mine(stoker.Sequence):
            scale = outer(3)
            def __init__(self): self.add = lambda v: v + 1
            def __len__(self): return 4
            def __getitem__(self, index): return self.add(type(self).scale(np.full(2, index))), np.zeros(2)
        with stoker.Feed(Mine(), workers=2, processes=True) as feed:
            print([int(x[0]) for x, y in feed.epoch()])
    """)
    assert out.splitlines() == ["main once", "[1, 4, 7, 10]"]


def test_batches_of_classes_of_a_script_come_back_as_its_own(tmp_path):
    out = run_script(tmp_path, """
        import dataclasses, numpy as np, stoker
        from collections import namedtuple
        Pair = namedtuple("Pair", "x y")
        class Named(dict):
            pass
        @dataclasses.dataclass
        class Item:
            x: np.ndarray
        class Mine(stoker.Sequence):
            def __len__(self): return 6
            def __getitem__(self, index):
                x = np.full(1000, index)
                return x, Pair(x, x[:2]), Named(x=x), Item(x)
        with stoker.Feed(Mine(), workers=2, processes=True) as feed:
            for x, pair, named, item in feed.epoch():
                assert isinstance(pair, Pair) and isinstance(named, Named) and isinstance(item, Item)
                print(*{int(array[-1]) for array in (x, *pair, named["x"], item.x)})
    """)
    assert out.split() == list("012345")


@pytest.mark.slow
def test_a_worker_of_a_numpy_only_sequence_loads_no_framework(tmp_path):
    out = run_script(tmp_path, """
        import numpy as np, sys, os, keras, stoker
        class Mine(keras.utils.Sequence):
            def __len__(self): return 4
            def __getitem__(self, index):
                heavy = [m for m in ("keras", "jax", "torch", "tensorflow") if m in sys.modules]
                return np.array([len(heavy)]), np.array([os.environ["CUDA_VISIBLE_DEVICES"] == "", os.environ["OMP_NUM_THREADS"] == "1"])
        with stoker.Feed(Mine(), workers=2, processes=True) as feed:
            print([(int(x[0]), bool(y.all())) for x, y in feed.epoch()])
    """)
    assert out == str([(0, True)] * 4)


def test_locks_travel_as_fresh_ones():
    class Locked(Counting):
        def __init__(self, length):
            super().__init__(length)
            self.lock = threading.Lock()
            self.nested = {"inner": [threading.RLock()]}

        def __getitem__(self, index):
            with self.lock, self.nested["inner"][0]:
                return super().__getitem__(index)

    source = Locked(4)
    with source.lock:  # held here, free there
        assert len(take(source)) == 4


def test_h5py_files_and_data_sets_are_opened_again(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["group/x"] = np.arange(12.0).reshape(4, 3)

    class FromFile(stoker.Sequence):
        def __init__(self, file):
            self.file = file
            self.rows = file["group/x"]

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return self.rows[index], self.file["group/x"][index]

    with h5py.File(tmp_path / "data.h5", "r") as file:
        batches = take(FromFile(file))
    assert [x.tolist() for x, _ in batches] == np.arange(12.0).reshape(4, 3).tolist()
    assert all((x == y).all() for x, y in batches)


def test_what_cannot_travel_is_named_once_and_runs_on_threads():
    class Held(Counting):
        def __init__(self, length):
            super().__init__(length)
            self.parts = {"reader": [socket.socket()]}

    source = Held(4)
    with pytest.warns(stoker.StokerWarning) as told:
        assert len(take(source)) == 4
    source.parts["reader"][0].close()
    (warning,) = told
    assert "Held.parts['reader'][0]" in str(warning.message) and "threads instead" in str(warning.message)


def test_a_system_without_fork_uses_threads_and_says_so(monkeypatch):
    monkeypatch.setattr("stoker.feed.hub.HAS_FORK", False)
    with pytest.warns(stoker.StokerWarning, match="threads instead"), stoker.Feed(Counting(3), workers=2, processes=True) as feed:
        assert len(list(feed.epoch())) == 3
        assert feed.meter.lane == "threads"


def test_a_started_generator_runs_on_a_thread_and_goes_on_where_it_was():
    def numbers():
        yield from range(10)

    stream = numbers()
    next(stream)
    with pytest.warns(stoker.StokerWarning, match="parallel_map"), stoker.Feed(stream, workers=2, processes=True) as feed:
        assert list(feed.epoch(4)) == [1, 2, 3, 4]
    assert next(stream) == 5


def test_a_generator_function_runs_in_a_process():
    def who():
        for _ in range(3):
            yield np.array(os.getpid())

    with stoker.Feed(who, workers=2, processes=True) as feed:
        pids = {int(pid) for _ in range(2) for pid in feed.epoch()}
    assert len(pids) == 1 and os.getpid() not in pids


def test_an_unstarted_generator_held_by_a_source_travels():
    class Inner(stoker.Sequence):
        def __init__(self):
            self.numbers = self._numbers(5, step=2)

        def _numbers(self, start, *, step):
            while True:
                yield start
                start += step

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return np.array(next(self.numbers)), index

    with stoker.Feed(Inner(), workers=1, processes=True) as feed:
        assert [int(x) for x, _ in feed.epoch()] == [5, 7, 9]


def test_only_what_changed_travels_after_a_pass():
    class Shuffled(stoker.Sequence):
        def __init__(self):
            self.rows = np.arange(4_000_000)
            self.other = np.arange(100_000)
            self.order = np.arange(5)

        def __len__(self):
            return 5

        def __getitem__(self, index):
            return self.rows[self.order[index]], self.other[0]

        def on_epoch_end(self):
            self.order = np.roll(self.order, 1)
            self.other[0] += 1

    with stoker.Feed(Shuffled(), workers=2, processes=True) as feed:
        passes = [[(int(x), int(y)) for x, y in feed.epoch()] for _ in range(3)]
        (shipment,) = feed._pump.lane._shipments.values()
        sizes = sorted(cargo.size_bytes for cargo in shipment._cargo.values())
    assert passes == [[((row - number) % 5, number) for row in range(5)] for number in range(3)]
    assert sizes[-1] > 32_000_000 and sum(sizes[:-1]) < 1_000_000


def test_global_generators_are_seeded_for_every_item_whatever_the_workers():
    import random

    class Global(stoker.Sequence):
        def __len__(self):
            return 24

        def __getitem__(self, index):
            return np.array([random.random(), np.random.rand()]), index

    def draws(workers, seed):
        with stoker.Feed(Global(), workers=workers, processes=True, seed=seed) as feed:
            return [tuple(x) for _ in range(2) for x, _ in feed.epoch()]

    assert len(set(draws(2, 1))) == 48
    assert draws(1, 1) == draws(3, 1) != draws(2, 2)


def test_batches_kept_by_the_caller_are_never_overwritten():
    class Big(stoker.Sequence):
        def __len__(self):
            return 30

        def __getitem__(self, index):
            return np.full((200, 200), index), np.full(50_000, index, np.uint8)

    with stoker.Feed(Big(), workers=2, processes=True) as feed:
        kept = [batch for _ in range(3) for batch in feed.epoch()]
        slots = feed._pump.lane._slots.in_use
    assert [(int(x[0, 0]), int(y[-1])) for x, y in kept] == [(n % 30, n % 30) for n in range(90)]
    assert all((x == x[0, 0]).all() and (y == y[0]).all() for x, y in kept)
    assert slots < 40


def test_slots_are_reused_when_batches_are_dropped():
    class Big(stoker.Sequence):
        def __len__(self):
            return 200

        def __getitem__(self, index):
            return np.full((200, 200), index), index

    with stoker.Feed(Big(), workers=2, processes=True, max_queue_size=4) as feed:
        for number, (x, _) in enumerate(feed.epoch()):
            assert x[0, 0] == x[-1, -1] == number
        assert feed._pump.lane._slots.in_use <= 4 + 7


def test_an_array_from_stoker_empty_crosses_without_a_copy_and_is_right():
    class Built(stoker.Sequence):
        def __len__(self):
            return 20

        def __getitem__(self, index):
            x = stoker.empty((64, 2000), np.float32)
            x[:] = index
            stoker.empty(10)
            y = stoker.empty(64, "int64")
            y[:] = -index
            return {"whole": x, "part": x[:, 1:], "again": x}, y

    for way in ({"workers": 0}, {"workers": 2}, {"workers": 2, "processes": True}):
        with stoker.Feed(Built(), **way) as feed:
            for index, (x, y) in enumerate(feed.epoch()):
                assert x["whole"].shape == (64, 2000) and x["part"].shape == (64, 1999)
                assert (x["whole"] == index).all() and (x["part"] == index).all() and (y == -index).all()
                assert x["again"] is not None and (x["again"] == index).all()


def test_objects_and_text_cross_by_pickle():
    class Odd(stoker.Sequence):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return {"text": np.array(["a", "bc"]), "objects": np.array([index, None], object), "list": [index, "x", 2.5]}, {1, index}

    batches = take(Odd())
    assert [batch[0]["list"] for batch in batches] == [[n, "x", 2.5] for n in range(3)]
    assert batches[2][0]["objects"][0] == 2 and batches[1][0]["text"].tolist() == ["a", "bc"] and batches[2][1] == {1, 2}


@pytest.mark.slow
def test_many_workers_share_one_copy_of_the_data(tmp_path):
    out = run_script(tmp_path, """
        import numpy as np, psutil, stoker
        class Large(stoker.Sequence):
            def __init__(self): self.rows = np.ones((500, 131072), np.float64)
            def __len__(self): return 500
            def __getitem__(self, index): return self.rows[index], self.rows.sum()
        source = Large()
        with stoker.Feed(source, workers=4, processes=True) as feed:
            batches = feed.epoch()
            for _ in range(40): next(batches)
            tree = psutil.Process().children(recursive=True)
            print(sum(process.memory_full_info().pss for process in tree) / source.rows.nbytes)
    """)
    assert float(out) < 1.3


@pytest.mark.slow
def test_image_iterators_of_keras_run_in_processes(tmp_path):
    out = run_script(tmp_path, """
        import numpy as np, stoker
        from keras.src.legacy.preprocessing.image import ImageDataGenerator
        x = np.random.rand(40, 8, 8, 3); y = np.arange(40)
        flow = ImageDataGenerator(horizontal_flip=True).flow(x, y, batch_size=8, shuffle=True)
        with stoker.Feed(flow, workers=2, processes=True) as feed:
            for _ in range(2):
                seen = [label for images, labels in feed.epoch() for label in labels]
                print(sorted(seen) == list(range(40)), seen != list(range(40)))
    """)
    assert out.splitlines() == ["True True"] * 2


def test_a_module_that_feeds_from_processes_when_it_is_imported_is_told_where_to_put_that(tmp_path):
    (tmp_path / "library.py").write_text(textwrap.dedent("""
        import numpy as np, stoker
        class Mine(stoker.Sequence):
            def __len__(self): return 2
            def __getitem__(self, index): return np.full(2, index)
        with stoker.Feed(Mine(), workers=1, processes=True) as feed:
            list(feed.epoch())
    """))
    out = run_script(tmp_path, """
        try:
            import library
        except RuntimeError as error:
            print(type(error).__name__, error)
    """)
    assert out.startswith("WorkerError") and "__main__" in out


class Blocks(stoker.Sequence):
    """How many blocks of memory the C library maps for a large array alone."""

    class Counts(ctypes.Structure):
        _fields_ = [(name, ctypes.c_int) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
                                                      "fordblks", "keepcost")]

    def __len__(self):
        return 4

    def __getitem__(self, index):
        mallinfo = ctypes.CDLL(None).mallinfo
        mallinfo.restype = self.Counts
        before = mallinfo().hblks
        array = np.ones(40 << 20, np.uint8)
        return np.array([mallinfo().hblks - before, array[-1]])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this C library has no mallinfo")
def test_workers_keep_the_memory_of_large_arrays():
    assert [batch.tolist() for batch in take(Blocks())] == [[0, 1]] * 4


def test_a_worker_that_is_replaced_before_it_has_told_its_process_id_keeps_its_own():
    arena = Arena.create(4)
    crew = Crew(arena)
    hands = [crew.hire(0), crew.hire(0), crew.hire(1)]  # the first had ended, and another has its number
    try:
        assert all(crew.wait_for(hand, "pid", LIMIT_S) for hand in reversed(hands))
        assert len({hand.pid for hand in hands}) == 3
        hands[0].close()
        assert crew.wait_for(hands[0], "status", LIMIT_S) and hands[1].status is hands[2].status is None
    finally:
        crew.close(hands[1:])
        arena.close([])


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux only")
def test_a_worker_does_not_take_the_core_from_whoever_gives_it_something_to_do():
    class Policy(stoker.Sequence):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return np.array(os.sched_getscheduler(0))

    assert take(Policy()) == [os.SCHED_BATCH] and os.sched_getscheduler(0) != os.SCHED_BATCH


@pytest.mark.skipif(not hasattr(os, "nice"), reason="has no niceness")
def test_workers_give_way_to_the_caller():
    class Nice(stoker.Sequence):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return np.array([os.nice(0)])

    with stoker.Feed(Nice(), workers=2, processes=True) as feed:
        assert {int(batch[0]) for batch in feed} == {min(19, os.nice(0) + NICENESS)}
