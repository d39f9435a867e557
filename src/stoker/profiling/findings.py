"""From what was measured to what is worth saying, in the order of its weight.

Rules: pure; nothing is said of what was not measured; what is usual and harmless is no finding.
"""

from __future__ import annotations

from collections.abc import Iterator

from stoker.feed.load import IDLE_CPU
from stoker.profiling.recommend import holds_gil, recommend
from stoker.profiling.record import Chance, Fault, Finding, Leaf, Measured

CACHE_BYTES = 64 << 20
"""A cache that would hold less than this after a whole pass is not worth a word."""
UNEVEN = 10
"""The slowest batch took so many times the usual one."""
UNEVEN_S = 0.05
GIANT = 4
GIANT_BYTES = 16 << 20


def find(measured: Measured) -> tuple[Finding, ...]:
    """Everything worth knowing, faults first."""
    found = [finding for look in (_faults, _form, _memory, _chance, _travel, _times, _stream) for finding in look(measured)]
    return tuple(sorted(found, key=lambda finding: finding.level))  # "fault" comes before "note"; the order stays otherwise


def _faults(measured: Measured) -> Iterator[Finding]:
    for fault in measured.faults:
        more = f" ({fault.count} items in all)" if fault.count > 1 else ""
        yield _fault(fault, more, measured)


def _fault(fault: Fault, more: str, measured: Measured) -> Finding:
    where = f"index {fault.index}"
    if fault.kind == "raised":
        return Finding("raises", "fault", f"{where} raised {fault.text}{more}", where, "Make that item by hand, and mend what raises.")
    if fault.kind == "malformed":
        return Finding("malformed", "fault", f"{where} is no batch{more}: {fault.text}", where)
    at = f"; it was at: {fault.text}" if fault.text else ""
    return Finding(
        "blocked", "fault", f"{where} had not come when the {measured.seconds:g} s were over{at}", where,
        "Look at what it waits for, or give the profile more seconds.")


def _form(measured: Measured) -> Iterator[Finding]:
    if measured.form is None:
        return
    leaves = measured.form.leaves
    ragged = [leaf.path for leaf in leaves if leaf.shape is None or any(low != high for low, high in leaf.shape[1:])]
    if ragged:
        yield Finding(
            "ragged", "note", f"{_listed(ragged)} differ{'s' * (len(ragged) == 1)} in shape from batch to batch (ragged)", ragged[0],
            "A compiled step is compiled anew for each new shape: pad to few lengths.")
    mixed = [leaf.path for leaf in leaves if len(leaf.dtypes) > 1]
    if mixed:
        yield Finding("mixed-dtypes", "fault", f"{_listed(mixed)}: dtypes differ from batch to batch", mixed[0], "Convert to one dtype.")
    if measured.form.bytes_worst > max(GIANT_BYTES, GIANT * measured.form.bytes_median):
        yield Finding(
            "giant", "note", f"index {measured.form.worst_index} has {size(measured.form.bytes_worst)}, a usual batch has "
            f"{size(measured.form.bytes_median)}", f"index {measured.form.worst_index}",
            "Memory for worker processes is made for the largest batch.")
    if measured.alike:
        yield Finding(
            "alike", "note", "indices {} and {} gave the same batch".format(*measured.alike), f"index {measured.alike[1]}",
            "Check that the index, or the place in the stream, is used.")


def _memory(measured: Measured) -> Iterator[Finding]:
    memory = measured.memory
    grew = f"; what grew: {', '.join(memory.grew)}" if memory.grew else ""
    if memory.again_bytes:
        yield Finding(
            "leak", "fault", f"memory grows by {size(memory.again_bytes)} with each item{grew} (leak)",
            ", ".join(memory.grew) or measured.label, "Keep nothing of an item once it has been returned.")
    elif memory.new_bytes and measured.length and memory.new_bytes * measured.length > CACHE_BYTES:
        yield Finding(
            "cache", "note", f"memory grows by {size(memory.new_bytes)} with each new item, and not with items made before: a cache{grew}",
            ", ".join(memory.grew) or measured.label,
            f"A whole pass would keep {size(memory.new_bytes * measured.length)}, in each worker process.")


