"""A worker that is told to send what it holds loses no answer, wherever in its work the signal finds it."""

from __future__ import annotations

import socket
import sys

import numpy as np
import pytest

import stoker
from stoker.feed import child, held
from stoker.feed.arena import Arena
from stoker.feed.messages import Ask
from stoker.feed.parcel import Unpacker
from stoker.feed.wire import Parser
from stoker.source.open import open_source
from stoker.testing import Counting

ITEMS = 4
WATCHED = {function.__code__ for function in (
    child._Worker._answer, child._Worker._answer_one, child.wire.pack_record, held._record, held.Held.add, held.Held.add_batch,
    held.Held._begun, held.Held.send, held.Held.nudged)}


class Mixed(stoker.Sequence):
    """Batches that make a run, an error between them, and one that is pickled."""

    def __len__(self):
        return ITEMS

    def __getitem__(self, index):
        if index == 1:
            raise KeyError("lost")
        return "a text" if index == 3 else np.full(3, index)


class Nudge:
    """Calls ``act`` before one instruction of the code that is watched: the one with this number."""

    def __init__(self, act, at):
        self.act, self.at, self.seen = act, at, 0

    def __call__(self, frame, event, _):
        if frame.f_code not in WATCHED:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            if self.seen == self.at:
                self.seen += 1  # what the signal does is watched too, but not cut short again
                self.act()
            self.seen += 1
        return self


def records_of(source, nudged_at):
    """What reaches the parent, how many instructions there were, and what lies in the slots."""
    ours, theirs = socket.socketpair()
    arena = Arena.create(ITEMS + 2)
    try:
        worker = child._Worker(0, theirs, arena)
        worker._sources[0] = open_source(source)
        nudge = Nudge(worker._held.nudged, nudged_at)
        before = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # Python 3.12 tells of instructions only if a frame asked for them before settrace
        sys.settrace(nudge)
        try:
            worker._answer([Ask(0, ticket, 0, ticket, 0) for ticket in range(ITEMS)], range(ITEMS))
        finally:
            sys.settrace(before)
        records = list(Parser().feed(ours.recv(1 << 16)))
        assert [record.slot for record in records] + worker._held.slots[::-1] == [3, 2, 1, 0], "a slot for each, the latest first"
        unpacker = Unpacker()
        return records, nudge.seen, [contents(arena, unpacker, record) for record in records]
    finally:
        ours.close()
        theirs.close()
        arena.close()


def contents(arena, unpacker, record):
    """Ticket and batch of each answer of a record; None for what is no run."""
    if record.outcome or record.template < 0:
        return [(ticket, None) for ticket in record.tickets]
    if record.extra:
        unpacker.learn(record.extra)
    memory = bytes(arena.bytes[record.slot * arena.stride:record.slot * arena.stride + (1 << 16)])
    batches = unpacker.run(record.template, memory, len(record.tickets))
    return [(ticket, np.ravel(batch[0] if isinstance(batch, tuple) else batch)[0])
            for ticket, batch in zip(record.tickets, batches, strict=True)]


@pytest.mark.thinned(2)
@pytest.mark.parametrize(("source", "expected"), [
    (Counting(ITEMS), [(0, 0), (1, 1), (2, 2), (3, 3)]), (Mixed(), [(0, 0), (1, None), (2, 2), (3, None)])])
def test_no_answer_is_lost_or_changed_wherever_the_signal_comes(source, expected, monkeypatch):
    monkeypatch.setattr(child, "MOST_HELD_S", float("inf"))  # else a run is cut too where the machine pauses while an item is made
    records, instructions, found = records_of(source, -1)
    assert sum(found, []) == expected and instructions > 100
    assert len(records) == (1 if isinstance(source, Counting) else 4)
    cuts = set()
    for at in range(instructions):
        records, _, found = records_of(source, at)
        assert sum(found, []) == expected, at
        cuts.add(len(records))
    assert len(cuts) == (2 if isinstance(source, Counting) else 1), "a signal cuts a run"
