"""BalCon (Future Generation Computer Systems 147, 2023), adapted to fragments and a limit of migrations.

BalCon empties servers: a VM that fits nowhere is forced onto another server, whose smaller VMs make way.
Here a
node is helped to its next free slot: the VMs whose leaving completes it go where that loses nothing or, by
the force step, to a node from which smaller VMs go to where that loses nothing.
"""

from __future__ import annotations

import numpy as np

from spane_rllib.problems.vm_rescheduling.planners.greedy import best_target, gain_of_leaving
from spane_rllib.problems.vm_rescheduling.planners.planner import Answer, Request, shortened
from spane_rllib.problems.vm_rescheduling.simulator.rules import CORES, DOUBLE
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Simulation, as_plan

Move = tuple[int, int, int]

_FORCED_TARGETS = 12
_EJECTED = 3


def balcon(request: Request) -> Answer:
    """Help nodes to a slot, those that lack least first, while the limit and the time allow."""
    simulation = request.simulation()
    moves: list[Move] = []
    improved = True
    while improved and not request.clock.over() and len(moves) < request.migrations:
        improved = False
        for machine, node in _by_need(simulation):
            if request.clock.over() or len(moves) >= request.migrations:
                break
            made = _help(simulation, machine, node, request.migrations - len(moves))
            moves += made
            improved |= bool(made)
    return Answer(shortened(request, as_plan(moves)))


def _by_need(simulation: Simulation) -> list[tuple[int, int]]:
    """Nodes with a fragment, those that lack least to a slot first."""
    free, unit = simulation.state.free, simulation.objective.unit
    rest = free % unit
    order = np.argsort(np.where(rest > 0, unit - rest, unit).reshape(-1), kind="stable")
    return [divmod(int(slot), 2) for slot in order]


def _help(simulation: Simulation, machine: int, node: int, limit: int) -> list[Move]:
    """Moves that complete a slot on a node and save more than they lose; nothing where none are found."""
    state, unit = simulation.state, simulation.objective.unit
    lacking = unit - int(state.free[machine, node]) % unit
    on = np.flatnonzero(
        (state.machine == machine) & (state.node == node) & (state.vms[:, DOUBLE] == 0)
    ).tolist()
    on.sort(key=lambda vm: -int(state.vms[vm, CORES]))
    leaving: list[int] = []
    for vm in on:
        if state.vms[vm, CORES] <= lacking:
            leaving.append(vm)
            lacking -= int(state.vms[vm, CORES])
    if lacking or len(leaving) > limit:
        return []
    before = simulation.cost
    made: list[Move] = []
    for vm in leaving:
        made += _bring_away(simulation, vm, limit - len(made))
    if simulation.cost >= before or len(made) > limit:
        for _ in made:
            simulation.undo()
        return []
    return made


def _bring_away(simulation: Simulation, vm: int, limit: int) -> list[Move]:
    """Migrate a VM to where it loses nothing, else by the force step."""
    gain, machine, node = best_target(simulation.state, simulation.objective, vm)
    if machine >= 0 and gain >= 0 and limit >= 1:
        simulation.migrate(vm, machine, node)
        return [(vm, machine, node)]
    return _force(simulation, vm, limit)


def _force(simulation: Simulation, vm: int, limit: int) -> list[Move]:
    """Make room on a node by moving up to three smaller VMs away from it, to where they lose nothing."""
    state, objective = simulation.state, simulation.objective
    cores, source = int(state.vms[vm, CORES]), int(state.machine[vm])
    if state.vms[vm, DOUBLE]:
        return []
    lacking = cores - state.free
    order = np.argsort(np.where(lacking > 0, lacking, 10**9).reshape(-1), kind="stable")
    for slot in order[:_FORCED_TARGETS].tolist():
        machine, node = divmod(slot, 2)
        if machine == source or lacking[machine, node] > 10**8:
            continue
        smaller = np.flatnonzero(
            (state.machine == machine)
            & (state.node == node)
            & (state.vms[:, DOUBLE] == 0)
            & (state.vms[:, CORES] < cores)
        ).tolist()
        smaller.sort(key=lambda other: -int(state.vms[other, CORES]))
        before = simulation.cost
        made: list[Move] = []
        leaving = int(gain_of_leaving(state, objective, vm))
        for other in smaller:
            if state.free[machine, node] >= cores or len(made) == min(_EJECTED, limit - 1):
                break
            gain, to, at = best_target(state, objective, other)
            if to >= 0 and to != source and gain >= 0:
                simulation.migrate(other, to, at)
                made.append((other, to, at))
        if simulation.legal_targets(vm)[machine, node]:
            simulation.migrate(vm, machine, node)
            made.append((vm, machine, node))
            if before - simulation.cost >= min(leaving, 1):
                return made
        for _ in made:
            simulation.undo()
    return []