def _chance(measured: Measured) -> Iterator[Finding]:
    chance = measured.chance
    names = ", ".join(chance.generators)
    if chance.is_repeatable is False and chance.is_copied:
        who = names or "what the source draws from"
        advice = recommend(measured)
        is_shared = advice is not None and not advice.processes
        shared = "; the threads recommended below share it, and no seed reproduces what they draw" if is_shared else ""
        yield Finding(
            "copied-rng", "fault", f"{who} is alike in each worker process: all of them draw the same, so different batches and epochs get "
            f"identical augmentation{shared}", names.split(" ")[0] or measured.label, "Draw from stoker.rng() in the item.")
    elif chance.is_seeded:
        yield Finding(
            "own-randomness", "note", f"worker processes seed {names or 'what the source keeps'} for each item, and do not draw the same; "
            "elsewhere no seed reproduces what it draws", names.split(" ")[0] or measured.label,
            "Draw from stoker.rng(), which is the same everywhere.")
    elif chance.is_repeatable is False:
        yield Finding(
            "not-reproducible", "note", f"an item made twice differs, whatever the seed{its_own(chance)}", measured.label,
            "Draw from stoker.rng(), and a seed makes a run reproducible.")
    elif chance.uses_globals:
        yield Finding(
            "global-randomness", "note",
            "items draw from random or numpy.random: a seed reproduces that in worker processes, not on threads",
            measured.label, "Draw from stoker.rng(), which is the same everywhere.")


def _travel(measured: Measured) -> Iterator[Finding]:
    travel = measured.travel
    if travel is not None and not travel.travels and measured.kind != "stream":
        yield Finding(
            "not-picklable", "note", f"{travel.where} cannot go to worker processes: {travel.got}", travel.where,
            "Make it in the item when it is first needed, or leave it out in __getstate__.")
    for run in measured.runs:
        if run.error:
            yield Finding(
                "run-failed", "fault", f"a run with {run.workers} of {run.lane} failed: {run.error}", f"{run.lane}, {run.workers}")


def _times(measured: Measured) -> Iterator[Finding]:
    times = measured.times
    if times is not None and times.worst_s > max(UNEVEN_S, UNEVEN * times.median_s):
        yield Finding(
            "uneven", "note", f"index {times.worst_index} took {duration(times.worst_s)}, a usual one takes {duration(times.median_s)}",
            f"index {times.worst_index}", "A larger max_queue_size evens that out, if it is rare.")


def _stream(measured: Measured) -> Iterator[Finding]:
    if measured.is_used_up:
        yield Finding(
            "consumed", "note", f"{measured.drawn} items were drawn from this iterator, and are gone from it", measured.label,
            "Profile the function that makes it, or make a new one to train from.")
    if measured.ended_after == 0:
        yield Finding("empty", "fault", "the stream gave no item", measured.label, "Check that its data was found.")
    elif measured.ended_after is not None and measured.is_used_up:
        yield Finding(
            "ends", "note", f"the stream ended after {measured.ended_after} items: training for more steps would end early", measured.label,
            "Begin it anew inside (while True), or pass the function that makes it.")


def its_own(chance: Chance) -> str:
    """The generators that a source keeps and may draw from; none where its randomness was seen to be fresh in each process."""
    is_fresh = chance.is_copied is False and not chance.is_seeded
    return f" ({', '.join(chance.generators)})" if chance.generators and not is_fresh else ""


def nature(measured: Measured) -> str:
    """What making batches is: waiting, computing with or without the GIL."""
    times = measured.times
    if times is None:
        return ""
    if times.cpu_share < IDLE_CPU:
        return "it waits for something else than a core"
    held = holds_gil(measured)
    return {None: "it computes", True: "it computes and holds the GIL", False: "it computes without the GIL"}[held]


def _listed(paths: list[str]) -> str:
    return ", ".join(paths)


def shape_text(leaf: Leaf) -> str:
    """A shape, with a span for an axis that differs: ``(8..32, 28, 28)``."""
    if leaf.shape is None:
        return "(shapes of different rank)"
    axes = [str(low) if low == high else f"{low}..{high}" for low, high in leaf.shape]
    return f"({', '.join(axes)}{',' * (len(axes) == 1)})"


def size(count: float) -> str:
    """Bytes in a few characters."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} bytes"


def duration(seconds: float) -> str:
    """A time in a few characters."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
