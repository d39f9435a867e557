"""The position of a feed as a small dict, and the way back to it.

Rules: pure but for the source's own ``load_state_dict``; says once where going back means pulling and dropping.
"""

from __future__ import annotations

from typing import Any

from stoker.errors import SourceError, warn
from stoker.feed.options import FeedOptions
from stoker.source.protocol import Source
from stoker.source.stream import RestartableSource, StreamSource

VERSION = 1


def snapshot(source: Source, options: FeedOptions, place: tuple[int, int]) -> dict[str, Any]:
    """The state of a feed whose next batch is at ``place`` (pass, place in it)."""
    state: dict[str, Any] = {
        "version": VERSION, "kind": source.kind, "seed": options.seed, "shuffle": options.shuffle, "pass": place[0],
        "place": place[1]}
    own = source.state_before(*place) if isinstance(source, StreamSource | RestartableSource) else None
    if own is not None:
        state["source"] = own
    return state


def restore(source: Source, state: dict[str, Any], is_untouched: bool, lane: str) -> tuple[int, bool, tuple[int, int]]:
    """Check a state, and bring a stream to it.

    Args:
        source: the source.
        state: what ``snapshot`` gave.
        is_untouched: whether the feed has not begun.
        lane: the name of the lane; a worker process that has the source already does not hear of its state.

    Returns:
        Seed, shuffle, and the pass and place at which to go on.

    Raises:
        SourceError: the feed has begun, or the state is of another version or of another kind of source.
    """
    if not is_untouched:
        raise SourceError(
            "the feed is under way", expected="a feed that has not begun", where=source.label,
            remedy="Load the state before the first epoch.")
    if state.get("version") != VERSION or state.get("kind") != source.kind:
        raise SourceError(
            "the state does not fit the source", got=f"version {state.get('version')}, kind {state.get('kind')!r}",
            expected=f"version {VERSION}, kind {source.kind!r}", where=source.label,
            remedy="Load a state that state_dict() gave for the same source.")
    place = (int(state["pass"]), int(state["place"]))
    if isinstance(source, StreamSource | RestartableSource) and "source" in state and lane != "processes":
        source.go_to(*place, state["source"])
    elif source.kind != "indexed" and place[1]:
        why = "runs in a worker process, where its state cannot be set" if lane == "processes" else "has no state_dict"
        warn(
            f"{source.label} {why}: its first {place[1]} batches are pulled and dropped to get back to where it was. A Sequence goes "
            "there at once.")
    return int(state["seed"]), bool(state["shuffle"]), place
