"""A worker that is told to send what it holds loses no answer, wherever in its work the signal finds it."""

from __future__ import annotations

import socket
import sys

from stoker.feed import child
from stoker.feed.arena import Arena
from stoker.feed.messages import Ask
from stoker.feed.wire import Parser
from stoker.source.open import open_source
from stoker.testing import Counting

ITEMS = 3
WATCHED = {child._Worker._answer.__code__, child._Worker._send.__code__, child.wire.pack_record.__code__}


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
                self.act()
            self.seen += 1
        return self


def answered(nudged_at):
    """The tickets that reach the parent, and how many instructions there were."""
    ours, theirs = socket.socketpair()
    arena = Arena.create(ITEMS + 2)
    try:
        worker = child._Worker(0, theirs, arena)
        worker._sources[0] = open_source(Counting(ITEMS))
        nudge = Nudge(worker._send, nudged_at)
        before = sys.gettrace()
        sys.settrace(nudge)
        try:
            worker._answer([(Ask(0, ticket, 0, ticket, 0), ticket) for ticket in range(ITEMS)])
        finally:
            sys.settrace(before)
        records = list(Parser().feed(ours.recv(1 << 16)))
    finally:
        ours.close()
        theirs.close()
        arena.close()
    return [record.ticket for record in records], nudge.seen


def test_no_answer_is_lost_wherever_the_signal_comes():
    whole, instructions = answered(-1)
    assert whole == list(range(ITEMS)) and instructions > 100
    assert not [at for at in range(instructions) if answered(at)[0] != whole]
