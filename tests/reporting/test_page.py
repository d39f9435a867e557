"""What a report's page holds, without a browser: every part, of every kind of history, with nothing of the user's taken for HTML."""

from __future__ import annotations

import copy
import dataclasses
import html
import json
import os
import pickle
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from histories import NASTY, Uneven, figures, history, record, run, small_model, timeline, trained

import stoker
from stoker.feed.meter import KEPT, Make, Take, Timeline
from stoker.history import EpochRecord, RunRecord
from stoker.loop.progress import StopReason
from stoker.reporting.page import plotly_javascript
from stoker.reporting.page_facts import ALL_RUN, read_facts
from stoker.reporting.page_timeline import timeline_figure
from stoker.reporting.plots import plot_history
from stoker.reporting.run import run_record
from stoker.reporting.text import FEED_LOGS

MOST_BYTES = 6_000_000
SECTIONS = ["Curves", "Where the time went", "Epochs", "The run"]


class Reader(HTMLParser):
    """Reads a page as a browser does: which elements it has, and what can be read in them."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.text = []
        self.scripts = []
        self._hidden = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._hidden = tag if tag in ("script", "style") else ""
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._hidden = ""

    def handle_data(self, data):
        if self._hidden == "script":
            self.scripts[-1] += data
        elif not self._hidden:
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def page(tmp_path):
    """Writes a report and reads it."""
    def written(of):
        path = stoker.report(of, tmp_path / "run.html")
        read = Reader(path.read_text(encoding="utf-8"))
        read.words = " ".join(" ".join(read.text).split())
        read.figures = json.loads(read.scripts[1])
        return read

    return written


def sections(read):
    return [name for name in SECTIONS if f"{name} " in f"{read.words} "]


def test_a_real_run_gives_a_page_with_every_part(page):
    read = page(trained("uneven_net", epochs=3))
    assert sections(read) == SECTIONS
    assert "uneven_net" in read.words and "Completed: 3 epochs." in read.words and "The model waited for data" in read.words
    assert "Timeline of the last epoch" in read.words and "(index 20), made in 2" in read.words, "the straggler is named"
    assert "seed 3" in read.words and f"keras {keras.__version__}" in read.words and "2 threads" in read.words
    assert len(read.figures) == 4, "loss, mae, timeline, waits"
    assert [trace["name"] for trace in read.figures[0]["data"]] == ["training", "validation"]


def test_a_page_is_small_carries_plotly_and_asks_for_nothing(page, tmp_path):
    read = page(history(timeline=timeline(KEPT, 4, cross_s=0.001)))
    path = tmp_path / "run.html"
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < MOST_BYTES
    assert plotly_javascript().strip() in text
    ours = text.replace(plotly_javascript(), "")
    assert "http://" not in ours and "https://" not in ours and "@import" not in ours and "url(" not in ours
    assert not [one for _, one in read.elements if {"src", "href"} & one.keys()]
    policy = next(one["content"] for one in read.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_figures_are_what_plotly_takes(page):
    from plotly.graph_objects import Figure

    def coloured(value):
        return "#123456" if "css" in value else value

    for found in json.loads(json.dumps(page(trained()).figures), object_hook=coloured):
        Figure(found)


def test_nothing_of_the_users_is_taken_for_html(page):
    of = history(names=(NASTY, f"val_{NASTY}"), run=run(3, NASTY, **{NASTY: NASTY}), reason=NASTY)
    read = page(of)
    assert len(read.scripts) == 3 and not read.all("b"), "plotly, figures, glue"
    assert read.words.count(NASTY) >= 5
    assert all(NASTY not in script and html.escape(NASTY) not in script for script in read.scripts[1:])


def test_text_that_cannot_be_written_is_shown_with_question_marks(page):
    assert "bad??name" in page(history(run=run(3, "bad\ud800\x00name"))).words


def test_every_figure_has_a_heading_and_words_for_those_who_do_not_see_it(page):
    read = page(history())
    places = [one for one in read.all("div") if "data-figure" in one]
    assert len(places) == len(read.figures) == len(read.all("h3")) - 2, "two tables have headings too"
    assert all(one["role"] == "img" and one["aria-label"] for one in places)
    assert read.all("title") and len(read.all("h1")) == 1 and read.all("html")[0]["lang"] == "en"


def test_each_epoch_has_its_steps_time_logs_wait_and_verdict(page):
    words = page(history()).words
    assert "epoch steps time loss acc val_loss val_acc waited 1 100" in words
    assert "2 100 10 s 0.5000 0.3333 0.2500 0.2000 40% the model waited for data 40% of the time" in words
    assert "why it ended" not in words


def test_verdicts_are_for_the_machine_that_trained(monkeypatch):
    monkeypatch.setattr("stoker.reporting.run.usable_cores", lambda: 64)
    of = history(2, run=run_record(small_model(), "Pictures", "jax", {"epochs": 2}))
    assert read_facts(of).cores == 64 and "64 usable cores" in of.run.machine
    monkeypatch.setattr("stoker.reporting.page_facts.usable_cores", lambda: 3)
    assert read_facts(history(2)).cores == 3, "a run that does not say"
    older = RunRecord.__new__(RunRecord)
    object.__setattr__(older, "arguments", {"epochs": 2})
    object.__setattr__(older, "model", "net")
    assert read_facts(history(2, run=older)).cores == 3, "one of an older pickle"


def test_figures_of_the_feed_are_in_words_and_in_no_curve_or_column(page):
    of = history(2, names=("loss", *FEED_LOGS))
    of.records[-1] = record(1, of.records[-1].logs, fed=dataclasses.replace(figures(), deaths=1, last_death="killed by SIGKILL"))
    read = page(of)
    assert not [name for name in FEED_LOGS if name in read.words]
    assert len(read.figures) == 3, "loss, timeline, waits"
    assert read.words.count("1 worker died (killed by SIGKILL) and its batches were made again") == 2, "at the top, and at its epoch"
    assert [panel.get_title() for panel in plot_history(of).axes] == ["loss"]


def test_a_run_without_validation_has_one_curve_in_each_figure(page):
    found = page(history(names=("loss",))).figures[0]["data"]
    assert [trace["name"] for trace in found] == ["training"]


def test_validation_that_ran_in_some_epochs_is_drawn_at_these(page):
    of = history(4, names=("loss",))
    of.records = [record(epoch, {"loss": 1.0, **({"val_loss": 2.0} if epoch % 2 else {})}, fed=figures()) for epoch in range(4)]
    assert page(of).figures[0]["data"][1]["x"] == [2, 4]


def test_a_single_epoch_can_be_shown(page):
    read = page(history(1))
    assert read.figures[0]["data"][0]["x"] == [1] and "Completed: 1 epoch." in read.words


def test_values_that_are_no_numbers_leave_gaps_and_are_counted(page):
    of = history(3, names=("loss",))
    values = (1.0, float("nan"), np.float32("inf"))
    of.records = [record(epoch, {"loss": value}, fed=figures()) for epoch, value in enumerate(values)]
    read = page(of)
    assert read.figures[0]["data"][0]["y"] == [1.0, None, None]
    assert "2 values are no finite number" in read.words and " nan " in read.words and " inf " in read.words


def test_a_number_that_keras_or_tensorflow_holds_is_written_as_any_other(page):
    class Scalar:
        ndim = 0

        def __init__(self, value):
            self.value = value

        def __float__(self):
            return self.value

    of = history(3, names=("loss",))
    values = (keras.Variable(0.125), Scalar(0.25), Scalar(float("nan")))
    of.records = [record(epoch, {"loss": value}, fed=figures()) for epoch, value in enumerate(values)]
    words = page(of).words
    assert "0.1250" in words and "0.2500" in words and "1 value is no finite number" in words


def test_a_loss_that_was_never_positive_has_no_logarithmic_scale(page):
    of = history(2, names=("loss",))
    of.records = [record(epoch, {"loss": -1.0}, fed=figures()) for epoch in range(2)]
    assert not [one for one in page(of).all("button") if "data-log" in one]
    assert [one for one in page(history()).all("button") if "data-log" in one]


def test_a_history_without_a_timeline_has_everything_else(page):
    read = page(history(timeline=None))
    assert "Timeline" not in read.words and "Share of each epoch" in read.words


def test_a_history_of_keras_itself_gives_its_curves(page):
    model = small_model()
    rows = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
    read = page(model.fit(*rows, epochs=2, verbose=0, validation_data=rows))
    assert sections(read) == ["Curves", "Epochs"]
    assert len(read.figures) == 2 and "Completed: 2 epochs." in read.words and "verdict" not in read.words


def loss_curves(history):
    """The curves of the loss, as matplotlib draws them."""
    return plot_history(history).axes[0].lines


def test_validation_that_keras_ran_in_some_epochs_is_drawn_at_these(page):
    rows = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
    of = small_model().fit(*rows, epochs=7, initial_epoch=1, verbose=0, validation_data=rows, validation_freq=2)
    assert page(of).figures[0]["data"][1]["x"] == [2, 4, 6]
    assert [list(line.get_xdata()) for line in loss_curves(of)] == [[2, 3, 4, 5, 6, 7], [2, 4, 6]]


def test_an_interrupted_run_says_which_epoch_did_not_end(page):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    model = small_model()
    with pytest.raises(KeyboardInterrupt):
        stoker.fit(model, Uneven(), epochs=5, workers=2, verbose=0, callbacks=[Interrupt()])
    read = page(model.history)
    assert "Interrupted: epoch 3 of 5 did not end." in read.words and sections(read) == SECTIONS
    assert model.history.plot().axes


def test_a_run_that_ended_in_its_first_epoch_has_a_page(page):
    read = page(history(0, asked=5))
    assert "Interrupted: epoch 1 of 5 did not end." in read.words
    assert "No epoch has ended" in read.words and not read.figures
    assert "Interrupted: epoch 6 of 10 did not end." in page(history(0, run=run(10, initial_epoch=5))).words


def test_an_epoch_that_was_cut_short_says_why(page):
    read = page(history(2, asked=9, reason="the source ended early after 3 of 5 batches"))
    assert "Ended in epoch 2 of 9: the source ended early after 3 of 5 batches." in read.words and "why it ended" in read.words


def test_a_callback_that_stopped_the_run_is_told_from_an_interruption(page):
    stopping = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=1e9)
    read = page(stoker.fit(small_model(), Uneven(), epochs=9, verbose=0, callbacks=[stopping]))
    assert "Ended after epoch 2 of 9: a callback asked to stop." in read.words


def test_a_source_that_was_used_up_between_two_epochs_is_told_from_an_interruption(page):
    batches = (Uneven()[0] for _ in range(20))
    with pytest.warns(stoker.StokerWarning, match="ended after 0 of 10"):
        history = stoker.fit(small_model(), batches, steps_per_epoch=10, epochs=5, verbose=0)
    assert "Ended after epoch 2 of 5: the source ended early." in page(history).words


def test_the_reason_of_a_whole_epoch_is_what_the_loop_says():
    assert StopReason.COMPLETED.value == ALL_RUN


def test_a_long_run_is_drawn_and_listed_in_part_and_says_so(page, tmp_path):
    logs = {"loss": 0.5, "val_loss": 0.25}
    of = history(0, records=[EpochRecord(epoch, 10, 10, logs, figures(), 1.0, ALL_RUN) for epoch in range(30_000)])
    read = page(of)
    assert "29,500 earlier epochs are left out" in read.words and "One in 3 epochs is drawn." in read.words
    assert (tmp_path / "run.html").stat().st_size < MOST_BYTES


def bars(figure, name):
    return next(trace for trace in figure.data if trace["name"].startswith(name))


def test_a_step_lasts_from_its_batch_until_the_next_is_asked_for():
    takes = (Take(0, 5, 0.5, 0.5, 0), Take(1, 3, 1.0, 0.2, 2), Take(2, 4, 2.0, 0.0, 1))
    figure = timeline_figure(Timeline((), takes), figures(3))
    steps, waits = bars(figure, "step"), bars(figure, "waiting")
    assert steps["base"] == [0.5, 1.0, 2.0] and steps["x"] == pytest.approx([0.3, 1.0, 8.0]), "the last until the epoch's end"
    assert waits["base"] == [0.0, 0.8] and waits["x"] == [0.5, 0.2]
    assert steps["customdata"][1][0] == "2 (index 3)" and waits["customdata"][1][1] == "200 ms"


def test_what_was_made_before_the_stretch_is_cut_off_at_its_start():
    makes = (Make(0, 0, -3.0, 1.0, 0.0), Make(1, 1, -0.5, 0.8, 0.1), Make(0, 9, 1.0, 2.0, 0.0))
    takes = (Take(0, 0, 0.25, 0.25, 0), Take(1, 1, 0.5, 0.1, 0))
    figure = timeline_figure(Timeline(makes, takes), figures(2))
    making = bars(figure, "making")
    assert making["y"] == ["worker 1", "worker 0"] and making["base"] == [0.0, 1.0] and making["x"] == pytest.approx([0.3, 2.0])
    assert "800 ms, begun 500 ms earlier" in making["customdata"][0][1]
    assert "made ahead" in making["customdata"][1][0]


def test_a_stretch_in_mid_stream_counts_its_batches_from_the_epochs_first():
    found = timeline_figure(timeline(KEPT, 3, first=70_000, slow_at=1500), figures(2500, workers=3))
    assert bars(found, "step")["customdata"][0][0].startswith("501 ")
    assert found.notes[0] == "Shown are the latest 2,000 of 2,500 batches."
    assert "Slowest batch: 2,001 (index 500), made in 300 ms by worker 0, 60.0x the median." in found.notes


def test_a_straggler_has_a_colour_of_its_own_and_a_view():
    found = timeline_figure(timeline(100, 2, slow_at=31), figures())
    slow = bars(found, "slow")
    assert slow["y"] == ["worker 1"] and slow["customdata"][0][0].startswith("32 ")
    name, first, last = found.views[1]
    assert name == "Slowest batch" and first <= 0.31 and last >= 0.61


def test_a_worker_that_made_nothing_has_an_empty_lane():
    found = timeline_figure(timeline(10, 1), figures(10, workers=3))
    assert found.layout["yaxis"]["categoryarray"] == ["worker 2", "worker 1", "worker 0", "model"]


def test_batches_made_in_line_have_no_queue():
    found = timeline_figure(timeline(10, 1), figures(10, workers=1, lane="inline"))
    assert "yaxis2" not in found.layout and found.layout["yaxis"]["categoryarray"] == ["source", "model"]


@pytest.mark.parametrize("wrong", [None, 3, {"loss": [1.0]}, small_model, SimpleNamespace(history={"loss": 1.0})])
def test_what_is_no_history_is_refused_with_a_remedy(wrong, tmp_path):
    with pytest.raises(stoker.OptionTypeError, match=r"model\.history"):
        stoker.report(wrong, tmp_path / "run.html")


@pytest.mark.parametrize("wrong, what", [
    (None, "no path"), (3, "no path"), (b"run.html", "no path"), (".", "is a folder"), ("", "is a folder"),
    ("missing/run.html", "not there")])
def test_a_path_that_cannot_be_written_is_refused_with_a_remedy(wrong, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(stoker.StokerError, match=what) as caught:
        stoker.report(history(), wrong)
    assert caught.value.remedy and caught.value.got and caught.value.expected
    assert not list(tmp_path.iterdir())


def test_a_page_that_could_not_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "run.html"
    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        stoker.report(history(), path)
    assert path.read_text(encoding="utf-8") == "old" and list(tmp_path.iterdir()) == [path]


def test_a_report_replaces_the_one_before_and_gives_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stoker.report(history(), "run.html")
    assert stoker.report(history(run=run(3, "second")), "run.html") == Path("run.html")
    assert re.search("<h1>second</h1>", Path("run.html").read_text(encoding="utf-8"))


def test_without_plotly_a_report_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(stoker.BackendError, match=r'pip install "stoker\[report\]"'):
        stoker.report(history(), tmp_path / "run.html")


def test_importing_stoker_does_not_import_plotly():
    code = "import sys, stoker; print([name for name in sys.modules if name.split('.')[0] in ('plotly', 'matplotlib')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_history_of_a_training_draws_itself_also_when_it_is_copied():
    model, mine = small_model(), keras.callbacks.History()
    returned = stoker.fit(model, Uneven(), epochs=2, verbose=0, callbacks=[mine])
    assert returned is mine and [panel.get_title() for panel in mine.plot().axes] == ["loss", "mae"]
    mine.set_model(None)
    for copied in (copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        assert copied.plot.args == (copied,) and copied.plot().axes


def test_a_method_plot_of_the_callers_own_history_stays():
    class Own(keras.callbacks.History):
        def plot(self):
            return "mine"

    assert stoker.fit(small_model(), Uneven(), epochs=1, verbose=0, callbacks=[Own()]).plot() == "mine"


def test_validation_of_some_epochs_is_drawn_at_these():
    history = stoker.fit(small_model(), Uneven(), epochs=5, validation_data=Uneven(), validation_freq=2, verbose=0)
    assert [list(line.get_xdata()) for line in history.plot().axes[0].lines] == [[1, 2, 3, 4, 5], [2, 4]]
