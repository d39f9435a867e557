"""``stoker profile MODULE:FACTORY``: what it prints, how it ends, and what it says of wrong words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stoker.cli.main import main

LIMIT_S = 180
COMMAND = [sys.executable, "-c", "import sys; from stoker.cli.main import main; sys.exit(main())", "profile"]
SCRIPT = '''
import time
import numpy as np
import stoker

print("loading")


class Digits(stoker.Sequence):
    def __init__(self, rows=4):
        self.rows = rows
        self.luck = np.random.default_rng(0)

    def __len__(self):
        return 20

    def __getitem__(self, index):
        print("making", index)
        return np.full((self.rows, 3), index) + self.luck.normal(size=(self.rows, 3)), np.zeros(self.rows)


def make():
    return Digits()


def stream():
    number = 0
    while True:
        number += 1
        yield np.full((4, 3), number), np.zeros(4)


def generator_object():
    return stream()


def wants(rows, more):
    return Digits(rows)


def broken():
    raise ValueError("no data in the folder")


def bad_batches():
    yield from ["text"] * 50


def slow():
    while True:
        open("begun", "w").close()
        time.sleep(60)
        yield np.zeros((4, 3)), np.zeros(4)


digits = Digits()
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "broken_module.py").write_text("import stoker\n\n1 / 0\n", encoding="utf-8")
    return tmp_path


def profile(folder, *words):
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=LIMIT_S, cwd=folder, check=False,
        env={**os.environ, "COLUMNS": "80", "PYTHONDONTWRITEBYTECODE": "1"})


@pytest.mark.slow
@pytest.mark.parametrize("place", ["train:make", "train.py:Digits", "./train.py:digits"])
def test_a_factory_a_class_and_a_source_are_found(folder, place):
    done = profile(folder, place, "--seconds", "2.5", "--items", "30")
    assert done.returncode == 0, done.stderr
    assert "Digits: 20 batches in a pass" in done.stdout
    assert "worker processes seed Digits.luck (Generator) for each item" in " ".join(done.stdout.split())
    assert "stoker.fit(model, source, workers=" in done.stdout


def test_a_generator_function_is_the_source_and_a_generator_object_is_consumed(folder):
    taken = profile(folder, "train:stream", "--seconds", "1")
    assert "function stream: begins anew with each pass" in taken.stdout
    consumed = profile(folder, "train:generator_object", "--seconds", "1")
    assert "items were drawn from this iterator" in " ".join(consumed.stdout.split())


def test_the_table_in_a_pipe_is_plain_and_fits_80_columns(folder):
    done = profile(folder, "train:stream", "--seconds", "1")
    assert done.stdout.isascii() and "\x1b" not in done.stdout and "\r" not in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


@pytest.mark.slow
def test_json_is_one_object_whatever_the_source_prints(folder):
    done = profile(folder, "train:make", "--json", "--seconds", "2.5", "--items", "30")
    told = json.loads(done.stdout)
    assert set(told) == {"measured", "findings", "recommendation"}
    assert told["recommendation"]["call"].startswith("stoker.fit(")
    assert "making 0" in done.stderr and "loading" in done.stderr
    assert any(run["lane"] == "processes" for run in told["measured"]["runs"])


def test_a_source_without_a_good_batch_ends_with_status_1(folder):
    done = profile(folder, "train:bad_batches", "--seconds", "1")
    assert done.returncode == 1
    assert "is no batch" in done.stdout and "Traceback" not in done.stderr


@pytest.mark.parametrize("words, said", [
    ("train", "MODULE:FACTORY"),
    ("trian:make", "there is no such module: got trian"),
    ("no/such.py:make", "there is no such file: got no/such.py"),
    ("train:mkae", "got 'mkae'; expected one of Digits, make"),
    ("train:wants", "wants arguments: got rows, more"),
    ("train:np", "not a source of batches"),
])
def test_wrong_words_are_told_with_a_remedy_and_without_a_traceback(folder, words, said):
    done = profile(folder, words)
    assert done.returncode == 1
    assert said in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.rstrip().endswith(".")


@pytest.mark.parametrize("words, last, place", [
    ("train:broken", "ValueError: no data in the folder", "in broken"),
    ("broken_module:x", "ZeroDivisionError: division by zero", "in <module>"),
    ("broken_module.py:x", "ZeroDivisionError: division by zero", "in <module>"),
])
def test_an_error_of_the_users_code_shows_the_users_lines_only(folder, words, last, place):
    done = profile(folder, words)
    assert done.returncode == 1
    assert last in done.stderr and place in done.stderr
    frames = [line for line in done.stderr.splitlines() if line.startswith("  File")]
    assert len(frames) == 1 and "stoker/" not in frames[0]
    assert "it must work before it can be profiled" in done.stderr


@pytest.mark.parametrize("words", [[], ["train:make", "more"], ["train:make", "--seconds", "soon"]])
def test_a_wrong_command_line_has_status_2(folder, words):
    assert profile(folder, *words).returncode == 2


def test_a_senseless_number_is_an_error(folder):
    done = profile(folder, "train:make", "--seconds", "-1")
    assert done.returncode == 1 and "seconds" in done.stderr


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()


def wait_for(condition, running):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.01)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_runs_with_processes_leaves_none(folder):
    command = [*COMMAND, "train:make", "--seconds", "30", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder) as running:
        wait_for(lambda: children(running.pid), running)
        workers = children(running.pid)
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=LIMIT_S)
    assert running.returncode == 130 and out == b""
    deadline = time.monotonic() + LIMIT_S
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.slow
def test_ctrl_c_while_an_item_hangs_ends_too(folder):
    command = [*COMMAND, "train:slow", "--seconds", "30"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder) as running:
        wait_for((folder / "begun").exists, running)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=LIMIT_S)
    assert running.returncode == 130 and b"Traceback" not in told


def test_help_says_what_a_factory_may_be(capsys):
    with pytest.raises(SystemExit) as end:
        main(["profile", "--help"])
    assert end.value.code == 0
    assert "A generator function" in capsys.readouterr().out
