"""The last epoch as a timeline: what each worker made when, the model's steps and waits, and how many batches lay ready.

Rules: pure; time counts from the moment when the model first asked for one of the batches shown, and what happened earlier is cut off
there; bars of one kind are one trace, for plotly draws few large traces quickly and many small ones slowly.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from stoker.feed.meter import FeedFigures, Make, Timeline
from stoker.reporting.page_figures import Figure
from stoker.reporting.page_style import Json, axis, colour, layout

MODEL = "model"
SLOW = 4.0
"""A batch that took more than this many times the median is shown as slow."""
FEWEST = 8
"""Fewer batches than this have no median worth the name."""
NOTABLE = 1.5
"""A slowest batch that took less than this many times the median is not compared with it."""
SHORT_S = 5.0
"""Stretches shorter than this are shown in milliseconds."""
LANE_PX = 34
CROWDED = 12
CROWDED_PX = 20
QUEUE_PX = 90
GAP_PX = 30
TOP_PX = 80
BOTTOM_PX = 50
SPARSE = 300
"""A line through more points than this is a solid band; the ground beneath it still shows how often the line is how high."""
SHADES = (1.0, 0.68)
SHADED = ("make", "step")
"""Of these, neighbours touch and differ in shade, so that each can be told from the next."""
AROUND = 4.0
"""A view of one batch shows so many times its own length."""
LEAST_VIEW = 0.02
"""Share of the whole that a view shows at least."""


@dataclass(slots=True)
class _Bars:
    """Bars of one kind, gathered for one trace."""

    lane: list[str] = field(default_factory=list)
    base: list[float] = field(default_factory=list)
    width: list[float] = field(default_factory=list)
    shade: list[float] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)
    count: Counter[str] = field(default_factory=Counter)

    def add(self, lane: str, began: float, ended: float, said: tuple[str, str]) -> None:
        self.count[lane] += 1
        self.lane.append(lane)
        self.base.append(round(began, 6))
        self.width.append(round(ended - began, 6))
        self.shade.append(SHADES[self.count[lane] % 2])
        self.said.append(said)

    def trace(self, name: str, css: str, verb: str) -> Json:
        return {
            "type": "bar", "orientation": "h", "name": name, "y": self.lane, "base": self.base, "x": self.width, "width": 0.8,
            "marker": {"color": colour(css), "opacity": self.shade if css in SHADED else 1.0, "line": {"width": 0}},
            "customdata": self.said,
            "hovertemplate": f"batch %{{customdata[0]}}<br>%{{y}}: {verb} %{{customdata[1]}}<extra></extra>"}


def timeline_figure(timeline: Timeline | None, figures: FeedFigures | None) -> Figure | None:
    """Draw a timeline.

    Args:
        timeline: of an epoch.
        figures: of that epoch.

    Returns:
        The figure; None where nothing was handed out.
    """
    if timeline is None or figures is None or not timeline.takes:
        return None
    return _Drawing(timeline, figures).figure()


class _Drawing:
    """One timeline being drawn: its origin, its unit, and which batch is which."""

    def __init__(self, timeline: Timeline, figures: FeedFigures) -> None:
        self._takes, self._figures = timeline.takes, figures
        self._origin_s = timeline.takes[0].at_s - timeline.takes[0].wait_s
        self._end_s = max(figures.elapsed_s, timeline.takes[-1].at_s) - self._origin_s
        self._scale, self._unit = (1e3, "ms") if self._end_s < SHORT_S else (1.0, "s")
        self._first = max(1, figures.batches - len(timeline.takes) + 1)
        self._number = {take.ticket: number for number, take in enumerate(timeline.takes, self._first)}
        self._index = {take.ticket: take.index for take in timeline.takes}
        self._is_inline = figures.lane == "inline"
        self._makes = [make for make in timeline.makes if make.began_s + make.make_s + make.cross_s > self._origin_s]
        times = [make.make_s for make in self._makes]
        self._median_s = statistics.median(times) if len(times) >= FEWEST else 0.0

    def figure(self) -> Figure:
        """All of it."""
        lanes = self._lanes()
        traces = [*self._made(), *self._model()]
        heights = (CROWDED_PX if len(lanes) > CROWDED else LANE_PX) * len(lanes), 0 if self._is_inline else GAP_PX + QUEUE_PX
        share = heights[1] / sum(heights)
        span = [0.0, self._end_s * self._scale]
        more: Json = {
            "xaxis": axis(title={"text": f"time in {self._unit}"}, range=span, anchor="y"),
            "yaxis": axis(
                categoryorder="array", categoryarray=lanes[::-1], domain=[share, 1.0], fixedrange=True, showgrid=False,
                range=[-0.5, len(lanes) - 0.5])}
        if not self._is_inline:
            traces.append(self._queue())
            more["xaxis"].update(anchor="y2")
            more["yaxis2"] = axis(
                domain=[0.0, share * QUEUE_PX / heights[1]], fixedrange=True, rangemode="tozero", title={"text": "ready"}, nticks=4)
        made = layout(
            sum(heights) + TOP_PX + BOTTOM_PX, barmode="overlay", bargap=0.01,  # none at all, and plotly rounds bars to pixels
             hovermode="closest", showlegend=True,
            margin={"l": 64, "r": 12, "t": TOP_PX, "b": BOTTOM_PX}, **more)
        notes = self._notes()
        return Figure(
            "Timeline of the last epoch", traces, made, f"timeline of the last epoch. {' '.join(notes)}", notes, views=self._views())

    def _lanes(self) -> list[str]:
        """The model, then every worker, those that made nothing too."""
        if self._is_inline:
            return [MODEL, "source"]
        numbers = {make.worker for make in self._makes} | set(range(self._figures.workers))
        return [MODEL, *(f"worker {number}" for number in sorted(numbers))]

    def _lane(self, make: Make) -> str:
        return "source" if self._is_inline else f"worker {make.worker}"

    def _at(self, seconds: float) -> float:
        """A time of the stretch on the axis."""
        return max(0.0, seconds - self._origin_s) * self._scale

    def _batch(self, ticket: int) -> str:
        if ticket not in self._number:
            return "made ahead, not taken in this epoch"
        return f"{self._number[ticket]:,} (index {self._index[ticket]:,})"

    def _is_slow(self, make: Make) -> bool:
        return make.make_s > SLOW * self._median_s > 0

    def _made(self) -> list[Json]:
        """What the workers did."""
        usual, slow, crossing = _Bars(), _Bars(), _Bars()
        for make in self._makes:
            lane, batch, ended_s = self._lane(make), self._batch(make.ticket), make.began_s + make.make_s
            early = f", begun {_ms(self._origin_s - make.began_s)} earlier than shown" if make.began_s < self._origin_s else ""
            if ended_s > self._origin_s:
                bars = slow if self._is_slow(make) else usual
                bars.add(lane, self._at(make.began_s), self._at(ended_s), (batch, _ms(make.make_s) + early))
            if make.cross_s > 0:
                crossing.add(lane, self._at(ended_s), self._at(ended_s + make.cross_s), (batch, _ms(make.cross_s)))
        kinds = ((usual, "making", "make", "made in"), (slow, "slow", "slow", "made in"),
                 (crossing, "handing over", "cross", "put into shared memory in"))
        return [bars.trace(name, css, verb) for bars, name, css, verb in kinds if bars.lane]

    def _model(self) -> list[Json]:
        """What the model did: a step lasts from its batch until the next one is asked for."""
        steps, waits = _Bars(), _Bars()
        for place, take in enumerate(self._takes):
            batch = self._batch(take.ticket)
            after = self._takes[place + 1] if place + 1 < len(self._takes) else None
            until_s = after.at_s - after.wait_s if after is not None else self._end_s + self._origin_s
            if take.wait_s > 0:
                waits.add(MODEL, self._at(take.at_s - take.wait_s), self._at(take.at_s), (batch, _ms(take.wait_s)))
            last = "" if after is not None else ", with all that the device still had to do"
            steps.add(MODEL, self._at(take.at_s), self._at(until_s), (batch, _ms(until_s - take.at_s) + last))
        kinds = ((steps, "step", "step", "step of"), (waits, "waiting", "wait", "waited"))
        return [bars.trace(name, css, verb) for bars, name, css, verb in kinds if bars.lane]

    def _queue(self) -> Json:
        """Batches that lay ready after each one was handed out."""
        return {
            "type": "scatter", "name": "ready batches", "x": [round(self._at(take.at_s), 6) for take in self._takes],
            "y": [take.ready for take in self._takes], "mode": "lines", "fill": "tozeroy", "fillcolor": colour("queue-fill"),
            "line": {"shape": "hv", "width": 1.5 if len(self._takes) <= SPARSE else 0.0, "color": colour("queue")}, "yaxis": "y2",
            "showlegend": False, "customdata": [self._number[take.ticket] for take in self._takes],
            "hovertemplate": "%{y} ready when batch %{customdata:,} was taken<extra></extra>"}

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self._first > 1:
            notes.append(f"Shown are the latest {len(self._takes):,} of {self._figures.batches:,} batches.")
        if self._makes:
            slowest = max(self._makes, key=lambda make: make.make_s)
            times = f", {slowest.make_s / self._median_s:,.1f}x the median" if slowest.make_s > NOTABLE * self._median_s > 0 else ""
            by = "" if self._is_inline else f" by {self._lane(slowest)}"
            notes.append(f"Slowest batch: {self._batch(slowest.ticket)}, made in {_ms(slowest.make_s)}{by}{times}.")
        slow = sum(map(self._is_slow, self._makes))
        if slow:
            notes.append(f"{_count(slow)} took more than {SLOW:g}x the median and {'is' if slow == 1 else 'are'} shown as slow.")
        longest = max(self._takes, key=lambda take: take.wait_s)
        if longest.wait_s > 0:
            notes.append(f"Longest wait: {_ms(longest.wait_s)} for batch {self._batch(longest.ticket)}.")
        return tuple(notes)

    def _views(self) -> tuple[tuple[str, float, float], ...]:
        """Where to look: the whole, the slowest batch, the longest wait."""
        views = [("All", 0.0, round(self._end_s * self._scale, 6))]
        if self._makes:
            slowest = max(self._makes, key=lambda make: make.make_s)
            views.append(self._around("Slowest batch", slowest.began_s, slowest.make_s))
        longest = max(self._takes, key=lambda take: take.wait_s)
        if longest.wait_s > 0:
            views.append(self._around("Longest wait", longest.at_s - longest.wait_s, longest.wait_s))
        return tuple(views)

    def _around(self, name: str, began_s: float, length_s: float) -> tuple[str, float, float]:
        middle, half = began_s + length_s / 2, max(AROUND * length_s, LEAST_VIEW * self._end_s) / 2
        return name, round(self._at(middle - half), 6), round(min(self._at(middle + half), self._end_s * self._scale), 6)


def _count(batches: int) -> str:
    return "1 batch" if batches == 1 else f"{batches:,} batches"


def _ms(seconds: float) -> str:
    """Milliseconds with the digits that matter."""
    length_ms: Any = seconds * 1e3
    return f"{length_ms:,.0f} ms" if length_ms >= 100 else f"{length_ms:.3g} ms"
