"""The rules of migration, compiled: the one implementation, incremental and in whole numbers.

A migration moves one VM: a single VM to any NUMA node but its own, also of its own machine; a double VM,
half of which is on each node, to another machine. It needs free cores and memory, and no VM of its group on
the target machine. It changes two machines, and so its cost is a difference of four terms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.vm_rescheduling.simulator.objectives import Objective, machine_cost

CORES, MEMORY, DOUBLE, GROUP, KIND = range(5)
# Columns of a move.
VM, MACHINE, NODE = range(3)


class State(NamedTuple):
    """Where everything is. `copied` before it is changed."""

    vms: npt.NDArray[np.int64]  # (V, 5) cores and MB on each of its nodes, double, group, kind; never changed
    free: npt.NDArray[np.int64]  # (P, 2) cores of every node
    memory: npt.NDArray[np.int64]  # (P, 2) MB
    machine: npt.NDArray[np.int64]  # (V,)
    node: npt.NDArray[np.int64]  # (V,) 0 for double VMs
    members: npt.NDArray[np.int64]  # (P, G) VMs of each group
    totals: npt.NDArray[np.int64]  # (2,) cost; fingerprint


COST, FINGERPRINT = range(2)


@inlined
def mixed(number):  # type: ignore[no-untyped-def]
    """64 well mixed bits of a whole number (the finaliser of SplitMix64)."""
    z = np.uint64(number) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64(z ^ (z >> np.uint64(31)))


@inlined
def placed_mark(kind, machine, node):  # type: ignore[no-untyped-def]
    """What a VM of this kind adds to the fingerprint, so that VMs of one kind may change places."""
    return mixed((np.int64(kind) << np.int64(32)) + 2 * np.int64(machine) + node)


@inlined
def cost_of(state, objective, machine):  # type: ignore[no-untyped-def]
    """Cost of one machine."""
    free, memory = state.free, state.memory
    return machine_cost(objective, free[machine, 0], free[machine, 1], memory[machine, 0], memory[machine, 1])


@inlined
def has_room(state, vm, machine, node):  # type: ignore[no-untyped-def]
    """Whether cores and memory for a VM are free on a node, or on both for a double VM."""
    cores, memory = state.vms[vm, CORES], state.vms[vm, MEMORY]
    if state.vms[vm, DOUBLE] != 0:
        return (
            state.free[machine, 0] >= cores
            and state.free[machine, 1] >= cores
            and state.memory[machine, 0] >= memory
            and state.memory[machine, 1] >= memory
        )
    return state.free[machine, node] >= cores and state.memory[machine, node] >= memory


@inlined
def may_join(state, vm, machine):  # type: ignore[no-untyped-def]
    """Whether no other VM of its group is on a machine."""
    group = state.vms[vm, GROUP]
    return group < 0 or machine == state.machine[vm] or state.members[machine, group] == 0


@inlined
def is_legal(state, vm, machine, node):  # type: ignore[no-untyped-def]
    """Whether a VM may migrate there; a double VM to node 0 of another machine, which stands for both."""
    if machine == state.machine[vm] and (state.vms[vm, DOUBLE] != 0 or node == state.node[vm]):
        return False
    if state.vms[vm, DOUBLE] != 0 and node != 0:
        return False
    return has_room(state, vm, machine, node) and may_join(state, vm, machine)


@inlined
def take(state, vm, machine, node, sign):  # type: ignore[no-untyped-def]
    """Take what a VM needs from a machine, or with `sign` -1 give it back."""
    cores, memory = sign * state.vms[vm, CORES], sign * state.vms[vm, MEMORY]
    if state.vms[vm, DOUBLE] != 0:
        state.free[machine, 0] -= cores
        state.free[machine, 1] -= cores
        state.memory[machine, 0] -= memory
        state.memory[machine, 1] -= memory
    else:
        state.free[machine, node] -= cores
        state.memory[machine, node] -= memory


@inlined
def migrate(state, objective, vm, machine, node):  # type: ignore[no-untyped-def]
    """Make a legal migration; returns by how much the cost falls. To undo it, migrate back."""
    source, old = state.machine[vm], state.node[vm]
    before = cost_of(state, objective, source)
    if machine != source:
        before += cost_of(state, objective, machine)
    take(state, vm, source, old, -1)
    take(state, vm, machine, node, 1)
    after = cost_of(state, objective, source)
    if machine != source:
        after += cost_of(state, objective, machine)
    group, kind = state.vms[vm, GROUP], state.vms[vm, KIND]
    if group >= 0:
        state.members[source, group] -= 1
        state.members[machine, group] += 1
    state.machine[vm], state.node[vm] = machine, node
    state.totals[COST] += after - before
    state.totals[FINGERPRINT] += placed_mark(kind, machine, node) - placed_mark(kind, source, old)
    return before - after


@compiled
def legal_targets(state: State, vm: int, targets: npt.NDArray[np.bool_]) -> int:
    """Fill (P, 2) `targets` with where a VM may migrate; returns the number. Node 0 stands for both."""
    count = 0
    double = state.vms[vm, DOUBLE] != 0
    cores, memory, group = state.vms[vm, CORES], state.vms[vm, MEMORY], state.vms[vm, GROUP]
    own = state.machine[vm]
    for machine in range(len(targets)):
        first = state.free[machine, 0] >= cores and state.memory[machine, 0] >= memory
        second = state.free[machine, 1] >= cores and state.memory[machine, 1] >= memory
        if double:
            first, second = first and second, False
        if group >= 0 and machine != own and state.members[machine, group] != 0:
            first = second = False
        targets[machine, 0], targets[machine, 1] = first, second
        count += first + second
    for node in range(2):
        if targets[own, node] and (double or node == state.node[vm]):
            targets[own, node] = False
            count -= 1
    return count


@compiled
def movable(state: State, can: npt.NDArray[np.bool_]) -> None:
    """Fill (V,) `can` with which VMs have a legal migration."""
    machines = len(state.free)
    for vm in range(len(can)):
        can[vm] = False
        for machine in range(machines):
            if is_legal(state, vm, machine, 0) or is_legal(state, vm, machine, 1):
                can[vm] = True
                break


@compiled
def apply_move(state: State, objective: Objective, vm: int, machine: int, node: int) -> int:
    """`migrate` if it is legal: by how much the cost falls; else nothing happens, and the smallest
    integer."""
    if not (0 <= vm < len(state.vms) and 0 <= machine < len(state.free) and 0 <= node < 2):
        return np.iinfo(np.int64).min
    if not is_legal(state, vm, machine, node):
        return np.iinfo(np.int64).min
    return migrate(state, objective, vm, machine, node)


@compiled
def restore(state: State, start: State, plan: npt.NDArray[np.int64], made: int) -> None:
    """Bring back what the first `made` moves of a plan have changed, to what it was in `start`."""
    for k in range(made):
        vm = plan[k, VM]
        for which in range(2):
            machine = start.machine[vm] if which == 0 else plan[k, MACHINE]
            for node in range(2):
                state.free[machine, node] = start.free[machine, node]
                state.memory[machine, node] = start.memory[machine, node]
            state.members[machine] = start.members[machine]
        state.machine[vm], state.node[vm] = start.machine[vm], start.node[vm]
    state.totals[:] = start.totals


@compiled
def play_plan(state: State, objective: Objective, plan: npt.NDArray[np.int64]) -> int:
    """Make the (K, 3) moves up to the first that is illegal; returns how many were made."""
    for k in range(len(plan)):
        vm, machine, node = plan[k, VM], plan[k, MACHINE], plan[k, NODE]
        if not (0 <= vm < len(state.vms) and 0 <= machine < len(state.free) and 0 <= node < 2):
            return k
        if not is_legal(state, vm, machine, node):
            return k
        migrate(state, objective, vm, machine, node)
    return len(plan)


@compiled
def play_plans(
    start: State,
    state: State,
    objective: Objective,
    plans: npt.NDArray[np.int64],
    made: npt.NDArray[np.int64],
    costs: npt.NDArray[np.int64],
) -> None:
    """Play (N, K, 3) plans, each from `start`; `state` is a copy of it and is one again in the end.

    Fills (N,) `made`, the legal moves at the beginning of each plan, and (N,) `costs` after them.
    """
    for plan in range(len(plans)):
        made[plan] = play_plan(state, objective, plans[plan])
        costs[plan] = state.totals[COST]
        restore(state, start, plans[plan], made[plan])
