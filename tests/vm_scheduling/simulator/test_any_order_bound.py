"""The bound that holds for every order, against all schedules of a few VMs and all disciplines of more."""

from __future__ import annotations

import math

import queue_simulator as plain
from hypothesis import assume, given, settings
from scenarios import Scenario, scenarios, trace_of

from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO, parse_queue
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    Heuristic,
    Workload,
    lower_bounds,
    run_heuristic,
)

TINY = 1e-6


@given(scenarios(max_vms=5, max_servers=2))
@settings(max_examples=60)
def test_no_schedule_at_all_waits_less(scenario: Scenario) -> None:
    assume(not any(math.isinf(vm.lifetime) for vm in scenario.vms))
    workload = scenario.workload.under(parse_queue("skip"))
    bound = lower_bounds(workload, scenario.cluster, scenario.start, scenario.vm_count)[0]
    stop = min(scenario.start + scenario.vm_count, len(scenario.vms) - 1)
    episode = scenario.vms[scenario.start : stop]
    assert 0 <= bound <= plain.least_total_wait(episode, scenario.servers, scenario.node) + TINY


@given(scenarios(max_vms=25))
@settings(max_examples=60)
def test_no_discipline_waits_less(scenario: Scenario) -> None:
    workload, cluster = scenario.workload, scenario.cluster
    skip = workload.under(parse_queue("skip"))
    bound = lower_bounds(skip, cluster, scenario.start, scenario.vm_count)[0]
    for queue in (FIFO, *map(parse_queue, ("skip", "skip:2", "easy", "conservative", "aged:2"))):
        for name in ("first-fit", "sbf"):
            results = run_heuristic(
                workload.under(queue), cluster, Heuristic(name), scenario.start, scenario.vm_count
            )
            assert bound <= results.total_wait[0] + TINY, (queue.text, name)


def test_it_is_tight_where_one_vm_after_the_other_fills_the_cluster() -> None:
    cluster = Cluster(servers=1, node_cpu=4, node_memory=8, double_memory_threshold=8)
    vms = [(8, 16, 0, 10), (8, 16, 0, 10), (8, 16, 0, 10), (1, 1, 1000, 1)]
    workload = Workload(trace_of(vms), cluster).under(parse_queue("skip"))
    bound = lower_bounds(workload, cluster, 0, 3)[0]
    assert 27 <= bound <= 30 + TINY  # 0 + 10 + 20
