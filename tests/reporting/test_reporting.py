"""What people see of a run, in a terminal and in a pipe."""

from __future__ import annotations

import io
import re
import sys
import types

import numpy as np
import pytest
from rich.console import Console

from stoker.errors import BackendError
from stoker.feed.meter import FeedFigures
from stoker.reporting.bar import Bar
from stoker.reporting.choose import make_reporter
from stoker.reporting.lines import Lines
from stoker.reporting.pace import Pace
from stoker.reporting.plots import plot_history
from stoker.reporting.text import UNENDED, duration, number, rate

FIGURES = FeedFigures("threads", 1, 100, 10.0, 4.0, 9.0, 8.0, 100)


class Clock:
    def __init__(self, tick_s=0.0):
        self.now_s = 0.0
        self.tick_s = tick_s
        self.looks = 0

    def __call__(self):
        self.looks += 1
        self.now_s += self.tick_s
        return self.now_s


def drive(reporter, epochs=2, steps=30, reads=None):
    """What the loop does."""
    def read():
        if reads is not None:
            reads.append(1)
        return {"loss": 0.12345, "accuracy": 0.5}

    reporter.train_begin(epochs, 0, steps)
    for epoch in range(epochs):
        reporter.epoch_begin(epoch, steps, "train", lambda: FIGURES)
        for step in range(steps):
            reporter.batch_end(step, read)
        reporter.epoch_begin(epoch, 5, "validate", lambda: FIGURES)
        for step in range(5):
            reporter.batch_end(step, read)
        reporter.epoch_end(epoch, {"loss": 0.3}, FIGURES, None)
        reporter.epoch_end(epoch, {"loss": 0.12345, "val_loss": 0.3}, FIGURES, "a callback asked to stop" if epoch else None)
    reporter.close()


def test_a_pipe_gets_a_line_an_epoch_and_no_control_characters():
    stream = io.StringIO()
    drive(Lines(stream, Clock()))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[0] == "Epoch 1/2  30 steps in 0.00 s  loss 0.1235  val_loss 0.3000  waited for data 40% (input-bound)"
    assert lines[2].endswith("a callback asked to stop")
    assert lines[1] == lines[3], "the verdict is told when the model first waits, and at the end"
    assert lines[3].startswith("stoker: the model waited for data 40% of the time (input-bound)")
    assert stream.getvalue().isascii() and all(character.isprintable() or character == "\n" for character in stream.getvalue())


@pytest.mark.parametrize("make", [
    lambda stream: Lines(stream, Clock()), lambda stream: Bar(Console(file=stream, force_terminal=True, width=200), Clock(0.06))])
