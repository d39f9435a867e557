"""The position of a feed as a small dict, and the way back to it.

Rules: pure but for the course, and the source's own ``load_state_dict``; says once where going back means pulling and dropping, or where
a source cannot be what it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stoker.errors import SourceError, warn
from stoker.feed.course import Course
from stoker.feed.options import FeedOptions
from stoker.source.indexed import IndexedSource
from stoker.source.protocol import Source
from stoker.source.stream import RestartableSource, StreamSource

VERSION = 1


def remember(source: Source, items: int, lane: str) -> None:
    """Let a source keep the states of its own before each of the last so many items, where it has such a thing, and has it here."""
    streams = StreamSource | RestartableSource
    if isinstance(source, IndexedSource) or (isinstance(source, streams) and lane != "processes"):
        source.remember_states(items)


def snapshot(source: Source, options: FeedOptions, place: tuple[int, int]) -> dict[str, Any]:
    """The state of a feed whose next batch is at ``place`` (pass, place in it)."""
    state: dict[str, Any] = {
        "version": VERSION, "kind": source.kind, "seed": options.seed, "shuffle": options.shuffle, "pass": place[0],
        "place": place[1]}
    own = source.state_before(*place) if isinstance(source, IndexedSource | StreamSource | RestartableSource) else None
    if own is not None:
        state["source"] = own
    return state


def restore(source: Source, state: dict[str, Any], options: FeedOptions, course: Course, lane: str) -> FeedOptions:
    """Check a state, and bring a source and its course to it.

    Args:
        source: the source.
        state: what ``snapshot`` gave.
        options: those of the feed.
        course: is told seed, shuffle, and where to go on.
        lane: the name of the lane; a worker process that has the source already does not hear of its state.

    Returns:
        The options with the seed and shuffle of the state.

    Raises:
        SourceError: the feed has begun, or the state is of another version or of another kind of source.
    """
    if not course.is_untouched:
        raise SourceError(
            "the feed is under way", expected="a feed that has not begun", where=source.label,
            remedy="Load the state before the first epoch.")
    if state.get("version") != VERSION or state.get("kind") != source.kind:
        raise SourceError(
            "the state does not fit the source", got=f"version {state.get('version')}, kind {state.get('kind')!r}",
            expected=f"version {VERSION}, kind {source.kind!r}", where=source.label,
            remedy="Load a state that state_dict() gave for the same source.")
    place = (int(state["pass"]), int(state["place"]))
    if isinstance(source, IndexedSource):
        _bring(source, place, state)
    elif isinstance(source, StreamSource | RestartableSource) and "source" in state and lane != "processes":
        source.go_to(*place, state["source"])
    elif source.kind != "indexed" and place[1]:
        why = "runs in a worker process, where its state cannot be set" if lane == "processes" else "has no state_dict"
        warn(
            f"{source.label} {why}: its first {place[1]} batches are pulled and dropped to get back to where it was. A Sequence goes "
            "there at once.")
    course.seed, course.shuffle = int(state["seed"]), bool(state["shuffle"])
    course.go_to(*place)
    return replace(options, seed=course.seed, shuffle=course.shuffle)


def _bring(source: IndexedSource, place: tuple[int, int], state: dict[str, Any]) -> None:
    """Bring a Sequence to a place; where it changes with each pass and tells no state, only its order and its randomness are there."""
    knows = "source" in state
    if knows and source.takes_state:
        source.go_to(*place, state["source"])
    else:
        source.begin_at(*place)
    if place[0] and source.has_end and not (knows and source.tells_state):
        warn(
            f"{source.label} has an on_epoch_end and no state_dict: what that did in the {place[0]} passes before is not there. Give it "
            "state_dict and load_state_dict, and it goes on with what they hold.")
