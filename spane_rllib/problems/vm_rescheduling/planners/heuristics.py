"""The published heuristic and bin packing, as planners."""

from __future__ import annotations

import numpy as np

from spane_rllib.problems.vm_rescheduling.planners.greedy import gain_of_leaving, published_greedy
from spane_rllib.problems.vm_rescheduling.planners.planner import Answer, Request, shortened
from spane_rllib.problems.vm_rescheduling.simulator.rules import CORES, DOUBLE
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Plan, Simulation, as_plan

LARGEST = 16
"""Cores of the largest VM that the published heuristic moves."""
_BATCH = 10


def greedy_plan(simulation: Simulation, migrations: int) -> Plan:
    """The published heuristic from where a simulation is, which is changed."""
    plan = np.zeros((migrations, 3), np.int64)
    made = published_greedy(simulation.state, simulation.objective, LARGEST, plan)
    return plan[:made]


def published_heuristic(request: Request) -> Answer:
    """HA, as in ByteDance's release of 2022."""
    plan = greedy_plan(request.simulation(), request.migrations)
    return Answer(shortened(request, plan) if request.goal is not None else plan)


def bin_packing(request: Request) -> Answer:
    """Alpha-VBPP: the alpha = 10 VMs whose leaving helps most leave, and are packed largest first, each where
    the least cores are left beside it. Stops at the first ten that do not help, which are not moved."""
    simulation = request.simulation()
    state = simulation.state
    moves: list[tuple[int, int, int]] = []
    moved: set[int] = set()
    while len(moves) < request.migrations and not request.clock.over():
        gains = np.full(len(state.vms), -1, np.int64)
        for vm in set(range(len(gains))) - moved:
            gains[vm] = gain_of_leaving(state, simulation.objective, vm)
        batch = np.argsort(-gains, kind="stable")[: min(_BATCH, request.migrations - len(moves))]
        batch = batch[np.argsort(-state.vms[batch, CORES] * (1 + state.vms[batch, DOUBLE]), kind="stable")]
        before, made = simulation.cost, []
        for vm in batch.tolist():
            places = simulation.legal_targets(vm)
            places[state.machine[vm]] = False
            left = np.where(places, state.free, np.iinfo(np.int64).max)
            if state.vms[vm, DOUBLE]:
                left = np.where(places, state.free.sum(axis=1)[:, None], np.iinfo(np.int64).max)
            if places.any():
                machine, node = divmod(int(left.argmin()), 2)
                simulation.migrate(vm, machine, node)
                made.append((vm, machine, node))
        if simulation.cost >= before:
            for _ in made:
                simulation.undo()
            break
        moves += made
        moved.update(vm for vm, _, _ in made)
    return Answer(shortened(request, as_plan(moves)))
