"""The command line."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from stoker.cli import digits
from stoker.cli.main import main

LIMIT_S = 240


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "stoker.cli.main", *arguments], capture_output=True, text=True, timeout=LIMIT_S, cwd=cwd, check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})


@pytest.mark.slow
def test_the_demo_learns_to_read_digits_and_draws_its_curves(tmp_path):
    done = run("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    accuracy = float(done.stdout.split("validation accuracy ")[1].split(";")[0])
    assert accuracy >= 0.97
    assert done.stdout.count("for data") >= 18 and "stoker: the model" in done.stdout
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    assert all(len(line) <= 140 for line in done.stdout.splitlines())


def test_a_part_that_is_not_there_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["nonsense"])
    assert "demo" in capsys.readouterr().err


def test_what_the_demo_needs_is_named_when_it_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert main(["demo"]) == 2
    assert 'pip install "stoker[demo]"' in capsys.readouterr().err


def test_augmentation_moves_an_image_and_keeps_it_an_image():
    (images, labels), (other, _) = digits.load()
    assert images.shape[1:] == (8, 8, 1) and len(images) + len(other) == 1797 and set(labels) == set(range(10))
    luck = np.random.default_rng(0)
    turned = np.stack([digits.augment(image, luck) for image in images[:100]])
    assert turned.shape == (100, 8, 8, 1) and turned.dtype == np.float32
    difference = np.abs(turned - images[:100]).mean()
    assert 0.02 < difference < 0.3
    assert np.abs(turned.mean() - images[:100].mean()) < 0.05
