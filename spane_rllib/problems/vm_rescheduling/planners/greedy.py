"""Greedy planners: the published heuristic, and random migrations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import compiled
from spane_rllib.problems.vm_rescheduling.simulator.objectives import Objective, machine_cost
from spane_rllib.problems.vm_rescheduling.simulator.rules import (
    CORES,
    DOUBLE,
    MEMORY,
    State,
    cost_of,
    is_legal,
    migrate,
)


@compiled
def gain_of_leaving(state: State, objective: Objective, vm: int) -> int:
    """By how much the cost of its machine falls if a VM leaves."""
    machine, node = state.machine[vm], state.node[vm]
    cores, memory = state.vms[vm, CORES], state.vms[vm, MEMORY]
    f0, f1 = state.free[machine, 0], state.free[machine, 1]
    m0, m1 = state.memory[machine, 0], state.memory[machine, 1]
    if state.vms[vm, DOUBLE] != 0 or node == 0:
        f0, m0 = f0 + cores, m0 + memory
    if state.vms[vm, DOUBLE] != 0 or node == 1:
        f1, m1 = f1 + cores, m1 + memory
    return cost_of(state, objective, machine) - machine_cost(objective, f0, f1, m0, m1)


@compiled
def cost_with(state: State, objective: Objective, vm: int, machine: int, node: int) -> int:
    """The cost of another machine if a VM came to it."""
    cores, memory = state.vms[vm, CORES], state.vms[vm, MEMORY]
    f0, f1 = state.free[machine, 0], state.free[machine, 1]
    m0, m1 = state.memory[machine, 0], state.memory[machine, 1]
    if state.vms[vm, DOUBLE] != 0 or node == 0:
        f0, m0 = f0 - cores, m0 - memory
    if state.vms[vm, DOUBLE] != 0 or node == 1:
        f1, m1 = f1 - cores, m1 - memory
    return machine_cost(objective, f0, f1, m0, m1)


@compiled
def best_target(state: State, objective: Objective, vm: int) -> tuple[int, int, int]:
    """Where on other machines a VM lowers the cost most: by how much, machine, node; the first of equals.

    The machine is -1 where it may go nowhere.
    """
    best, best_machine, best_node = np.iinfo(np.int64).min, -1, 0
    for machine in range(len(state.free)):
        if machine == state.machine[vm]:
            continue
        before = cost_of(state, objective, machine)
        for node in range(2):
            if is_legal(state, vm, machine, node):
                gain = before - cost_with(state, objective, vm, machine, node)
                if gain > best:
                    best, best_machine, best_node = gain, machine, node
    return best, best_machine, best_node


@compiled
def published_greedy(state: State, objective: Objective, largest: int, plan: npt.NDArray[np.int64]) -> int:
    """The published heuristic: among VMs of at most `largest` cores take the one whose leaving lowers the
    cost of its machine most, to where its coming does on another machine; the first of equals. It stops when
    that is no improvement.

    Fills (M, 3) `plan`, changes `state`, and returns how many migrations were made.
    """
    gains = np.empty(len(state.vms), np.int64)
    for vm in range(len(gains)):
        gains[vm] = gain_of_leaving(state, objective, vm)
        if state.vms[vm, CORES] * (1 + state.vms[vm, DOUBLE]) > largest:
            gains[vm] = np.iinfo(np.int64).min
    for made in range(len(plan)):
        vm = int(np.argmax(gains))
        gain, machine, node = best_target(state, objective, vm)
        if machine < 0 or gains[vm] + gain <= 0:
            return made
        source = state.machine[vm]
        migrate(state, objective, vm, machine, node)
        plan[made] = vm, machine, node
        for other in range(len(gains)):
            on = state.machine[other]
            if on in (source, machine) and gains[other] != np.iinfo(np.int64).min:
                gains[other] = gain_of_leaving(state, objective, other)
    return len(plan)
