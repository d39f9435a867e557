"""What does a training step cost: stoker, Keras's own fit, and a bare loop over the model's compiled step?

Run ``python benchmarks/bench_step.py`` (all backends that are installed, each in a process of its own), or with names of backends and
models: ``python benchmarks/bench_step.py jax mlp``. Every way trains a model of its own, all ways of a model take turns within one run, and
the median of five turns counts. Data are ready-made arrays, so that nothing but the step and its surroundings is timed.

Results: two cores that did nothing else, Python 3.11, Keras 3.15.1, JAX 0.10.2, PyTorch 2.13.0, TensorFlow 2.21.0, CPU; of the MLP on
JAX three runs::

    backend    model     bare one by one generator    keras  dataset    keras   arrays    keras     hook    keras |   s/b k/s gen k/s 1x1 k/s data k/s arr k/s hook
    jax        mlp         77         65        13      238       12      233       35      255       53      129 |  0.84    18.7     3.7     19.1     7.3      2.4
    jax        mlp         76         56        13      206       14      211       34      235       48      119 |  0.74    16.0     3.7     15.1     6.9      2.5
    jax        mlp         75         57        13      220       13      215       31      242       50      118 |  0.76    17.5     3.8     16.1     7.9      2.4
    jax        cnn       5358       4991      5204     5310     5014     5445     4852     5513     4941     5161 |  0.93     1.0     1.1      1.1     1.1      1.0
    jax        lstm       628        632       550      728      538      769      548      788      644      789 |  1.01     1.3     1.2      1.4     1.4      1.2
    jax        wide     37003      35953     37178    37364    36000    36859    36357    37675    36143    36653 |  0.97     1.0     1.0      1.0     1.0      1.0
    torch      mlp       1602        622       543     2095      552     2080      554     2141      659     1791 |  0.39     3.9     3.4      3.8     3.9      2.7
    torch      cnn       7213       5306      5457     7541     5495     7373     5565     7871     5422     7456 |  0.74     1.4     1.4      1.3     1.4      1.4
    torch      lstm      4669       3702      3656     5211     3606     4960     3826     5043     3700     4834 |  0.79     1.4     1.4      1.4     1.3      1.3
    torch      wide     70134      62711     69341    67114    63089    66095    63172    69436    69658    66315 |  0.89     1.0     1.1      1.0     1.1      1.0
    tensorflow mlp        437        448       127     1366      126     1361      148      982      475     1555 |  1.02    10.8     3.1     10.8     6.6      3.3
    tensorflow cnn       2781       2763      2838     4856     2728     4251     3296     4009     2819     4553 |  0.99     1.7     1.8      1.6     1.2      1.6
    tensorflow lstm      2321       2377      2409     5324     2373     5279     2483     3239     2408     4484 |  1.02     2.2     2.2      2.2     1.3      1.9
    tensorflow wide     43016      42011     41842    80341    43354    80360    42729    80929    42742    46269 |  0.98     1.9     1.9      1.9     1.9      1.1

On the same machine in an hour in which others used it too, and Python ran at a third to a half of that speed. Of the MLP on JAX four runs; eight
in other such hours had 0.92 to 1.27 for ``s/b``, and the median of all twelve is 1.10; seven of another day had 0.99 to 1.51, and a median of
1.11, and four of a third 1.17, 1.17, 1.18 and 0.89, with 12.5 to 16.9 for the generator, 3.8 to 4.7 one by one and 2.1 to 2.9 for the hook. Nine of a
fourth: 1.14 and 1.16, and with fewer calls between steps 1.11, 0.93, 1.17, 1.06, 0.92, 1.52 and 0.93, with 16.1 to 20.9 for the generator, 3.9 to
6.5 one by one and 2.2 to 2.7 for the hook. One of a fifth: 0.99, with 18.7, 5.0 and 2.4; there ``s/b`` was 1.13, 1.00 and 1.03 for the other models
on JAX, 0.44, 0.77 and 0.93 on PyTorch and 0.90, 0.89 and 1.03 on TensorFlow (but for the wide model). The wide model on PyTorch, in a sixth: 1.09,
with 98 ms for the generator and 75 for Keras's; minutes later seven turns of those two alone came to 184 and 185 ms.
The wide model on TensorFlow was not measured in the first::

    jax        mlp         96        133        28      488       28      463       48      522      116      287 |  1.39    17.7     3.7     16.5    10.9      2.5
    jax        mlp        167        157        38      671       35      704       69      705      169      623 |  0.94    17.7     4.3     19.9    10.2      3.7
    jax        mlp        109        148        34      547       31      493       56      540      114      332 |  1.36    16.2     3.7     15.9     9.6      2.9
    jax        mlp        105         99        27      521       28      485       50      548      108      313 |  0.94    19.6     5.3     17.3    10.9      2.9
    jax        cnn       7773       8114      8094     8846     8386     8831     8458     8633     8468     8568 |  1.04     1.1     1.1      1.1     1.0      1.0
    jax        lstm      1198       1214      1219     1401     1175     1356     1250     1451     1450     1492 |  1.01     1.1     1.2      1.2     1.2      1.0
    jax        wide     58048      58975     57511    53815    59087    54294    57232    55726    57535    53274 |  1.02     0.9     0.9      0.9     1.0      0.9
    torch      mlp       3235       1511      1314     4038     1485     3952     1431     3959     1529     3512 |  0.47     3.1     2.7      2.7     2.8      2.3
    torch      cnn      15678      12418     11401    16562    11818    16313    11312    16650    13013    15312 |  0.79     1.5     1.3      1.4     1.5      1.2
    torch      lstm     12145      11410     10870    15694    11310    15555    11436    15254    11449    16414 |  0.94     1.4     1.4      1.4     1.3      1.4
    torch      wide    117285     114750    121984   143636   129760   112922   134264   115870   128931   125704 |  0.98     1.2     1.3      0.9     0.9      1.0
    tensorflow mlp       1213        914       330     3887      332     2895      351     2618     1037     3822 |  0.75    11.8     4.3      8.7     7.5      3.7
    tensorflow cnn      15475      14636     13937    21214    13938    18477    13866    21835    14295    20953 |  0.95     1.5     1.4      1.3     1.6      1.5
    tensorflow lstm      5093       4278      4371     8958     3906     9341     4766     7241     4210    13304 |  0.84     2.0     2.1      2.4     1.5      3.2

How to read it: microseconds a step. ``bare`` is a loop over the model's own step, compiled, with nothing around it, one step a call. ``hook``
has a callback that reads the loss after every batch. ``one by one`` is a generator with ``workers=0``: no batch is pulled
before the step that needs it, so steps are never fused. ``k/s`` is Keras's time over stoker's for the same kind of source (higher is better
for stoker), ``k/s 1x1`` that of Keras's generator over ``one by one``; ``s/b`` is ``one by one`` over ``bare``.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
from time import perf_counter

BACKENDS = ("jax", "torch", "tensorflow")
TURNS = 5
SECONDS = 0.4
"""About how long a turn of one way takes."""
MOST_STEPS = 50_000
WARM_TURNS = 6
"""Turns before the first that counts: in one of them steps begin to be fused, and how many take ``SECONDS`` is known two later."""


def models():
    """Name -> (function that makes a compiled model, shape of a batch of inputs, shape of a batch of targets)."""
    import keras
    from keras import layers

    def compiled(*parts):
        model = keras.Sequential(list(parts))
        model.compile("adam", "mse", metrics=["mae"])
        return model

    def mlp():
        return compiled(keras.Input((16,)), layers.Dense(32, "relu"), layers.Dense(32, "relu"), layers.Dense(1))

    def cnn():
        return compiled(
            keras.Input((28, 28, 1)), layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(10))

    def lstm():
        return compiled(keras.Input((20, 16)), layers.LSTM(32), layers.Dense(1))

    def wide():
        return compiled(keras.Input((1024,)), *(layers.Dense(2048, "relu") for _ in range(3)), layers.Dense(10))

    return {
        "mlp": (mlp, (32, 16), (32, 1)), "cnn": (cnn, (32, 28, 28, 1), (32, 10)), "lstm": (lstm, (32, 20, 16), (32, 1)),
        "wide": (wide, (32, 1024), (32, 10)),
    }


def ways(keras, make, x, y):
    """Name -> function that trains a model of its own for a number of steps."""
    import numpy as np

    import stoker

    made = {}

    def model(name):
        if name not in made:
            keras.utils.set_random_seed(0)
            made[name] = make()
        return made[name]

    def endless():
        while True:
            yield x, y

    class Data(keras.utils.PyDataset):
        steps = 1

        def __len__(self):
            return self.steps

        def __getitem__(self, index):
            return x, y

    class Hook(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.loss = logs["loss"]

    def data(steps):
        made_data = Data()
        made_data.steps = steps
        return made_data

    def arrays(steps):
        return np.concatenate([x] * steps), np.concatenate([y] * steps)

    quiet = {"verbose": 0}
    return {
        "bare": lambda n: bare(keras, model("bare"), x, y, n),
        "stoker generator": lambda n: stoker.fit_generator(model("sg"), endless(), n, **quiet),
        "stoker one by one": lambda n: stoker.fit_generator(model("s1"), endless(), n, workers=0, **quiet),
        "stoker hook": lambda n: stoker.fit_generator(model("sh"), endless(), n, callbacks=[Hook()], **quiet),
        "stoker dataset": lambda n: stoker.fit_generator(model("sd"), data(n), **quiet),
        "stoker arrays": lambda n, full=None: stoker.fit(model("sa"), full or arrays(n), batch_size=len(x), **quiet),
        "keras generator": lambda n: model("kg").fit(endless(), steps_per_epoch=n, **quiet),
        "keras hook": lambda n: model("kh").fit(endless(), steps_per_epoch=n, callbacks=[Hook()], **quiet),
        "keras dataset": lambda n: model("kd").fit(data(n), **quiet),
        "keras arrays": lambda n: model("ka").fit(*arrays(n), batch_size=len(x), **quiet),
    }


BARE = {}


def bare(keras, model, x, y, steps):
    """A loop over the model's own step and nothing else; compiled once."""
    run = BARE.get(id(model))
    if run is None:
        model.train_on_batch(x, y)
        run = BARE[id(model)] = {"jax": bare_jax, "torch": bare_torch, "tensorflow": bare_tensorflow}[keras.backend.backend()](model, x, y)
    run(steps)


