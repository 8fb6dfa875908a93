"""Where it is a choice whom to place: other disciplines are special cases, and rules hold for any choice."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scenarios import Scenario, scenarios

from spane_rllib.problems.vm_scheduling.queue_disciplines import parse_queue
from spane_rllib.problems.vm_scheduling.simulator import (
    EpisodeResults,
    Heuristic,
    Workload,
    run_heuristic,
)
from spane_rllib.problems.vm_scheduling.simulator.choice_rules import (
    REFUSED,
    act,
    begin_choice,
    observe_choice,
)
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    FINISHED,
    HEAD,
    NOW,
    RUNNING,
    STATUS,
    STUCK,
    allocate,
)

SKIP = parse_queue("skip")
some = settings(max_examples=50)


class Chooser:
    """An episode, and what is seen of it."""

    def __init__(self, scenario: Scenario, first: int) -> None:
        self.workload: Workload = scenario.workload.under(SKIP)
        self.first, slots = first, scenario.cluster.slots
        starts, counts = self.workload.check_episodes(scenario.start, scenario.vm_count)
        self.state = allocate(1, slots, len(scenario.vms), queue=self.workload.arrays.queue)
        self.servers = np.zeros((slots // 2, 2, 2), np.float32)
        self.waiting = np.zeros((first, 4), np.float32)
        self.whom, self.slots = np.zeros(first + 1, np.int8), np.zeros((first, slots), np.int8)
        begin_choice(self.workload.arrays, self.state, starts[0], counts[0])
        self.observe()

    def observe(self) -> None:
        arrays = self.workload.arrays
        observe_choice(arrays, self.state, self.servers, self.waiting, self.whom, self.slots)

    @property
    def status(self) -> int:
        return int(self.state.counters[0, STATUS])

    def act(self, whom: int, slot: int = 0) -> int:
        status = act(self.workload.arrays, self.state, self.first, whom, slot)
        self.observe()
        return int(status)

    def totals(self) -> list[object]:
        results = EpisodeResults.of_state(self.state.counters, self.state.clocks)
        columns = (results.placed, results.total_wait, results.max_wait, results.size_wait)
        counts = (results.overtaken, results.passes, results.most_passes)
        return [array.tolist() for array in (*columns, *counts)]


def totals(scenario: Scenario, queue: str) -> list[object]:
    workload = scenario.workload.under(parse_queue(queue))
    start, count = scenario.start, scenario.vm_count
    results = run_heuristic(workload, scenario.cluster, Heuristic("first-fit"), start, count)
    columns = (results.placed, results.total_wait, results.max_wait, results.size_wait)
    counts = (results.overtaken, results.passes, results.most_passes)
    return [array.tolist() for array in (*columns, *counts)]


@given(scenarios(max_vms=20), st.sampled_from([1, 2, 5]))
@some
def test_the_head_where_it_fits_is_first_come_first_served(scenario: Scenario, first: int) -> None:
    chooser = Chooser(scenario, first)
    while chooser.status == RUNNING:
        if chooser.whom[0]:
            chooser.act(0, int(chooser.slots[0].argmax()))
        elif chooser.whom[first]:
            chooser.act(first)
        else:  # nothing is left to happen: it would wait for ever
            assert math.isinf(totals(scenario, "fifo")[1][0])  # type: ignore[index]
            return
    assert chooser.totals() == totals(scenario, "fifo")


@given(scenarios(max_vms=20), st.sampled_from([1, 2, 3, 20]))
@some
def test_the_first_that_fits_is_skip(scenario: Scenario, first: int) -> None:
    chooser = Chooser(scenario, first)
    while chooser.status == RUNNING:
        whom = int(chooser.whom.argmax())
        assert whom < first  # a decision is asked for only where somebody fits
        chooser.act(whom, int(chooser.slots[whom].argmax()))
    assert chooser.totals() == totals(scenario, f"skip:{first}")


@given(st.data(), scenarios(max_vms=16), st.sampled_from([1, 2, 4]))
@some
def test_any_choice_keeps_the_rules(data: st.DataObject, scenario: Scenario, first: int) -> None:
    """No slot overflows, time goes on, everybody is placed once, and refused actions change nothing."""
    chooser, placed, before = Chooser(scenario, first), set(), -math.inf
    vms, threshold = scenario.vms, scenario.cluster.double_memory_threshold
    running: dict[int, tuple[int, float]] = {}
    while chooser.status == RUNNING:
        now = float(chooser.state.clocks[0, NOW])
        assert now >= before
        before = now
        free = [[scenario.node.cpu, scenario.node.memory] for _ in range(scenario.cluster.slots)]
        for vm, (slot, end) in running.items():
            if end > now:
                double = float(vms[vm].size.memory) > threshold
                for node in (slot & ~1, slot | 1) if double else (slot,):
                    free[node][0] -= vms[vm].size.cpu / (1 + double)
                    free[node][1] -= vms[vm].size.memory / (1 + double)
        assert all(left >= 0 for node in free for left in node)
        units = chooser.workload.units_per_core
        assert (chooser.state.free[0].T / units).tolist() == [[float(x) for x in node] for node in free]
        frozen = chooser.totals()
        for whom in range(first):
            if not chooser.whom[whom]:
                assert act(chooser.workload.arrays, chooser.state, first, whom, 0) == REFUSED
        assert act(chooser.workload.arrays, chooser.state, first, first + 1, 0) == REFUSED
        assert chooser.totals() == frozen
        options = [first] if chooser.whom[first] else []
        options += [int(whom) for whom in np.flatnonzero(chooser.whom[:first])]
        whom = data.draw(st.sampled_from(options))
        if whom == first:
            chooser.act(first)
            continue
        slot = data.draw(st.sampled_from(np.flatnonzero(chooser.slots[whom]).tolist()))
        chooser.act(whom, slot)
        vm = int(chooser.state.counters[0, HEAD]) - 1
        assert vm not in placed
        assert vms[vm].arrival <= now
        placed.add(vm)
        running[vm] = slot, now + vms[vm].lifetime
    assert chooser.status in (FINISHED, STUCK)
    if chooser.status == FINISHED:
        last = min(scenario.start + scenario.vm_count, len(vms) - 1)
        assert placed == set(range(scenario.start, last))
