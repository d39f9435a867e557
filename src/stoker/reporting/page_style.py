"""What all figures of a page share, as plotly reads it.

Rules: pure; a colour is the name of a variable in ``page.css``, so that figures are light or dark as the page is; text of the user's
goes through ``plain``, for plotly reads tags in it.
"""

from __future__ import annotations

import html
from typing import Any

from stoker.reporting.text import writable

Json = dict[str, Any]


def colour(name: str) -> dict[str, str]:
    """A colour of the page's, which ``page.js`` looks up when it draws."""
    return {"css": f"--{name}"}


def plain(text: Any) -> str:
    """The text of the user's as HTML that shows just it."""
    return html.escape(writable(str(text), "utf-8"))


def axis(**more: Any) -> Json:
    """An axis in the page's colours."""
    return {
        "gridcolor": colour("grid"), "linecolor": colour("grid"), "zerolinecolor": colour("grid"), "automargin": True, "ticks": "", **more}


def layout(height_px: int, **more: Any) -> Json:
    """A layout without a title, on the page's own ground; what the reader zoomed to stays when it is drawn again."""
    return {
        "height": height_px, "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "uirevision": "kept",
        "font": {"color": colour("ink"), "size": 12, "family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif"},
        "margin": {"l": 48, "r": 12, "t": 54, "b": 46},
        "hoverlabel": {"bgcolor": colour("panel"), "bordercolor": colour("grid"), "font": {"color": colour("ink")}},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": colour("faint"), "activecolor": colour("ink")},
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "xanchor": "left"}, **more}