def bare_jax(model, x, y):
    import jax

    parts = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables, model.metrics_variables)
    state = tuple([jax.numpy.array(variable.value) for variable in part] for part in parts)
    step = jax.jit(lambda state, data: model.train_step(state, data), donate_argnums=0)

    def run(steps):
        nonlocal state
        for _ in range(steps):
            _, state = step(state, (x, y))
        jax.block_until_ready(state)

    return run


def bare_torch(model, x, y):
    import torch

    data = torch.from_numpy(x), torch.from_numpy(y)

    def run(steps):
        for _ in range(steps):
            logs = model.train_step(data)
        float(logs["loss"])

    return run


def bare_tensorflow(model, x, y):
    import tensorflow as tf

    step = tf.function(model.train_step, jit_compile=model.jit_compile, reduce_retracing=True)
    data = tf.convert_to_tensor(x), tf.convert_to_tensor(y)

    def run(steps):
        for _ in range(steps):
            logs = step(data)
        float(logs["loss"])

    return run


def steps_for(run, steps):
    """How many steps take about ``SECONDS``, from how long so many take."""
    began = perf_counter()
    run(steps)
    return int(min(max(32, SECONDS * steps / (perf_counter() - began)), MOST_STEPS))


def measure(name):
    """Microseconds a step for each way of a model; the ways take turns."""
    import keras
    import numpy as np

    make, *shapes = models()[name]
    draw = np.random.default_rng(0)
    x, y = (draw.normal(size=shape).astype("float32") for shape in shapes)
    runs = ways(keras, make, x, y)
    counts = {}
    for way, run in runs.items():
        run(16)
        counts[way] = 32
        for _ in range(WARM_TURNS):
            counts[way] = steps_for(run, counts[way])
    times = {way: [] for way in runs}
    for _ in range(TURNS):
        for way, run in runs.items():
            began = perf_counter()
            run(counts[way])
            times[way].append((perf_counter() - began) / counts[way])
    return {way: statistics.median(found) * 1e6 for way, found in times.items()}