@pytest.mark.parametrize("phase, argument", [("train", "steps_per_epoch"), ("validate", "validation_steps"), ("predict", "steps")])
def test_an_epoch_that_may_never_end_is_told_of_once(make, phase, argument):
    stream = io.StringIO()
    reporter = make(stream)
    reporter.train_begin(2, 0, None)
    for steps in (UNENDED // 2, 3 * UNENDED, 2 * UNENDED):
        reporter.epoch_begin(0, None, phase)
        for step in range(63, steps, 64):  # as fused steps are told of
            reporter.batch_end(step, dict)
        assert stream.getvalue().count("10,000 batches so far") == (steps > UNENDED)
    assert f"if it yields for ever, pass {argument}." in stream.getvalue()
    reporter.close()


def test_an_epoch_whose_end_is_known_may_be_as_long_as_it_likes():
    stream = io.StringIO()
    drive(Lines(stream, Clock()), epochs=1, steps=2 * UNENDED)
    assert "so far" not in stream.getvalue()


@pytest.mark.parametrize("width", [30, 40, 80, 200])
def test_a_terminal_gets_a_bar_that_fits_its_width(width):
    stream = io.StringIO()
    drive(Bar(Console(file=stream, force_terminal=True, width=width, legacy_windows=False), Clock(0.06)))
    shown = stream.getvalue()
    assert "Epoch 1/2" in shown and "Epoch 2/2 val" in shown and "5/5" in shown
    assert "\x1b[?25h" in shown, "the cursor is shown again"
    drawn = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", part) for part in re.split(r"[\r\n]", shown)]
    assert max(map(len, drawn)) < width


def test_logs_are_read_no_more_than_ten_times_a_second():
    clock, reads = Clock(), []
    stream = io.StringIO()
    bar = Bar(Console(file=stream, force_terminal=True, width=80), clock)
    bar.train_begin(1, 0, 100_000)
    bar.epoch_begin(0, 100_000, "train", lambda: FIGURES)
    for step in range(100_000):
        clock.now_s += 50e-6
        bar.batch_end(step, lambda: reads.append(1) or {"loss": 1.0})
    bar.close()
    assert 10 <= len(reads) <= 51, "five seconds of steps"
    assert clock.looks < 100_000 / 8, "the clock is looked at seldom"


def test_the_pace_follows_steps_that_become_slow():
    clock = Clock()
    pace = Pace(clock)
    shown = []
    step = 0
    for step_s, count in ((10e-6, 50_000), (0.05, 40)):
        for _ in range(count):
            clock.now_s += step_s
            if step >= pace.next_step and pace.is_due(step):
                shown.append((step, clock.now_s))
            step += 1
    slow = [when for number, when in shown if number > 50_000]
    assert slow[0] - 0.5 <= 16 * 0.05 + 0.1
    assert max(later - earlier for earlier, later in zip(slow, slow[1:], strict=False)) <= 0.2


class Gone(io.StringIO):
    def write(self, text):
        raise BrokenPipeError

    def isatty(self):
        return True


class Tee:
    """What some scripts put in the place of ``sys.stdout``."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


@pytest.mark.parametrize("stream", [Gone(), Tee()])
@pytest.mark.parametrize("make", [
    lambda stream: Lines(stream, Clock()),
    lambda stream: Bar(Console(file=stream, force_terminal=True, width=80), Clock(0.2))])
def test_output_that_cannot_be_written_ends_no_training(make, stream):
    drive(make(stream))


def test_output_that_is_no_more_than_a_method_write_gets_lines(monkeypatch):
    tee = Tee()
    monkeypatch.setattr(sys, "stdout", tee)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    drive(make_reporter(1))
    assert tee.text.startswith("Epoch 1/2  30 steps")


@pytest.mark.parametrize("has_widgets", [False, True])
def test_a_notebook_gets_a_bar_where_it_can_draw_one(monkeypatch, has_widgets):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("stoker.reporting.choose.find_spec", lambda name: name if has_widgets else None)
    assert isinstance(make_reporter(1), Bar if has_widgets else Lines)


def test_a_name_that_rich_knows_as_a_picture_stays_what_it_is():
    stream = io.StringIO()
    bar = Bar(Console(file=stream, force_terminal=True, width=80, legacy_windows=False), Clock(0.06))
    bar.epoch_begin(0, 1, "train")
    bar.epoch_end(0, {":fire:": 0.5}, None, None)
    bar.close()
    assert ":fire: 0.5000" in stream.getvalue()


def test_an_error_of_the_training_is_not_taken_for_one_of_the_display():
    def read():
        raise ValueError("the loss is gone")

    bar = Bar(Console(file=io.StringIO(), force_terminal=True, width=80), Clock(0.2))
    bar.epoch_begin(0, 3, "train")
    with pytest.raises(ValueError, match="the loss is gone"):
        bar.batch_end(0, read)
    bar.close()


def test_an_interrupted_run_gives_cursor_and_output_back():
    stream, before = io.StringIO(), sys.stdout
    bar = Bar(Console(file=stream, force_terminal=True, width=80, legacy_windows=False), Clock(0.2))
    bar.train_begin(1, 0, 3)
    bar.epoch_begin(0, 3, "train")
    bar.batch_end(0, lambda: {"loss": 1.0})
    bar.close()
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")
    assert sys.stdout is before


def test_a_terminal_of_ascii_gets_a_bar_of_ascii():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    bar = Bar(Console(file=stream, force_terminal=True, width=80, legacy_windows=False), Clock(0.06))
    bar.train_begin(1, 0, 4)
    bar.epoch_begin(0, 4, "train")
    for step in range(4):
        bar.batch_end(step, lambda: {"pr\u00e9cision": 0.5})
    bar.epoch_end(0, {"loss": 0.5}, None, None)
    bar.close()
    stream.flush()
    assert b"##" in raw.getvalue() and b"pr?cision 0.5000" in raw.getvalue() and b"Epoch 1/1  4 steps" in raw.getvalue()


def test_figures_that_were_just_taken_show_no_share_of_waiting():
    stream = io.StringIO()
    bar = Bar(Console(file=stream, force_terminal=True, width=80, legacy_windows=False), Clock(0.06))
    bar.epoch_begin(0, 3, "train", lambda: FeedFigures("threads", 1, 0, 0.001, 0.0, 0.0, 0.0, 0))
    bar.batch_end(0, lambda: {"loss": 1.0})
    bar.close()
    assert "wait" not in stream.getvalue()


def test_a_program_without_an_output_trains_in_silence():
    drive(Lines(None, Clock()))


def test_a_name_that_the_output_lacks_costs_no_line():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    lines = Lines(stream, Clock())
    lines.train_begin(1, 0, 1)
    lines.epoch_begin(0, 1, "train")
    lines.epoch_end(0, {"pr\u00e9cision\x1b[2J": 0.5}, None, None)
    assert raw.getvalue() == b"Epoch 1/1  0 steps in 0.00 s  pr?cision?[2J 0.5000\n"


def test_verbose_chooses_the_display(monkeypatch, capsys):
    assert type(make_reporter(0)).__name__ == "Silent"
    assert isinstance(make_reporter(1), Lines), "no terminal here"
    assert isinstance(make_reporter(2), Lines)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(make_reporter(1), Lines), "colours in a pipe make no terminal"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert isinstance(make_reporter(1), Bar)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_reporter(1), Lines)


@pytest.mark.parametrize(("value", "text"), [
    (0.12345, "0.1235"), (0, "0"), (1234.5, "1234.5000"), (1e-5, "1.000e-05"), (5e6, "5.000e+06"), (float("nan"), "nan")])
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_times_and_rates_are_short():
    assert [duration(s) for s in (0.5, 42, 185, 3723)] == ["0.50 s", "42 s", "3:05", "1:02:03"]
    assert [rate(100, 2), rate(3, 2), rate(1, 4), rate(0, 1)] == ["50/s", "1.5/s", "4.0 s/step", ""]


def test_a_plot_has_a_panel_for_each_metric_with_its_validation_curve():
    history = types.SimpleNamespace(history={"loss": [3.0, 2.0], "val_loss": [3.5, 2.5], "mae": [1.0, 0.5]}, epoch=[0, 1])
    panels = plot_history(history).axes
    assert [panel.get_title() for panel in panels] == ["loss", "mae"]
    assert [line.get_ydata().tolist() for line in panels[0].lines] == [[3.0, 2.0], [3.5, 2.5]]
    assert panels[0].lines[0].get_xdata().tolist() == [1, 2]


def test_a_metric_of_validation_alone_has_a_panel():
    history = types.SimpleNamespace(history={"loss": [3.0, 2.0], "val_f1": [0.5, 0.75]}, epoch=[0, 1])
    panels = plot_history(history).axes
    assert [panel.get_title() for panel in panels] == ["loss", "f1"]
    assert [(line.get_label(), line.get_ydata().tolist()) for line in panels[1].lines] == [("validation", [0.5, 0.75])]


def test_a_history_of_two_calls_is_drawn_as_one():
    history = types.SimpleNamespace(history={"loss": [3.0, 2.0, 1.0, 0.5]}, epoch=[0, 1])
    assert plot_history(history).axes[0].lines[0].get_xdata().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("value", [np.eye(2), np.ones(3), {"a": 1.0}, None, "text"])
def test_what_is_no_number_is_a_gap_in_a_plot(value):
    history = types.SimpleNamespace(history={"f1": [0.5, value]}, epoch=[0, 1])
    line, = plot_history(history).axes[0].lines
    assert line.get_ydata()[0] == 0.5 and np.isnan(line.get_ydata()[1])


def test_without_matplotlib_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(BackendError, match=r"stoker\[plot\]"):
        plot_history(types.SimpleNamespace(history={"loss": [1.0]}, epoch=[0]))


def test_an_evaluation_inside_a_training_gives_the_output_back_in_order():
    stream, before = io.StringIO(), sys.stdout
    outer, inner = (Bar(Console(file=stream, force_terminal=True, width=80), Clock(0.2)) for _ in range(2))
    outer.train_begin(1, 0, 3)
    outer.epoch_begin(0, 3, "train")
    outer.batch_end(0, lambda: {"loss": 1.0})
    inner.epoch_begin(0, 2, "evaluate")
    inner.batch_end(0, lambda: {"loss": 2.0})
    inner.epoch_end(0, {"loss": 2.0}, None, None)
    inner.close()
    outer.batch_end(1, lambda: {"loss": 1.0})
    outer.epoch_end(0, {"loss": 1.0}, None, None)
    outer.close()
    assert "Evaluate  1 steps" in stream.getvalue() and "Epoch 1/1  2 steps" in stream.getvalue()
    assert sys.stdout is before
