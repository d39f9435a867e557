"""The words and tables of a page: its head, the table of epochs, and what the call was.

Rules: pure; every text that is not ours goes through ``plain``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stoker.history import EpochRecord
from stoker.reporting.page_facts import ALL_RUN, Facts, finite
from stoker.reporting.page_style import plain
from stoker.reporting.text import duration, number, rate

MOST_ROWS = 500
NOTHING = "&ndash;"


def head(facts: Facts) -> str:
    """The model, when, how it ended, what held it back, and the numbers that people look for first."""
    run, (is_whole, ended) = facts.run, facts.status
    lines = ['<p class="faint">Training report</p>', f"<h1>{plain(facts.model)}</h1>"]
    if run is not None:
        lines.append(f'<p class="faint">{plain(run.began)} &middot; trained on {plain(run.source)}</p>')
    lines.append(f'<p class="status {"good" if is_whole else "warn"}">{plain(_sentence(ended))}</p>')
    found = facts.verdict(facts.records[-1]) if facts.records else None
    if found is not None:
        lines.append(f'<p class="verdict {found.bound}">{plain(_sentence(facts.said(facts.records[-1])))}</p>')
    tiles = "".join(f"<div><dt>{plain(name)}</dt><dd>{plain(value)}</dd></div>" for name, value in _tiles(facts))
    if tiles:
        lines.append(f'<dl class="tiles">{tiles}</dl>')
    return "\n".join(lines)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _tiles(facts: Facts) -> Iterable[tuple[str, str]]:
    if facts.epochs:
        yield "Epochs", str(len(facts.epochs))
    if facts.records:
        yield "Time", duration(sum(record.elapsed_s for record in facts.records))
    figures = facts.figures
    if figures is not None and figures.batches:
        yield "Pace, last epoch", rate(figures.batches, figures.elapsed_s)
        yield "Waited for data", f"{figures.wait_share:.0%}"
    for name in facts.names[:1] + [name for name in facts.names if name == "val_loss"]:
        yield f"Last {name}", number(_scalar(facts.logs[-1][name])) if name in facts.logs[-1] else "none"


def epochs_table(facts: Facts) -> str:
    """A row for each epoch, and beneath it what held the epoch back, as wide as the window whatever the table is."""
    names = facts.names
    has_records = bool(facts.records)
    has_ends = any(record.reason != ALL_RUN for record in facts.records)
    heads = ["epoch", *(["steps", "time"] if has_records else []), *names, *(["waited"] if has_records else [])]
    words = ["why it ended"] if has_ends else []
    top = "".join(f'<th scope="col">{plain(name)}</th>' for name in heads)
    top += "".join(f'<th scope="col" class="words">{name}</th>' for name in words)
    first = max(0, len(facts.epochs) - MOST_ROWS)
    rows = [_row(facts, place, names, has_ends, len(heads) + len(words)) for place in range(first, len(facts.epochs))]
    if first:
        rows.insert(0, f'<tr class="apart"><td colspan="{len(heads) + len(words)}">{first:,} earlier epochs are left out</td></tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Epochs"><table class="epochs">'
        f"<thead><tr>{top}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>")


def _row(facts: Facts, place: int, names: list[str], has_ends: bool, columns: int) -> str:
    logs = facts.logs[place]
    record: EpochRecord | None = facts.records[place] if facts.records else None
    cells = [f'<th scope="row">{facts.epochs[place]}</th>']
    if record is not None:
        cells += [_cell(f"{record.steps:,}"), _cell(duration(record.elapsed_s))]
    cells += [_cell(number(_scalar(logs[name])) if name in logs else None) for name in names]
    if record is not None:
        cells.append(_cell(None if record.figures is None else f"{record.figures.wait_share:.0%}"))
        cells += [_cell(record.reason, "words")] if has_ends else []
    said = "" if record is None else facts.said(record)
    if not said:
        return f"<tr>{''.join(cells)}</tr>"
    return f'<tr class="told">{"".join(cells)}</tr><tr class="said"><td colspan="{columns}"><div>{plain(said)}</div></td></tr>'


def _scalar(value: Any) -> Any:
    """A single number of whatever library as Python's, so that all are written alike."""
    if getattr(value, "ndim", None) != 0:
        return value
    if hasattr(value, "item"):
        return value.item()
    known = finite(value)  # Keras's variables and TensorFlow's tensors have no item
    return value if known is None else known


def _cell(text: str | None, kind: str = "") -> str:
    begin = f'<td class="{kind}">' if kind else "<td>"
    return f"{begin}{NOTHING if text is None else plain(text)}</td>"


def call_tables(facts: Facts) -> str:
    """What was asked for, and with what; empty where that is not known."""
    run = facts.run
    if run is None:
        return ""
    arguments = {name: repr(value) for name, value in run.arguments.items()}
    lane = {} if facts.figures is None else {"batches made by": _who(facts.figures.lane, facts.figures.workers)}
    return '<div class="two">' + "".join([
        _pairs("The call", {"source": run.source, **arguments, **lane}),
        _pairs("Versions and machine", {**run.versions, "machine": run.machine})]) + "</div>"


def _who(lane: str, workers: int) -> str:
    """In the last epoch."""
    if lane == "inline":
        return "the caller's thread, when they were needed"
    return f"{workers} {lane}" if workers != 1 else f"1 {'thread' if lane == 'threads' else 'process'}"


def _pairs(title: str, pairs: dict[str, str]) -> str:
    rows = "".join(f'<tr><th scope="row">{plain(name)}</th><td>{plain(value)}</td></tr>' for name, value in pairs.items())
    return f'<div class="box"><h3>{title}</h3><table class="pairs"><tbody>{rows}</tbody></table></div>'
