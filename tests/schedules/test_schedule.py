"""What a schedule says, and what is no schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from schedule_examples import large_schedule, small_scenario, small_schedule

from spane_rllib.problems.vm_scheduling.recordings.schedule import NOWHERE


def test_waits_follow_from_the_events() -> None:
    schedule = small_schedule()
    np.testing.assert_array_equal(schedule.placed_at, [100, 100, 101, 110, np.nan])
    np.testing.assert_array_equal(schedule.wait, [0, 0, 0, 8, np.nan])
    assert schedule.total_wait == 8


def test_a_double_vm_changes_both_nodes_by_half() -> None:
    changes = small_schedule().node_changes()
    np.testing.assert_array_equal(changes.event, [0, 1, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(changes.slot, [0, 2, 3, 1, 1, 0, 0])
    np.testing.assert_array_equal(changes.cpu, [2, 2, 2, 3, -3, -2, 4])
    np.testing.assert_array_equal(changes.memory, [2, 6, 6, 4, -4, -2, 7.5])


def test_nothing_is_left_of_vms_that_departed() -> None:
    schedule = large_schedule(servers=3, vms=40)
    changes = schedule.node_changes()
    assert np.bincount(changes.slot, changes.cpu).sum() == 10


@pytest.mark.parametrize(
    ("table", "column", "values", "message"),
    [
        ("vms", "cpu", [2, 4, 3, 4], "the columns of vms differ in length"),
        ("vms", "cpu", [2, 4, -3, 4, 1], "a VM's cpu is negative"),
        ("vms", "memory", [2, 4, np.nan, 4, 1], "a VM's memory is negative or no number"),
        ("vms", "arrival", [100, 100, 101, 99, 103], "not in order of arrival"),
        ("vms", "arrival", [100, 100, 101, 102, np.inf], "an arrival is no finite time"),
        ("vms", "lifetime", [10, 20, 0, 5, 5], "a lifetime is not positive"),
        ("vms", "slot", [0, 2, 4, 0, -1], "outside 0 to 3"),
        ("vms", "slot", [0, 2, 1, 0, 0], "slots and placements differ"),
        ("vms", "slot", [0, 2, 0, 0, -1], "fills node 0 of server 0 with 5 of 4 cores"),
        ("vms", "memory", [2, 34, 4, 7.5, 12], "event 1 fills node 0 of server 1 with 17 of 16 GiB"),
        ("vms", "arrival", [100, 100, 102, 102, 103], "a VM is placed before it arrives"),
        ("servers", "node_cpu", [0, 8], "a server has no capacity"),
        ("servers", "node_cpu", [np.inf, 8], "a server's node_cpu is no finite number"),
        ("servers", "active_from", [100, 100.5], "before the server is active"),
        ("events", "time", [100, 100, 101, 106, 110, 109], "not in order of time"),
        ("events", "time", [100, 100, 101, 106, 110, np.nan], "not in order of time"),
        ("events", "vm", [0, 1, 2, 2, 0, 5], "an event is of a VM that there is none"),
        ("events", "vm", [0, 2, 1, 2, 0, 3], "not placed in order of arrival"),
        ("events", "vm", [0, 1, 2, 2, 2, 3], "a VM departs twice"),
        ("events", "vm", [0, 1, 2, 2, 3, 3], "a VM departs before it is placed"),
    ],
)
def test_contradictions_are_refused(table: str, column: str, values: list[Any], message: str) -> None:
    schedule = small_schedule()
    changed = getattr(schedule, table)._replace(**{column: np.array(values)})
    with pytest.raises(ValueError, match=message):
        replace(schedule, **{table: changed})


def test_nobody_waits_in_a_scenario() -> None:
    with pytest.raises(ValueError, match="nobody does in a scenario"):
        replace(small_schedule(), scenario="fading")
    schedule = small_scenario()
    two_nowhere = schedule.vms._replace(slot=np.array([0, 2, NOWHERE, NOWHERE]))
    events = type(schedule.events)(*(column[:2] for column in schedule.events))
    with pytest.raises(ValueError, match="nobody does in a scenario"):
        replace(schedule, vms=two_nowhere, events=events)
