"""The account of slots under any order of taking, freeing and leasing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.feed.slots import SlotTable

events = st.lists(st.tuples(st.sampled_from(["take", "free", "lease", "give back"]), st.integers(0, 9)), max_size=150)


@given(slots=st.integers(1, 20), leases=st.integers(0, 4), events=events)
def test_a_slot_is_in_one_place_whatever_happens(slots, leases, events):
    table = SlotTable(slots, leases)
    busy, leased = [], []
    for event, number in events:
        if event == "take":
            if number > slots - len(busy) - len(leased):
                with pytest.raises(MemoryError):
                    table.take(number)
                continue
            busy += table.take(number)
        elif event == "free":
            table.free(busy[:number])
            del busy[:number]
        elif event == "lease" and busy:
            if table.lease(busy[0]):
                leased.append(busy.pop(0))
        elif event == "give back" and leased:
            table.give_back(leased.pop())
        table.check()
        assert table.leased == set(leased) and len(set(busy)) == len(busy) and not set(busy) & set(leased)


def test_slots_that_were_used_come_first():
    table = SlotTable(9, 0)
    first = table.take(3)
    table.free(first)
    assert table.take(3) == first and table.in_use == 3
