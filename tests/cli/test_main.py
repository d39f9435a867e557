"""The command ``stoker``: its words, its exit status, what it says when something is missing; and the whole demo."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from stoker.cli.digits import SIDE, AugmentedDigits, augment, generate
from stoker.cli.main import main
from stoker.feed.feed import Feed

ENOUGH = 0.97
DEMO_LIMIT_S = 600
"""Forty epochs take over a minute on two quiet cores on PyTorch, and several on a machine that is busy with other things."""


def stoker(*words, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-c", "import sys; from stoker.cli.main import main; sys.exit(main())", *words], capture_output=True, text=True,
        timeout=DEMO_LIMIT_S, cwd=cwd, check=False, env={**os.environ, **environment})


def without(name, words):
    """Code that makes one package impossible to import, then runs a command."""
    return f"import sys; sys.modules[{name!r}] = None; from stoker.cli.main import main; sys.exit(main({words!r}))"


def test_a_wrong_command_gets_usage_and_status_2(capsys):
    with pytest.raises(SystemExit) as end:
        main(["dmeo"])
    assert end.value.code == 2
    assert "demo" in capsys.readouterr().err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert all(f"\n    {command} " in said for command in ("demo", "run", "profile"))


def test_run_hands_its_words_on_as_they_are(capsys):
    assert main(["run", "no_such_file.py", "--help"]) == 2
    assert "no_such_file.py" in capsys.readouterr().err


@pytest.mark.thinned(3)
@pytest.mark.usefixtures("everything_installed")
@pytest.mark.parametrize("package, words, extra", [
    ("sklearn.datasets", ["demo"], "demo"), ("matplotlib", ["demo"], "demo"), ("plotly", ["demo", "--report"], "report")])
def test_the_demo_names_the_command_that_installs_what_is_missing(package, words, extra, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", without(package, words)], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert f'pip install "stoker[{extra}]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_augmented_images_keep_their_shape_and_change_each_time():
    images = np.random.default_rng(0).random((10, SIDE, SIDE, 1), dtype="float32")
    one, other = (augment(images, np.random.default_rng(seed)) for seed in (1, 2))
    assert one.shape == images.shape and one.dtype == np.float32
    assert not np.allclose(one, other)
    np.testing.assert_array_equal(one, augment(images, np.random.default_rng(1)))


def test_an_image_that_is_not_moved_stays_as_it_is(monkeypatch):
    for name in ("TURN_RAD", "SHIFT_PX", "NOISE"):
        monkeypatch.setattr(f"stoker.cli.digits.{name}", 0.0)
    images = np.random.default_rng(0).random((4, SIDE, SIDE, 1), dtype="float32")
    np.testing.assert_allclose(augment(images, np.random.default_rng(1)), images, atol=1e-6)


def test_the_demos_batches_are_the_same_for_any_number_of_workers():
    images, labels = np.ones((70, SIDE, SIDE, 1), "float32"), np.arange(70)

    def batches(workers):
        with Feed(AugmentedDigits(images, labels, 32), workers=workers, shuffle=True, seed=3) as feed:
            return [x for x, _ in feed.epoch()]

    for one, other in zip(batches(0), batches(2), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_demos_generator_has_no_end():
    images, labels = np.ones((70, SIDE, SIDE, 1), "float32"), np.arange(70)
    with Feed(generate(images, labels, 32), seed=1) as feed:
        assert [len(x) for x, _ in feed.epoch(5)] == [32] * 5


@pytest.mark.slow
@pytest.mark.usefixtures("everything_installed")
def test_the_demo_learns_digits_and_draws_its_curves(tmp_path):
    done = stoker("demo", "--report", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    accuracies = [float(found) for found in re.findall(r"final validation accuracy ([\d.]+)", done.stdout)]
    assert len(accuracies) == 2 and min(accuracies) >= ENOUGH
    assert "Epoch 1/" in done.stdout and "waited" in done.stdout
    assert "\x1b" not in done.stdout, "no control characters in a pipe"
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    assert "report.html" in done.stdout and (tmp_path / "report.html").stat().st_size > 1_000_000


def test_a_reader_that_goes_away_gets_no_traceback(tmp_path):
    code = "import os, sys; from stoker.cli import demo, main; demo.demo = lambda **_: print('x' * 100_000); sys.exit(main.main(['demo']))"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, cwd=tmp_path, check=False)
    os.close(writing)
    assert done.returncode == 141
    assert not done.stderr
