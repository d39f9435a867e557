"""A profile as text of at most 80 columns, with nothing in it that a pipe could not take.

Rules: plain: no colours, no box characters; the user's own text is shown with ``?`` for what cannot be printed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stoker.feed.load import IDLE_CPU
from stoker.profiling.findings import duration, its_own, nature, shape_text, size
from stoker.profiling.gilwatch import BUSY_SHARE
from stoker.profiling.recommend import pace
from stoker.profiling.record import Finding, Measured, Recommendation, Run

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 79
NAME_WIDTH = 11


def as_text(measured: Measured, findings: tuple[Finding, ...], advice: Recommendation | None) -> str:
    """The whole table."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(
        file=out, width=WIDTH, color_system=None, force_terminal=False, force_jupyter=False, legacy_windows=False, markup=False,
        emoji=False, highlight=False, _environ={})
    console.print(_title(measured))
    console.print()
    console.print(_rows(_facts(measured)))
    if measured.runs:
        console.print()
        console.print(_runs(measured.runs))
    if findings or measured.unmeasured:
        console.print()
        console.print(_rows([*_findings(findings), *(("not told", reason) for reason in measured.unmeasured)]))
    console.print()
    console.print(_rows(_advice(advice)))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _advice(advice: Recommendation | None) -> list[tuple[str, str]]:
    return [("write", advice.call), ("because", advice.why)] if advice else [("write", "nothing yet: no batch could be made")]


def _rows(rows: list[tuple[str, str]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0), width=WIDTH)
    table.add_column(width=NAME_WIDTH, no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for name, text in rows:
        table.add_row(Text(name), Text(printable(text)))
    return table


def _runs(runs: tuple[Run, ...]) -> RenderableType:
    from rich.table import Table

    lanes = sorted({run.lane for run in runs}, reverse=True)
    rates = {(run.lane, run.workers): pace(run.rate) if run.rate else "-" for run in runs}
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="")
    table.add_column("workers", justify="right", min_width=NAME_WIDTH)
    for lane in lanes:
        table.add_column(lane, justify="right")
    table.add_column("")
    for number, workers in enumerate(sorted({run.workers for run in runs})):
        table.add_row(str(workers), *(rates.get((lane, workers), "") for lane in lanes), "batches/s" if number == 0 else "")
    return table


def _title(measured: Measured) -> str:
    what = {
        "indexed": f"{_count(measured.length or 0, 'batch', 'batches')} in a pass", "stream": "an iterator, gone through once",
        "restartable": "begins anew with each pass", "parallel_map": "a function over an iterator's items"}[measured.kind]
    title = printable(f"{measured.label}: {what}")
    return title if len(title) <= WIDTH else f"{title[:WIDTH - 3]}..."


def _facts(measured: Measured) -> list[tuple[str, str]]:
    return [row for part in (_drawn, _batch, _making, _rest) for row in part(measured)]


def _drawn(measured: Measured) -> Iterator[tuple[str, str]]:
    times = measured.times
    count = times.count if times else 0
    of = f" of {_count(measured.distinct, 'index', 'indices')}" if measured.kind == "indexed" else ""
    runs = f", {measured.drawn} with the runs below" if measured.runs else ""
    yield "drawn", f"{_count(count, 'item', 'items')}{of} in {duration(measured.drawn_s)}{runs}"


def _batch(measured: Measured) -> Iterator[tuple[str, str]]:
    form = measured.form
    if form is None:
        return
    largest = f", the largest {size(form.bytes_worst)}" if form.bytes_worst != form.bytes_median else ""
    yield "batch", f"{form.text}, {size(form.bytes_median)}{largest}"
    width = max(len(leaf.path) for leaf in form.leaves)
    for leaf in form.leaves:
        yield "", f"  {leaf.path:<{width}}  {'/'.join(leaf.dtypes)} {shape_text(leaf)}"


def _making(measured: Measured) -> Iterator[tuple[str, str]]:
    times = measured.times
    if times is None:
        return
    yield "making", (
        f"median {duration(times.median_s)}, 95th percentile {duration(times.p95_s)}, "
        f"worst {duration(times.worst_s)} (index {times.worst_index})")
    yield "CPU", f"{times.cpu_share:.0%} of that time: {nature(measured)}"
    share = times.gil_share
    if times.cpu_share >= IDLE_CPU:
        held = "not told: the source is too quick, or the machine too busy" if share is None else f"held for {share:.0%} of its CPU time"
        yield "GIL", held


def _rest(measured: Measured) -> Iterator[tuple[str, str]]:
    if measured.times is None:
        return
    memory = measured.memory
    if memory.again_bytes is None:
        yield "memory", "too few items to tell whether it grows"
    else:
        yield "memory", "steady" if not memory.again_bytes else f"grows by {size(memory.again_bytes)} with each item"
    travel = measured.travel
    if travel is not None:
        cannot = f"cannot have it: {travel.where} ({travel.got})"
        yield "processes", f"can have it: {size(travel.bytes)} travel" if travel.travels else cannot
    if measured.chance.untold or measured.chance.is_repeatable is not None:
        yield "randomness", chance_text(measured)
    yield "end", _end(measured)
    yield "machine", _machine(measured)
    crossing = [run for run in measured.runs if run.lane == "processes" and run.rate]
    if crossing:
        best = min(crossing, key=lambda run: run.cross_s + run.parent_s)
        yield "crossing", f"{duration(best.cross_s)} a batch in the worker process, {duration(best.parent_s)} in yours"


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def chance_text(measured: Measured) -> str:
    """What randomness the batches hold, in a few words."""
    chance = measured.chance
    if chance.untold:
        return f"not told: {chance.untold}"
    if not chance.is_repeatable:
        which = "a seed reproduces it in worker processes only" if chance.is_seeded else "no seed reproduces it"
        return f"of its own{its_own(chance)}: {which}"
    drawn = [name for name, used in (("stoker.rng()", chance.uses_rng), ("random or numpy.random", chance.uses_globals)) if used]
    return f"from {' and '.join(drawn)}: the same for the same seed" if drawn else "none seen: the same item made again is the same"


def _machine(measured: Measured) -> str:
    cores = _count(measured.cores, "core", "cores")
    times = measured.times
    if times is None or measured.crowded is None or times.cpu_share < IDLE_CPU or measured.crowded < BUSY_SHARE:
        return cores
    return f"{cores}, busy: making waited for one for {measured.crowded:.0%} of the time in which it could have run"


def _end(measured: Measured) -> str:
    if measured.kind == "indexed":
        return f"a pass has {_count(measured.length or 0, 'batch', 'batches')}"
    if measured.ended_after is not None:
        return f"after {measured.ended_after} items"
    return "not within the items drawn" + (f"; it says that a pass has {measured.length}" if measured.length else "")


def _findings(findings: tuple[Finding, ...]) -> Iterator[tuple[str, str]]:
    for finding in findings:
        remedy = f". {finding.remedy}" if finding.remedy else ""
        yield ("FAULT" if finding.level == "fault" else "note"), f"{finding.text.rstrip('.')}{remedy}"


def printable(text: str) -> str:
    """The text with ``?`` for control characters."""
    return "".join(character if character.isprintable() else "?" for character in text)