HEAD = (f"{'backend':10} {'model':5} {'bare':>8} {'one by one':>10} {'generator':>9} {'keras':>8} {'dataset':>8} {'keras':>8} {'arrays':>8}"
        f" {'keras':>8} {'hook':>8} {'keras':>8} | {'s/b':>5} {'k/s gen':>7} {'k/s 1x1':>7} {'k/s data':>8} {'k/s arr':>7} {'k/s hook':>8}")


def row(backend, name, t):
    s, k = (lambda way: t[f"stoker {way}"]), (lambda way: t[f"keras {way}"])
    return (f"{backend:10} {name:5} {t['bare']:8.0f} {s('one by one'):10.0f} {s('generator'):9.0f} {k('generator'):8.0f} {s('dataset'):8.0f} "
            f"{k('dataset'):8.0f} {s('arrays'):8.0f} {k('arrays'):8.0f} {s('hook'):8.0f} {k('hook'):8.0f} | {s('one by one') / t['bare']:5.2f} "
            f"{k('generator') / s('generator'):7.1f} {k('generator') / s('one by one'):7.1f} {k('dataset') / s('dataset'):8.1f} "
            f"{k('arrays') / s('arrays'):7.1f} {k('hook') / s('hook'):8.1f}")


def main():
    asked = sys.argv[1:]
    if "--inner" in asked:
        for name in asked[1:]:
            print(row(os.environ["KERAS_BACKEND"], name, measure(name)), flush=True)
        return
    backends = [name for name in BACKENDS if (name in asked or not set(asked) & set(BACKENDS)) and importlib.util.find_spec(name)]
    chosen = [name for name in ("mlp", "cnn", "lstm", "wide") if name in asked or not set(asked) - set(BACKENDS)]
    print(HEAD)
    for backend in backends:
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
        subprocess.run([sys.executable, __file__, "--inner", *chosen], env=environment, stderr=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
