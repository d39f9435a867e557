"""Global generators that are seeded when an item draws, against those that are seeded before each item."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import stoker
from stoker.testing import Counting

HEAD = """
    import copy, json, os, pickle, sys, threading
    import random, numpy as np
    from stoker.feed.messages import Ask
    from stoker.feed.seeding import Seeding, seed_globals

    begin = Seeding().begin if sys.argv[1] == "lazy" else seed_globals
    # as user code does that is loaded after the worker has begun
    from random import random as by_name, gauss as gauss_by_name, getrandbits as bits_by_name, seed as seed_by_name

    def refused():
        try:
            random.seed([])
        except TypeError:
            return random.random()

    def forked():
        read, write = os.pipe()
        if not os.fork():
            os.write(write, repr(random.random()).encode())
            os._exit(0)
        os.wait()
        return float(os.read(read, 100)) == random.random()

    def by_threads():
        found = []
        threads = [threading.Thread(target=lambda: found.append(random.random())) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        return sorted(found)

    shuffled = lambda: (lambda rows: (random.shuffle(rows), rows)[1])(list(range(9)))
    DRAWS = {
        "random": lambda: random.random(), "uniform": lambda: random.uniform(1, 2), "triangular": lambda: random.triangular(),
        "randint": lambda: random.randint(0, 10**6), "choice": lambda: random.choice(range(10**6)),
        "randrange": lambda: random.randrange(10**30), "sample": lambda: random.sample(range(1000), 5), "shuffle": shuffled,
        "choices": lambda: random.choices(range(1000), k=4), "normalvariate": lambda: random.normalvariate(0, 1),
        "lognormvariate": lambda: random.lognormvariate(0, 1), "expovariate": lambda: random.expovariate(1.0),
        "vonmisesvariate": lambda: random.vonmisesvariate(1, 2), "gammavariate": lambda: random.gammavariate(2, 3),
        "gauss": lambda: random.gauss(0, 1), "betavariate": lambda: random.betavariate(1, 2),
        "paretovariate": lambda: random.paretovariate(2),
        "weibullvariate": lambda: random.weibullvariate(1, 2), "getrandbits": lambda: random.getrandbits(100),
        "randbytes": lambda: random.randbytes(9).hex(), "getstate": lambda: random.getstate()[1][:3],
        "binomialvariate": lambda: random.binomialvariate(9, 0.3) if hasattr(random, "binomialvariate") else None,
        "seed": lambda: (random.seed(3), random.random()), "seed by name": lambda: (seed_by_name(b"x", version=2), random.random()),
        "setstate": lambda: (random.setstate((3, (5,) * 624 + (624,), None)), random.random()),
        "state and back": lambda: (lambda state: (random.random(), random.setstate(state), random.random()))(random.getstate()),
        "seed refused": refused, "forked": forked, "threads": by_threads,
        "numpy": lambda: float(np.random.rand()), "nothing": lambda: None,
        "a copy": lambda: copy.copy(random.seed.__self__ if hasattr(random.seed, "__self__") else random.uniform.__self__).random(),
        "pickled": lambda: pickle.loads(pickle.dumps(random.uniform.__self__)).random(),
        "by name": by_name, "gauss by name": lambda: gauss_by_name(0, 1), "bits by name": lambda: bits_by_name(9),
        "twice": lambda: (random.random(), by_name(), random.gauss(0, 1), random.gauss(0, 1)),
    }
"""

ALL = """
    public = {name for name in random.__all__ if name not in ("Random", "SystemRandom")}
    assert public <= set(DRAWS), public - set(DRAWS)
    found, index = [], 0
    for first in DRAWS:
        for then in DRAWS:  # what an item leaves must not matter for the next
            for name in (first, then):
                begin(Ask(0, index, 0, index, 7))
                found.append((name, DRAWS[name]()))
                index += 1
    print(json.dumps(found))
"""


def run(way, text=ALL):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HEAD) + textwrap.dedent(text), way], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_every_draw_is_that_of_a_generator_which_is_seeded_before_the_item():
    lazy, eager = run("lazy"), run("eager")
    assert [pair for pair in zip(lazy, eager, strict=True) if pair[0] != pair[1]] == []
    assert len({str(draw) for name, draw in lazy if name == "random"}) > 50, "and no two items draw the same"
    assert not any(draw for name, draw in lazy if name == "forked")


@pytest.mark.parametrize("way", ["lazy", "eager"])
def test_an_item_that_draws_nothing_does_not_seed(way):
    seeded = run(way, """
        kept = random.uniform.__self__
        before = random.Random.getstate(kept)
        begin(Ask(0, 0, 0, 0, 7))
        print(json.dumps(random.Random.getstate(kept) != before))
    """)
    assert seeded == (way == "eager")


NUMPY = """
    from stoker.feed.seeding import _Numpy
    from numpy.random import rand as by_name
    by_hand = np.random.mtrand._rand  # as scikit-learn's check_random_state gives it
    np.random.rand()
    kept = np.random.get_bit_generator()  # numpy's own, as every worker finds it

    def threads():
        found = []
        threads = [threading.Thread(target=lambda: found.append(np.random.rand())) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        return sorted(found)

    def forked():
        read, write = os.pipe()
        if not os.fork():
            os.write(write, repr(np.random.rand()).encode())
            os._exit(0)
        os.wait()
        return float(os.read(read, 100)), np.random.rand()

    def refused():
        try:
            np.random.rand(-1)
        except ValueError:
            return np.random.rand()

    def swapped():  # a generator of the user's own, and the old one back
        old = np.random.get_bit_generator()
        np.random.set_bit_generator(np.random.PCG64(3))
        found = np.random.rand()
        np.random.set_bit_generator(old)
        return found, np.random.rand()

    rows = lambda: np.arange(9)
    DRAWS = {name: (lambda function=getattr(np.random, name): function()) for name in (
        "rand", "randn", "random", "random_sample", "ranf", "sample", "normal", "uniform", "exponential", "gumbel", "laplace", "logistic",
        "lognormal", "poisson", "rayleigh", "standard_cauchy", "standard_exponential", "standard_normal")}
    DRAWS |= {name: (lambda function=getattr(np.random, name), given=given: function(*given)) for name, given in {
        "beta": (1, 2), "binomial": (9, 0.3), "bytes": (5,), "chisquare": (2,), "choice": (100,), "dirichlet": ([1, 2],), "f": (2, 3),
        "gamma": (2,), "geometric": (0.2,), "hypergeometric": (5, 6, 7), "logseries": (0.5,), "multinomial": (9, [0.2, 0.8]),
        "multivariate_normal": ([0, 1], [[1, 0], [0, 1]]), "negative_binomial": (3, 0.4), "noncentral_chisquare": (2, 3),
        "noncentral_f": (2, 3, 1), "pareto": (2,), "permutation": (9,), "power": (2,), "randint": (10**6,),
        "standard_gamma": (2,), "standard_t": (3,), "triangular": (1, 2, 4), "vonmises": (1, 2), "wald": (1, 2), "weibull": (2,),
        "zipf": (3,)}.items()}
    DRAWS |= {
        "shuffle": lambda: (lambda array: (np.random.shuffle(array), array)[1])(rows()),
        "seed": lambda: (np.random.seed(4), np.random.rand()), "get_state": lambda: np.random.get_state()[1][:3],
        "state and back": lambda: (lambda state: (np.random.rand(), np.random.set_state(state), np.random.rand()))(np.random.get_state()),
        "set_state": lambda: (np.random.set_state(("MT19937", np.arange(624), 624)), np.random.rand()),
        "by name": by_name, "by hand": by_hand.normal, "arrays": lambda: np.random.normal(0, 1, 5), "refused": refused,
        "threads": threads, "forked": forked, "swapped": swapped,
        "of the generator": lambda: np.random.Generator(np.random.get_bit_generator()).random(),
        "raw": lambda: np.random.get_bit_generator().random_raw(), "state": lambda: np.random.get_bit_generator().state["state"]["key"][:3],
        "a copy": lambda: copy.copy(by_hand).rand(), "pickled": lambda: pickle.loads(pickle.dumps(by_hand)).rand(),
        "twice": lambda: (np.random.normal(), np.random.normal(), by_name()),
    }
    drawing = {name for name in np.random.__all__ if name[0].islower()} - {"random_integers", "default_rng", "set_state"}
    assert drawing <= set(DRAWS), drawing - set(DRAWS)
    found = []
    for index, name in enumerate(DRAWS):
        if sys.argv[1] == "lazy":
            np.random.set_bit_generator(kept)
            begin = _Numpy().begin  # no item has drawn yet
            assert type(np.random.get_bit_generator()).__name__ == "_Waiting"
        np.random.normal() if sys.argv[1] == "eager" else None  # of which a second number is kept
        begin(Ask(0, index, 0, index, 7))
        found.append((name, repr(DRAWS[name]())))
        begin(Ask(0, index, 1, index, 7))
        found.append((name, repr(np.random.normal())))
    print(json.dumps(found))
"""


def test_every_draw_of_numpy_is_that_of_a_generator_which_is_seeded_before_the_item():
    lazy, eager = run("lazy", NUMPY), run("eager", NUMPY)
    assert [pair for pair in zip(lazy, eager, strict=True) if pair[0] != pair[1]] == []
    assert len({draw for _, draw in lazy[1::2]}) == len(lazy) // 2, "and no two items draw the same"


def test_numpy_is_not_seeded_for_items_that_draw_nothing_until_one_draws():
    seeded = run("lazy", """
        calls = []
        seed = np.random.seed
        np.random.seed = lambda number: (calls.append(number), seed(number))
        for index in range(5):
            begin(Ask(0, index, 0, index, 7))
        before = len(calls)
        np.random.rand()
        for index in range(5):
            begin(Ask(0, index, 1, index, 7))
        print(json.dumps([before, len(calls)]))
    """)
    assert seeded == [0, 5]


def test_a_generator_that_the_source_sets_is_seeded_before_every_item():
    lazy, eager = (run(way, """
        begin(Ask(0, 0, 0, 0, 7))
        old = np.random.get_bit_generator()
        np.random.set_bit_generator(np.random.PCG64(1))
        found = []
        for index in (1, 2, 1):
            begin(Ask(0, index, 0, index, 7))
            found += [np.random.rand(), old.random_raw() > 0, np.random.rand()]
        print(json.dumps(found))
    """) for way in ("lazy", "eager"))
    assert lazy == eager and lazy[:3] == lazy[6:] != lazy[3:6]


def test_what_is_drawn_before_the_first_item_is_not_the_same_in_each_process():
    before = {str(run("lazy", "print(json.dumps(np.random.rand()))")) for _ in range(2)}
    assert len(before) == 2


def test_the_lock_may_be_taken_by_hand():
    assert run("lazy", """
        begin(Ask(0, 0, 0, 0, 7))
        lock = np.random.get_bit_generator().lock
        taken = lock.acquire()
        lock.release()
        with lock:
            print(json.dumps(taken))
    """)


@pytest.mark.parametrize("refuses", ["lambda generator, settle: generator", "lambda generator, settle: None"])
def test_a_numpy_that_uses_its_own_lock_or_takes_no_other_is_seeded_before_every_item(refuses):
    drawn = run("eager", f"""
        import stoker.feed.seeding as seeding
        seeding._Waiting = {refuses}
        begin = seeding._Numpy().begin
        begin(Ask(0, 0, 0, 0, 7))
        print(json.dumps([np.random.rand(), np.random.RandomState(seeding.seeds_of(Ask(0, 0, 0, 0, 7))[1]).rand()]))
    """)
    assert drawn[0] == drawn[1]


class Drawing(Counting):
    """Draws from all that a script may have imported by name, or made for itself."""

    def __init__(self, length=9):
        super().__init__(length)
        self.draws = [
            random.random, random.gauss, np.random.rand, np.random.mtrand._rand.normal, np.random.default_rng(3).random,
            np.random.RandomState(3).rand, np.random.Generator(np.random.MT19937(3)).normal,
            np.random.RandomState(np.random.PCG64(3)).normal, random.Random(3).random]
        self.draws[1:2] = [lambda: random.gauss(0, 1)]

    def __getitem__(self, index):
        return np.array([draw() for draw in self.draws])


def drawn(source, epochs=2, **options):
    with stoker.Feed(source, processes=True, seed=5, **options) as feed:
        return np.stack([batch for _ in range(epochs) for batch in feed.epoch()])


def test_workers_never_draw_the_same_from_what_the_source_holds():
    found = drawn(Drawing(), workers=3)
    for place, column in enumerate(found.T):
        assert len(set(column)) == len(found), f"draw {place}"
    assert len(set(found.ravel())) == found.size, "nor one generator what another does"


def test_what_they_draw_does_not_depend_on_how_many_they_are():
    expected = drawn(Drawing(), workers=1)
    assert (drawn(Drawing(), workers=2) == expected).all()
    assert (drawn(Drawing(), workers=2, max_queue_size=3) == expected).all()


def test_generators_of_which_each_item_has_its_own_are_left_to_the_source():
    class Many(Counting):
        def __init__(self):
            super().__init__(100)
            self.luck = [np.random.default_rng(number) for number in range(100)]

        def __getitem__(self, index):
            return self.luck[index].random(2)

    assert (drawn(Many(), epochs=1, workers=2) == np.stack([np.random.default_rng(number).random(2) for number in range(100)])).all()


def test_the_generator_of_a_stream_goes_on_as_it_would_alone():
    def stream(luck=np.random.default_rng(3)):  # noqa: B008
        for _ in range(6):
            yield luck.random(2)

    def alone():
        luck = np.random.default_rng(3)
        return np.stack([luck.random(2) for _ in range(6)])

    assert (drawn(stream, epochs=1, workers=2) == alone()).all()


class Counted(stoker.Sequence):
    """Draws as Keras's image iterators do: by how many batches it has made in its life."""

    def __init__(self):
        self.total_batches_seen = 0
        self.passes = 0

    def __len__(self):
        return 4

    def __getitem__(self, index):
        self.total_batches_seen += 1
        return np.array([self.total_batches_seen - 1])

    def on_epoch_end(self):
        self.passes += 1


@pytest.mark.parametrize("way", [{"workers": 0}, {"workers": 1}, {"workers": 2, "processes": True}])
def test_a_source_that_draws_by_its_count_of_batches_goes_on_over_calls(way):
    source = Counted()

    def call(epochs, steps):
        with stoker.Feed(source, **way) as feed:
            feed.plan(epochs=epochs, steps=steps)
            return [int(batch[0]) for _ in range(epochs) for batch in feed.epoch(steps)]

    assert [call(1, None), call(2, None), call(1, 2), call(1, None)] == [[*range(4)], [*range(4, 12)], [12, 13], [*range(16, 20)]]
