"""The page of a report put together: head, figures, tables, plotly.

Rules: pure but for reading the page's own parts (``page.html``, ``page.css``, ``page.js``); figures travel as JSON in which nothing can
end a script.
"""

from __future__ import annotations

import json
from importlib.resources import files
from string import Template

from stoker.reporting.page_facts import Facts
from stoker.reporting.page_figures import Figure, curves, waits
from stoker.reporting.page_style import Json, plain
from stoker.reporting.page_tables import call_tables, epochs_table, head
from stoker.reporting.page_timeline import timeline_figure


def page_text(facts: Facts, plotly: str) -> str:
    """The whole page.

    Args:
        facts: the run.
        plotly: the code of plotly.js.
    """
    gathered = _Gathered()
    parts = {
        "Curves": _curves(facts, gathered),
        "Where the time went": _time(facts, gathered),
        "Epochs": f'<div class="box">{epochs_table(facts)}</div>' if facts.epochs else "",
        "The run": call_tables(facts)}
    main = "\n".join(_section(title, inside) for title, inside in parts.items() if inside)
    return Template(_part("page.html")).substitute(
        title=f"{plain(facts.model)} &ndash; training report", css=_part("page.css"), header=head(facts), main=main,
        plotly=plotly.replace("</script", "<\\/script"), figures=_json(gathered.figures), glue=_part("page.js"))


class _Gathered:
    """The figures of a page, in the order in which their places stand in it."""

    def __init__(self) -> None:
        self.figures: list[Json] = []

    def add(self, figure: Figure, kind: str = "") -> str:
        """Keep a figure and give the place where it is drawn."""
        number = len(self.figures)
        self.figures.append({"data": figure.data, "layout": figure.layout})
        name, height_px = f"figure-{number}", figure.layout["height"]
        buttons = [f'<button type="button" data-log="{name}" aria-pressed="false">log scale</button>'] if figure.has_log else []
        buttons += [
            f'<button type="button" data-view="{name}" data-range="[{first},{last}]">{view}</button>' for view, first, last in figure.views]
        shown = f'<div class="buttons">{"".join(buttons)}</div>' if buttons else ""
        notes = f"<figcaption>{plain(' '.join(figure.notes))}</figcaption>" if figure.notes else ""
        return (
            f'<figure class="{kind}"><div class="head"><h3>{plain(figure.title)}</h3>{shown}</div>'
            f'<div class="plot" id="{name}" data-figure="{number}" role="img" aria-label="{plain(figure.spoken)}" '
            f'style="height:{height_px}px"></div>{notes}</figure>')


def _curves(facts: Facts, gathered: _Gathered) -> str:
    drawn = "".join(gathered.add(figure) for figure in curves(facts))
    return f'<div class="curves">{drawn}</div>' if drawn else '<p class="box">No epoch has ended, so there is no curve.</p>'


def _time(facts: Facts, gathered: _Gathered) -> str:
    """The timeline and the waits; nothing where stoker did not train."""
    found = (timeline_figure(facts.timeline, facts.figures), waits(facts))
    return "".join(gathered.add(figure, "wide") for figure in found if figure is not None)


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{title}</h2>\n{inside}\n</section>"


def _part(name: str) -> str:
    return files("stoker.reporting").joinpath(name).read_text(encoding="utf-8").strip()


def _json(figures: list[Json]) -> str:
    """JSON that can stand in a script element: no tag can begin in it."""
    text = json.dumps(figures, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
