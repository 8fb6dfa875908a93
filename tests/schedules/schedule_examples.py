"""A schedule small enough to follow by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spane_rllib.problems.vm_scheduling.recordings.schedule import NOWHERE, Events, Schedule, Servers, Vms


def small_schedule() -> Schedule:
    """Five VMs on a small and a large server.

    Events: VMs 0, 1 and 2 are placed, VM 2 departs, VM 0 departs, and VM 3, which waited for 8 s, takes its
    place. VM 4 fits nowhere.
    """
    return Schedule(
        policy="by-hand",
        trace="five VMs",
        trace_sha256="",
        start=7,
        source="test",
        vms=Vms(
            number=np.array([7, 8, 9, 10, 11]),
            cpu=np.array([2.0, 4.0, 3.0, 4.0, 18.0]),
            memory=np.array([2.0, 12.0, 4.0, 7.5, 12.0]),
            double=np.array([False, True, False, False, True]),
            arrival=np.array([100.0, 100.0, 101.0, 102.0, 103.0]),
            lifetime=np.array([10.0, 20.0, 5.0, np.inf, 5.0]),
            slot=np.array([0, 2, 1, 0, NOWHERE]),
        ),
        events=Events(
            time=np.array([100.0, 100.0, 101.0, 106.0, 110.0, 110.0]),
            vm=np.array([0, 1, 2, 2, 0, 3]),
            departure=np.array([False, False, False, True, True, False]),
        ),
        servers=Servers.of_two_nodes(np.array([4.0, 8.0]), np.array([8.0, 16.0]), np.array([100.0, 100.0])),
    )


def small_scenario() -> Schedule:
    """The first VMs on the same servers of a scenario, where nobody waits; the large server comes at 100 s.

    Events: VM 0 is placed, the server is added, VM 1 is placed on it, VM 2 is placed and departs. VM 3 fits
    nowhere.
    """
    schedule = small_schedule()
    return replace(
        schedule,
        vms=Vms(*(column[:4] for column in schedule.vms))._replace(
            cpu=np.array([2.0, 4.0, 3.0, 18.0]),
            memory=np.array([2.0, 12.0, 4.0, 12.0]),
            double=np.array([False, True, False, True]),
            arrival=np.array([90.0, 100.0, 101.0, 110.0]),
            lifetime=np.array([np.inf, np.inf, 5.0, np.inf]),
            slot=np.array([0, 2, 1, NOWHERE]),
        ),
        events=Events(
            time=np.array([90.0, 100.0, 101.0, 106.0]),
            vm=np.array([0, 1, 2, 2]),
            departure=np.array([False, False, False, True]),
        ),
        servers=Servers.of_two_nodes(np.array([4.0, 8.0]), np.array([8.0, 16.0]), np.array([90.0, 100.0])),
        scenario="growing",
    )


def other_decision() -> Schedule:
    """The same arrivals, but VM 2 and VM 3 are put on the large server, where nobody waits."""
    schedule = small_schedule()
    return replace(
        schedule,
        policy="other <b>&",
        vms=schedule.vms._replace(slot=np.array([0, 2, 3, 2, NOWHERE])),
        events=Events(
            time=np.array([100.0, 100.0, 101.0, 102.0]),
            vm=np.arange(4),
            departure=np.zeros(4, bool),
        ),
    )


def large_schedule(servers: int, vms: int) -> Schedule:
    """`vms` VMs of one core, each on the next server and gone after ten others."""
    number = np.arange(vms)
    arrival = 10.0 * number
    end = arrival + 100.0
    time = np.concatenate([end[end <= arrival[-1]], arrival])
    vm = np.concatenate([number[end <= arrival[-1]], number])
    departure = np.arange(len(time)) < (end <= arrival[-1]).sum()
    order = np.lexsort((~departure, time))
    ones = np.ones(vms)
    return Schedule(
        "round-robin",
        "one core each",
        "",
        0,
        "test",
        Vms(number, ones, ones, ones < 0, arrival, 100 * ones, number % (2 * servers)),
        Events(time[order], vm[order], departure[order]),
        Servers.of_two_nodes(np.full(servers, 40.0), np.full(servers, 90.0), np.zeros(servers)),
    )
