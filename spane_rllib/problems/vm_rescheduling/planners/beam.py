"""Beam search on the compiled simulator: many states side by side, the best kept after every migration."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import compiled
from spane_rllib.problems.vm_rescheduling.planners.clock import Clock
from spane_rllib.problems.vm_rescheduling.planners.greedy import cost_with, gain_of_leaving
from spane_rllib.problems.vm_rescheduling.planners.planner import Answer, Request, shortened
from spane_rllib.problems.vm_rescheduling.simulator.objectives import Objective
from spane_rllib.problems.vm_rescheduling.simulator.rules import (
    FINGERPRINT,
    KIND,
    MACHINE,
    NODE,
    VM,
    State,
    apply_move,
    cost_of,
    is_legal,
    placed_mark,
)
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Plan, as_plan, copied

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_TARGETS = 6
_MOVES = 48
_WIDTH = 64


@compiled
def _shape(state: State, objective: Objective, machine: int) -> float:
    """How far the free cores of a machine are from lying together: half of the fragments' product with what
    they lack. Among states of equal cost it tells the promising ones."""
    total = 0.0
    for node in range(2):
        rest = state.free[machine, node] % objective.unit
        total += rest * (objective.unit - rest) / objective.unit
    return 0.5 * total


@compiled
def best_moves(
    state: State,
    objective: Objective,
    targets: int,
    moves: Integers,
    gains: Integers,
    scores: Floats,
    marks: Integers,
) -> int:
    """The best migrations of a state by their score: the gain, plus how much better free cores lie together.

    VMs of one kind on one node count once, and each kind tries the `targets` nodes that it suits best.

    Fills (N, 3) moves, (N,) gains in cost, scores and marks (what they add to the fingerprint); returns how
    many.
    """
    kinds = state.vms[:, KIND].max() + 1
    machines = len(state.free)
    weight = max(objective.weight, 1)
    shapes = np.empty(machines)
    for machine in range(machines):
        shapes[machine] = _shape(state, objective, machine)
    suited = np.full((kinds, targets), -1, np.int64)
    suits = np.full((kinds, targets), -np.inf)
    seen = np.zeros((kinds, 2 * machines), np.bool_)
    first = np.full(kinds, -1, np.int64)
    for vm in range(len(state.vms)):
        if first[state.vms[vm, KIND]] < 0:
            first[state.vms[vm, KIND]] = vm
    for kind in range(kinds):
        vm = first[kind]
        if vm < 0:
            continue
        for slot in range(2 * machines):
            machine, node = slot // 2, slot % 2
            if machine == state.machine[vm] or not is_legal(state, vm, machine, node):
                continue
            gain = cost_of(state, objective, machine) - cost_with(state, objective, vm, machine, node)
            rest = state.free[machine, node] % objective.unit
            score = gain - 0.01 * weight * rest
            if score > suits[kind, targets - 1]:
                at = targets - 1
                while at > 0 and score > suits[kind, at - 1]:
                    suits[kind, at], suited[kind, at] = suits[kind, at - 1], suited[kind, at - 1]
                    at -= 1
                suits[kind, at], suited[kind, at] = score, slot
    count = 0
    for vm in range(len(state.vms)):
        kind, source, own = state.vms[vm, KIND], state.machine[vm], state.node[vm]
        if seen[kind, 2 * source + own]:
            continue
        seen[kind, 2 * source + own] = True
        leaving = gain_of_leaving(state, objective, vm)
        for at in range(targets):
            slot = suited[kind, at]
            if slot < 0:
                break
            machine, node = slot // 2, slot % 2
            if machine == source or not is_legal(state, vm, machine, node):
                continue
            gain = (
                leaving + cost_of(state, objective, machine) - cost_with(state, objective, vm, machine, node)
            )
            if count == len(moves) and gain + 0.5 * weight * objective.unit < scores[count - 1]:
                continue
            score = gain + weight * (
                shapes[source] + shapes[machine] - _shape_after(state, objective, vm, machine, node)
            )
            if count == len(moves) and score <= scores[count - 1]:
                continue
            at_row = min(count, len(moves) - 1)
            while at_row > 0 and score > scores[at_row - 1]:
                moves[at_row], gains[at_row] = moves[at_row - 1], gains[at_row - 1]
                scores[at_row], marks[at_row] = scores[at_row - 1], marks[at_row - 1]
                at_row -= 1
            moves[at_row, VM], moves[at_row, MACHINE], moves[at_row, NODE] = vm, machine, node
            gains[at_row], scores[at_row] = gain, score
            marks[at_row] = placed_mark(kind, machine, node) - placed_mark(kind, source, own)
            count = min(count + 1, len(moves))
    return count


@compiled
def _shape_after(state: State, objective: Objective, vm: int, machine: int, node: int) -> float:
    """`_shape` of both machines if a VM migrated."""
    cores, double = state.vms[vm, 0], state.vms[vm, 2] != 0
    source, own = state.machine[vm], state.node[vm]
    for each in range(2):
        if double or each == own:
            state.free[source, each] += cores
        if double or each == node:
            state.free[machine, each] -= cores
    total = _shape(state, objective, source) + _shape(state, objective, machine)
    for each in range(2):
        if double or each == own:
            state.free[source, each] -= cores
        if double or each == node:
            state.free[machine, each] += cores
    return total


def beam_plan(start: State, objective: Objective, migrations: int, width: int, clock: Clock) -> Plan:
    """The best plan of a beam of `width` states, from `start`, which is not changed."""
    beam: list[tuple[State, list[tuple[int, int, int]]]] = [(copied(start), [])]
    best, least = beam[0][1], int(start.totals[0])
    moves, marks = np.empty((_MOVES, 3), np.int64), np.empty(_MOVES, np.int64)
    gains, scores = np.empty(_MOVES, np.int64), np.empty(_MOVES)
    for _ in range(migrations):
        children: list[tuple[float, int, int, tuple[int, int, int]]] = []
        for parent, (state, _) in enumerate(beam):
            count = best_moves(state, objective, _TARGETS, moves, gains, scores, marks)
            # Of a state: its cost, and how its free cores lie.
            base = int(state.totals[0]) + 0.5 * objective.weight * _spread(state, objective)
            for k in range(count):
                move: tuple[int, int, int] = tuple(moves[k].tolist())
                children.append(
                    (base - scores[k], _joined(int(state.totals[FINGERPRINT]), int(marks[k])), parent, move)
                )
            if clock.over():
                break
        if clock.over() or not children:
            break
        children.sort(key=lambda child: child[0])
        following: list[tuple[State, list[tuple[int, int, int]]]] = []
        seen: set[int] = set()
        for _, mark, parent, move in children:
            if mark in seen:
                continue
            seen.add(mark)
            state = copied(beam[parent][0])
            apply_move(state, objective, *move)
            following.append((state, [*beam[parent][1], move]))
            if len(following) == width:
                break
        beam = following
        for state, made in beam:
            if state.totals[0] < least:
                least, best = int(state.totals[0]), made
    return as_plan(best)


def _joined(fingerprint: int, mark: int) -> int:
    """Their sum in 64 bits."""
    return (fingerprint + mark) & 0xFFFF_FFFF_FFFF_FFFF


def _spread(state: State, objective: Objective) -> float:
    rest = state.free % objective.unit
    return float((rest * (objective.unit - rest)).sum()) / objective.unit


def beam_search(request: Request) -> Answer:
    """Beams of doubling width while there is time; the best plan of all."""
    simulation = request.simulation()
    best, least, width = as_plan([]), simulation.cost, _WIDTH // 4
    while width <= _WIDTH * 16 and (width == _WIDTH // 4 or request.clock.passed * 3 < request.seconds):
        plan = beam_plan(simulation.state, simulation.objective, request.migrations, width, request.clock)
        cost = int(simulation.play(plan[None])[1][0])
        if cost < least:
            best, least = plan, cost
        width *= 2
        if request.seconds == float("inf") and width > _WIDTH:
            break
    return Answer(shortened(request, best))
