"""Scripts of 2016-2020 run unmodified through ``stoker run``, on every backend, and print and write what they did then."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BACKENDS = [backend for backend in ("jax", "torch", "tensorflow") if importlib.util.find_spec(backend)]
LIMIT_S = 180

pytestmark = [pytest.mark.slow, pytest.mark.alone]


START = "import sys; from stoker.cli.main import main; sys.exit(main(['run', *sys.argv[1:]]))"
"""What the command ``stoker run`` does; it need not be on the path."""


def command(script, *arguments):
    return [sys.executable, "-c", START, str(HERE / script), *arguments]


@pytest.fixture()
def run(tmp_path):
    """Runs a script on all backends at once; gives what each printed, said, and the folder in which it wrote."""
    started = []

    def start(script, *arguments):
        for backend in BACKENDS:
            folder = tmp_path / backend
            folder.mkdir()
            started.append((folder, subprocess.Popen(
                command(script, *arguments), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env={**os.environ, "KERAS_BACKEND": backend, "STOKER_PROGRESS": "none"})))
        for folder, process in started:
            printed, said = process.communicate(timeout=LIMIT_S)
            assert process.returncode == 0, printed[-2000:] + said[-4000:]
            yield printed, said, folder

    yield start
    for _, process in started:
        process.kill()
        process.communicate()


def files(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def number(pattern, text):
    return float(re.search(pattern, text).group(1))


def test_an_image_classifier_that_flows_from_folders(run):
    for printed, said, folder in run("image_classifier.py"):
        assert "Found 48 images belonging to 2 classes." in printed and "classes [('blue', 0), ('red', 1)]" in printed
        assert "'acc', 'accuracy'" in printed and "'lr'" in printed and "'val_acc'" in printed
        assert "val_acc improved" in printed
        best = number(r"best (\S+)", printed)
        assert best >= 0.75 and number(r"val acc (\S+)", printed) == best == number(r"right (\S+)", printed)
        assert files(folder) == ["first_try.h5", "weights.best.hdf5"]
        assert "decay" not in said


def test_a_segmentation_net_with_zipped_generators(run):
    for printed, said, folder in run("segmentation.py"):
        assert number(r"-> (\S+)", printed) > number(r"dice (\S+)", printed)
        assert "files ['unet_02.hdf5', 'unet_04.hdf5']" in printed
        assert "same True" in printed and "masks (12, 16, 16, 1)" in printed
        assert re.search(r"segmentation\.py:\d+: CompatWarning: samples_per_epoch=", said)


def test_a_text_generator_with_a_sampling_callback(run):
    for printed, _, folder in run("text_generation.py"):
        assert printed.count("----- Generating text after Epoch") == 8
        assert "loss went down True" in printed and "acc 8" in printed
        written = (folder / "generated.txt").read_text().splitlines()
        assert len(written) == 8 and all(len(line) == 10 for line in written)


def test_a_time_series_with_a_sequence(run):
    for printed, _, folder in run("time_series.py"):
        assert "passes 4 4" in printed and "rates 0.050 0.025 0.013 0.006" in printed
        assert "batches 44 steps 11" in printed and "better True True" in printed and "restored True True" in printed
        assert len((folder / "log.csv").read_text().splitlines()) == 5


def test_a_siamese_net_with_a_contrastive_loss(run):
    for printed, _, folder in run("siamese.py"):
        assert number(r"test set: (\S+)%", printed) > 85
        assert "'val_accuracy'" in printed and "weights back True" in printed and files(folder) == ["siamese_weights"]


def test_a_convnet_spelled_for_keras_1(run):
    for printed, said, folder in run("keras1_convnet.py", "--nb_epoch", "12", "--out", "cnn.h5"):
        assert "(3, 3, 1, 8)" in printed and "(5, 5, 1, 8)" in printed
        assert f"steps 4 epochs {list(range(12))}" in printed and number(r"Test accuracy: (\S+)", printed) > 0.9
        assert "sequential ['acc', 'accuracy'] (30,)" in printed and files(folder) == ["cnn.h5"]
        assert "learning_rate is 1.0 by default, as in Keras 2" in said


def test_named_inputs_and_outputs_with_class_and_sample_weights(run):
    for printed, said, _ in run("multi_output.py"):
        for key in ("amount_loss", "amount_mae", "kind_acc", "kind_accuracy", "val_kind_loss", "val_loss"):
            assert f"'{key}'" in printed
        assert "fell True" in printed and "shapes [(50, 2), (50, 1)]" in printed and "scores 5 loss" in printed
        for topic in ("tf.ConfigProto", "K.set_session", "multi_gpu_model"):
            assert len(re.findall(rf"multi_output\.py:\d+: CompatWarning: {re.escape(topic)}:", said)) == 1


def test_worker_processes_without_a_main_guard(run):
    for printed, _, _ in run("processes_without_guard.py"):
        assert printed.count("script starts") == 1 and printed.count("script ends") == 1
        assert "loss as computed in other processes True" in printed and "in order True" in printed


def test_a_gan_with_one_optimizer(run):
    for printed, _, _ in run("gan.py"):
        assert printed.count("apart True moved True") == 7 and "apart False" not in printed and "moved False" not in printed
        assert 0.4 < number(r"radius (\S+)", printed) < 1.0


@pytest.fixture()
def second(tmp_path):
    """Runs a script once more in the folders in which it ran before, on all backends at once."""
    started = []

    def start(script, *arguments):
        for backend in BACKENDS:
            started.append(subprocess.Popen(
                command(script, *arguments), cwd=tmp_path / backend, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env={**os.environ, "KERAS_BACKEND": backend, "STOKER_PROGRESS": "none"}))
        for process in started:
            printed, said = process.communicate(timeout=LIMIT_S)
            assert process.returncode == 0, printed[-2000:] + said[-4000:]
            yield printed

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_training_that_goes_on_from_its_checkpoint(run, second):
    for printed, said, folder in run("resume.py", "2"):
        assert "epochs [0, 1] batches 16" in printed and "validation on (32, 5)" in printed
        assert number(r"rate (\S+)", printed) == pytest.approx(0.02 / (1 + 0.01 * 16), abs=2e-5)
        assert [name[:6] for name in files(folder)] == ["run.01", "run.02"]
    for printed in second("resume.py", "8"):
        assert "resumed after epoch 2" in printed and "epochs [2, 3, 4, 5, 6, 7] batches 48" in printed
        assert number(r"rate (\S+)", printed) == pytest.approx(0.02 / (1 + 0.01 * 64), abs=2e-5)
        assert number(r"acc (\S+)", printed) > 0.8
