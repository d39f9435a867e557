"""``stoker run`` is like ``python``: arguments, status, paths, tracebacks, Ctrl-C; and ``--check`` reads without running."""

from __future__ import annotations

import importlib.util
import io
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from stoker.compat import check

WITHOUT_TENSORFLOW = """
import sys

class Missing:
    def find_spec(self, name, path, target=None):
        if name.partition('.')[0] == 'tensorflow':
            raise ModuleNotFoundError(name)

import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == 'tensorflow' else real(name, *rest)
sys.meta_path.insert(0, Missing())
from stoker.compat.runner import main
raise SystemExit(main(sys.argv[1:]))
"""


def runner(*arguments, start=("-m", "stoker.compat.runner"), **options):
    return subprocess.run([sys.executable, *start, *arguments], capture_output=True, text=True, timeout=120, **options)


OTHER = next((name for name in ("jax", "torch") if importlib.util.find_spec(name)), "")
"""A backend that Keras can run on where TensorFlow is not to be had."""


@pytest.fixture()
def script(tmp_path):
    """Writes a script, and gives its path."""

    def write(text, name="train.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return str(path)

    return write


def test_a_script_sees_what_python_would_show_it(script, tmp_path):
    script("value = 41\n", "beside.py")
    script("""
        import os, sys
        import beside
        print(__name__, sys.argv, os.path.basename(__file__), beside.value + 1)
        print(open('here.txt').read(), sys.modules['__main__'].__dict__ is globals())
        sys.exit(3)
    """)
    (tmp_path / "here.txt").write_text("relative")
    done = runner("train.py", "--lr", "0.1", "-v", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert done.stdout.splitlines() == ["__main__ ['train.py', '--lr', '0.1', '-v'] train.py 42", "relative True"]


@pytest.mark.parametrize("ending, status, said", [
    ("", 0, ""), ("sys.exit()", 0, ""), ("sys.exit('wrong')", 1, "wrong\n"), ("raise SystemExit(7)", 7, "")])
def test_the_exit_status_is_the_scripts(script, ending, status, said, monkeypatch, capsys):
    from stoker.compat import installation
    from stoker.compat.runner import main

    monkeypatch.setattr(installation, "install", lambda: None)
    assert main([script(f"import sys\n{ending}\n")]) == status
    assert capsys.readouterr().err == said


def test_a_script_may_go_to_its_own_folder_and_is_still_found(script, tmp_path, monkeypatch, capsys):
    from stoker.compat import installation
    from stoker.compat.runner import main

    monkeypatch.setattr(installation, "install", lambda: None)
    path = script("""
        import os, sys
        from stoker.compat.tell import script_place
        os.chdir(os.path.dirname(__file__))
        os.chdir('..')
        print(sys.argv[0], os.path.isabs(__file__), os.path.samefile(script_place()[0], __file__))
    """)
    monkeypatch.chdir(tmp_path)
    assert main([os.path.basename(path)]) == 0
    assert capsys.readouterr().out == "train.py True True\n"


@pytest.mark.parametrize("ending", ["sys.stdout.close()", "sys.stdout = None"])
def test_a_script_may_close_or_replace_its_output(script, ending, monkeypatch, capsys):
    from stoker.compat import installation
    from stoker.compat.runner import main

    monkeypatch.setattr(installation, "install", lambda: None)
    path = script(f"import sys\nprint('done')\n{ending}\n")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main([path]) == 0 and capsys.readouterr().err == ""


def test_what_the_runner_changed_is_put_back(script, monkeypatch):
    from stoker.compat import installation
    from stoker.compat.runner import main

    monkeypatch.setattr(installation, "install", lambda: None)
    before = sys.modules["__main__"], sys.argv, sys.path[:]
    assert main([script("import sys; sys.path.append('x'); sys.argv = []")]) == 0
    assert (sys.modules["__main__"], sys.argv, sys.path) == before


@pytest.mark.slow
def test_a_traceback_ends_in_the_scripts_own_line(script):
    path = script("""
        import numpy as np
        from keras.models import Sequential
        from keras.layers import Dense
        model = Sequential([Dense(1, input_dim=2)])
        model.compile('sgd', 'mse')

        def batches():
            for n in range(2):
                yield np.ones((4, 2)), np.ones((4, 1))
            raise RuntimeError('the disk is on fire')

        model.fit_generator(batches(), steps_per_epoch=5, verbose=0)
    """)
    done = runner(path)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and any("the disk is on fire" in line for line in lines)
    files = [line for line in lines if line.strip().startswith("File ")]
    assert "train.py" in files[-1] and not any("stoker" in line.partition(",")[0] for line in files), done.stderr


@pytest.mark.slow
def test_an_error_of_stokers_own_ends_at_the_call(script):
    path = script("""
        from keras.models import Sequential
        from keras.layers import Dense
        model = Sequential([Dense(1, input_dim=2)])
        model.compile('sgd', 'mse')
        model.fit_generator(iter([]), verbose=0)
    """)
    done = runner(path)
    files = [line for line in done.stderr.splitlines() if line.strip().startswith("File ")]
    assert done.returncode == 1 and len(files) == 1 and "line 6" in files[0] and "steps_per_epoch" in done.stderr


@pytest.mark.slow
def test_a_syntax_error_shows_its_line(script):
    done = runner(script("print 'hello'\n"))
    assert done.returncode == 1 and "SyntaxError" in done.stderr and "print 'hello'" in done.stderr


@pytest.mark.slow
def test_ctrl_c_ends_the_script_and_leaves_its_weights(script, tmp_path):
    path = script("""
        import numpy as np, sys
        from keras.models import Sequential
        from keras.layers import Dense
        from keras.callbacks import LambdaCallback
        model = Sequential([Dense(1, input_dim=2)])
        model.compile('sgd', 'mse')

        def batches():
            while True:
                yield np.ones((4, 2)), np.ones((4, 1))

        def tell(batch, logs):
            if batch == 3:
                print('running', flush=True)
        try:
            model.fit_generator(batches(), steps_per_epoch=10**6, verbose=0, callbacks=[LambdaCallback(on_batch_end=tell)])
        finally:
            print('weights are there', np.isfinite(model.get_weights()[0]).all(), flush=True)
    """)
    command = [sys.executable, "-m", "stoker.compat.runner", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "running\n"
            process.send_signal(signal.SIGINT)
            printed, said = process.communicate(timeout=60)
        finally:
            process.kill()  # so that a failed check leaves nothing behind
    assert process.returncode == 130 and "weights are there True" in printed
    assert said.rstrip().endswith("KeyboardInterrupt") and "stoker/" not in said


@pytest.mark.slow
@pytest.mark.skipif(not OTHER, reason="no backend besides TensorFlow is installed")
def test_without_tensorflow_its_keras_is_keras(script):
    path = script("""
        import tensorflow as tf
        import tensorflow.keras as tk
        from tensorflow.python.keras.layers import Dense
        from tensorflow.keras.utils import to_categorical
        import keras
        config = tf.compat.v1.ConfigProto()
        config.gpu_options.allow_growth = True
        tf.keras.backend.set_session(tf.Session(config=config))
        tf.set_random_seed(3)
        tf.logging.set_verbosity(tf.logging.ERROR)
        print(tk is keras, tf.keras is keras, Dense is keras.layers.Dense, to_categorical([1], 2).tolist())
        keras.callbacks.TensorBoard('logs', write_grads=True).on_epoch_end(0, {})
        tf.log(3.0)
    """)
    done = runner(path, start=("-c", WITHOUT_TENSORFLOW), env={**os.environ, "KERAS_BACKEND": OTHER})
    assert done.stdout == "True True True [[0.0, 1.0]]\n", done.stderr
    assert done.returncode == 1 and "tensorflow.log" in done.stderr and "train.py:14" in done.stderr
    assert "train.py:13: CompatWarning: TensorBoard: it writes nothing" in done.stderr


def test_a_missing_script_and_no_script_are_usage_errors(capsys):
    from stoker.compat.runner import main

    assert main(["/nowhere/train.py"]) == 2 and main([]) == 2 and main(["--help"]) == 0
    assert "usage: stoker run" in capsys.readouterr().out


# --check

OLD = """\
import tensorflow as tf
from keras.layers.core import Dense
from keras.layers import MaxoutDense
from keras import backend as K
import scipy.misc
model.fit_generator(generator, samples_per_epoch=100, nb_epoch=2)
opt = keras.optimizers.SGD(lr=0.1)
K.function([], [])
K.mean(x)
x = Convolution2D(32, 3, 3)(x)
tf.log(x)
merge([a, b], mode=lambda pair: pair[0])
"""


def test_check_lists_what_works_what_is_translated_and_what_cannot_work():
    found = {use.what: (use.status, use.line) for use in check.check(OLD)}
    assert found["import keras.layers.core"] == ("translated", 2)
    assert found["keras.layers.core.Dense"] == ("works", 2)
    assert found["keras.layers.MaxoutDense"] == ("cannot work", 3)
    assert found["import scipy.misc"] == ("cannot work", 5)
    assert found[".fit_generator"] == ("translated", 6)
    assert found["fit_generator(nb_epoch=)"] == ("translated", 6)
    assert found["SGD(lr=)"] == ("translated", 7)
    assert found["keras.backend.function"] == ("cannot work", 8)
    assert found["keras.backend.mean"] == ("works", 9)
    assert found["Convolution2D(n, rows, columns)"] == ("translated", 10)
    assert found["tensorflow.log"] == ("cannot work", 11)
    assert found["merge(mode=lambda)"] == ("cannot work", 12)


@pytest.mark.parametrize("text, encoding, is_fine", [
    ("# -*- coding: latin-1 -*-\nimport keras  # caf\u00e9\n", "latin-1", True), ("import keras  # caf\u00e9\n", "utf-8-sig", True),
    ("import keras  # caf\u00e9\n", "latin-1", False), ("import keras\n\nx = 'caf\u00e9'\n", "latin-1", False)])
def test_check_reads_scripts_in_the_encoding_that_they_name(text, encoding, is_fine, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "resolve", lambda names: {})
    path = tmp_path / "old.py"
    path.write_bytes(text.encode(encoding))
    said, fine = check.report(str(path))
    assert fine == is_fine and ("1 uses of Keras" if is_fine else "coding: latin-1") in said and "2to3" not in said


OF_TENSORFLOW = """\
import tensorflow as tf
from tensorflow.keras.layers import Conv2D, NoSuch
from tensorflow.keras.layers.experimental.preprocessing import Rescaling
layer = Conv2D(64, 3, 2)
layer = tf.keras.layers.NoSuchEither(3)
init = tf.global_variables_initializer()
sess = tf.Session()
sess.run(init)
sess.run([init, tf.tables_initializer()])
tf.Session().run(tf.initialize_all_variables())
"""


def test_check_looks_up_what_a_script_takes_from_tensorflows_keras():
    asked = []

    def look_up(names):
        asked.extend(names)
        return {name: "It is not in Keras 3." for name in names if "NoSuch" in name}

    found = {use.what: use.status for use in check.check(OF_TENSORFLOW, look_up)}
    assert found["tensorflow.keras.layers.NoSuch"] == found["tensorflow.keras.layers.NoSuchEither"] == "cannot work"
    assert {"keras.layers.Conv2D", "keras.layers.experimental.preprocessing.Rescaling"} <= set(asked)
    assert not any(name.startswith("tensorflow.") for name in asked)
    assert found["tensorflow.keras.layers.Conv2D"] == "works" and "Conv2D(n, rows, columns)" not in found
    assert ".run of a session" not in found
    late = check.check(f"{OF_TENSORFLOW}sess.run(total)\nsess.run([init, total])\n")
    assert [use.line for use in late if use.what == ".run of a session"] == [11]
    mine = {use.what for use in check.check("from keras.layers import Conv2D\nConv2D(64, 3, 2)\n")}
    assert "Conv2D(n, rows, columns)" in mine


@pytest.mark.slow
def test_check_gives_lines_remedies_and_a_status(script, capsys):
    from stoker.compat.runner import main

    path = script(OLD)
    assert main(["--check", path]) == 1
    text = capsys.readouterr().out
    assert f"{path}:8 " in text and "Build a keras.Model" in text and text.rstrip().endswith("cannot work")
    assert main(["--check", script("import keras\n")]) == 0
    assert main(["--check", script("print 'python 2'\n")]) == 1
    assert "no Python 3" in capsys.readouterr().out


STARRED = """\
from keras.models import *
from keras.layers import *
from keras.engine.topology import load_weights_from_hdf5_group
from keras.layers.core import NoSuch
from keras.engine.network import Network
import tensorflow as tf
model = Sequential()
model.add(MaxoutDense(3))
model.add(Dense(3))
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    sess.run(total)
opt = Adam(0.1, 0.9, 0.999, 1e-8, 1e-6)
"""


@pytest.mark.slow
def test_check_looks_names_up_in_keras_as_it_is_installed(script, capsys):
    from stoker.compat.runner import main

    path = script(STARRED)
    assert main(["--check", path]) == 1
    lines = {tuple(line.split(maxsplit=4)[:3]) for line in capsys.readouterr().out.splitlines()}
    said = {(line[0].rpartition(":")[2], line[1]) for line in lines if line[0].startswith(path)}
    assert said >= {("8", "cannot"), ("3", "cannot"), ("12", "cannot")} and (f"{path}:13", "translated", "Adam(by") in lines
    assert (f"{path}:4", "cannot", "work") in lines and (f"{path}:5", "works", "keras.engine.network.Network") in lines
    assert not said & {("9", "cannot"), ("11", "cannot")}


@pytest.mark.slow
def test_what_runs_at_the_end_of_the_process_still_sees_the_script(script, tmp_path):
    path = script("""
        import atexit, sys, threading
        value = 7
        def later(what):
            import __main__
            print(what, __main__.value, sys.argv[1:], flush=True)
        atexit.register(later, "exit")
        done = threading.Event()
        threading.Thread(target=lambda: (done.wait(0.2), later("thread"))).start()
    """)
    done = runner(path, "--fast", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["exit 7 ['--fast']", "thread 7 ['--fast']"]


def test_importing_compat_changes_nothing():
    code = "import sys, stoker.compat; print('keras' in sys.modules, len(sys.meta_path))"
    bare = subprocess.run([sys.executable, "-c", "import sys, stoker; print(False, len(sys.meta_path))"], capture_output=True, text=True)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == bare.stdout
