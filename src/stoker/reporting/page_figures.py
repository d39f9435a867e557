"""Curves of loss and metrics, and the share of each epoch in which the model waited, as plotly figures.

Rules: pure; what is not a finite number is a gap; so many points as a screen can show are drawn, and it is said where some are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stoker.reporting.page_facts import Facts, finite
from stoker.reporting.page_style import Json, axis, colour, layout

CURVE_PX = 320
WAITS_PX = 220
MOST_POINTS = 20_000
"""Of all curves of a page together."""
FEWEST_POINTS = 200
FEW = 40
"""Curves with no more points than this show each as a dot."""
FEW_TICKS = 12
NARROW_BAR = 0.15
USUAL_BAR = 0.7


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and what is said beneath it.

    Args:
        title: its heading, as the user wrote it where it is a metric's name.
        data: plotly's traces.
        layout: plotly's layout.
        spoken: what it shows, for those who do not see it.
        notes: sentences beneath it.
        has_log: whether there is anything to show on a logarithmic scale.
        views: stretches of the time axis to go to, by name.
    """

    title: str
    data: list[Json]
    layout: Json
    spoken: str
    notes: tuple[str, ...] = ()
    has_log: bool = False
    views: tuple[tuple[str, float, float], ...] = ()


def curves(facts: Facts) -> list[Figure]:
    """A figure for the loss and for each metric, with training and validation."""
    titles = list(dict.fromkeys(name.removeprefix("val_") for name in facts.names))
    most = max(FEWEST_POINTS, MOST_POINTS // max(1, len(facts.names)))
    return [_curve(facts, title, most) for title in titles]


def _curve(facts: Facts, title: str, most: int) -> Figure:
    stride = -(-len(facts.epochs) // most)
    traces, missing, is_positive = [], 0, False
    for name, label in ((title, "training"), (f"val_{title}", "validation")):
        points = [(epoch, finite(logs[name])) for epoch, logs in zip(facts.epochs, facts.logs, strict=True) if name in logs]
        if not points:
            continue
        missing += sum(value is None for _, value in points)
        is_positive |= any(value is not None and value > 0 for _, value in points)
        drawn = [point for place, point in enumerate(points) if place % stride == 0 or place == len(points) - 1]
        traces.append(_line(drawn, label))
    notes = []
    if missing:
        notes.append(f"{missing} {'value is' if missing == 1 else 'values are'} no finite number and cannot be drawn.")
    if stride > 1:
        notes.append(f"One in {stride} epochs is drawn.")
    return Figure(
        title, traces, layout(
            CURVE_PX, xaxis=_epoch_axis(facts.epochs), yaxis=axis(type="linear", **_room(traces)), hovermode="x unified", showlegend=True),
        f"{title} by epoch", tuple(notes), is_positive)


def _line(points: list[tuple[int, float | None]], label: str) -> Json:
    shade = colour(label)
    return {
        "type": "scatter", "name": label, "x": [epoch for epoch, _ in points], "y": [value for _, value in points],
        "mode": "lines+markers" if len(points) <= FEW else "lines", "line": {"color": shade, "width": 2},
        "marker": {"color": shade, "size": 6}, "hovertemplate": "%{y:.5~g}"}


def _room(traces: list[Json]) -> Json:
    """Room around values that are all the same, where plotly would show from one less to one more."""
    values = {value for trace in traces for value in trace["y"] if value is not None}
    if len(values) != 1 or values == {0.0}:
        return {}
    value = values.pop()
    return {"range": sorted([0.5 * value, 1.5 * value])}


def _epoch_axis(epochs: Sequence[int]) -> Json:
    """An axis of whole epochs, with a little room at both ends."""
    ends: dict[str, Any] = {}
    if epochs:
        room = max(0.5, 0.02 * (epochs[-1] - epochs[0]))
        ends = {"range": [epochs[0] - room, epochs[-1] + room]}
    if len(epochs) <= FEW_TICKS:
        ends["dtick"] = 1
    return axis(title={"text": "epoch"}, tickformat="d", zeroline=False, **ends)


def waits(facts: Facts) -> Figure | None:
    """The share of each epoch in which the model waited for data; None where that was not measured."""
    known = [(record.epoch + 1, record.figures) for record in facts.records if record.figures is not None]
    if not known:
        return None
    stride = -(-len(known) // MOST_POINTS)
    drawn = known[::stride]
    bars = {
        "type": "bar", "name": "waited", "x": [epoch for epoch, _ in drawn], "y": [round(figures.wait_share, 4) for _, figures in drawn],
        "width": min(USUAL_BAR * stride, NARROW_BAR * len(drawn)), "marker": {"color": colour("wait")},
        "customdata": [[round(figures.wait_s, 3), round(figures.elapsed_s, 3), figures.batches] for _, figures in drawn],
        "hovertemplate": "epoch %{x}: waited %{y:.1%}<br>%{customdata[0]} s of %{customdata[1]} s, "
                         "%{customdata[2]} batches<extra></extra>"}
    worst = max(known, key=lambda one: one[1].wait_share)
    return Figure(
        "Share of each epoch that the model waited for data", [bars], layout(
            WAITS_PX, xaxis=_epoch_axis([epoch for epoch, _ in known]), yaxis=axis(tickformat=".0%", range=[0, 1], fixedrange=True),
            showlegend=False, margin={"l": 48, "r": 12, "t": 34, "b": 46}),
        f"share of the time waited for data by epoch; the most was {worst[1].wait_share:.0%} in epoch {worst[0]}")
