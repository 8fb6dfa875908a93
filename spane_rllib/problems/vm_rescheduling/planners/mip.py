"""The whole mapping as an integer program on HiGHS, and the same on parts of the machines.

VMs of a class (cores, memory, on one node or both) are alike, so that how many of a class are on a node
replaces a variable for every VM and node (2022 release: about a million of them). The program fixes an end
state; `ordering` makes migrations of it. Small mappings with anti-affinity have a class for every group, and
rows that keep the members apart; in larger ones the order keeps them apart, and what that costs is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_rescheduling.planners.clock import Clock
from spane_rllib.problems.vm_rescheduling.planners.exchange import Options
from spane_rllib.problems.vm_rescheduling.planners.highs import new_program
from spane_rllib.problems.vm_rescheduling.planners.ordering import order_moves
from spane_rllib.problems.vm_rescheduling.planners.planner import Answer, Request, shortened
from spane_rllib.problems.vm_rescheduling.simulator.objectives import Objective
from spane_rllib.problems.vm_rescheduling.simulator.rules import CORES, DOUBLE, GROUP, MEMORY, State
from spane_rllib.problems.vm_rescheduling.simulator.simulation import as_plan, copied

_PARTS = 16
_SHARE = 0.85
"""Of the time for the program; the rest is left to put its end state in order."""
_MOST_GROUPED = 50_000
"""Places of classes up to which groups are told apart."""


@dataclass(frozen=True)
class EndState:
    """What a program has found: options, the class of every VM, and a lower bound on the cost."""

    options: Options
    class_of: npt.NDArray[np.int64]
    cost_bound: float


def integer_program(request: Request) -> Answer:
    """The whole mapping, within the time; the lower bound is the program's."""
    simulation = request.simulation()
    state, objective = simulation.state, simulation.objective
    found = solve(state, objective, np.arange(len(state.free)), request.migrations, request.clock, _SHARE)
    ordered = order_moves(found, found.options, state, objective, request.migrations, request.clock)
    bound = objective.value(max(0, math.ceil(found.cost_bound - 1e-6)))
    return Answer(shortened(request, as_plan(ordered.moves)), bound)


def partitioned_program(request: Request) -> Answer:
    """POP (Narayanan et al., SOSP 2021): 16 contiguous parts of the machines, each with its share of the
    migrations and of the time."""
    simulation = request.simulation()
    objective, state = simulation.objective, copied(simulation.state)
    parts = np.array_split(np.arange(len(state.free)), min(_PARTS, len(state.free)))
    limits = np.diff(np.arange(len(parts) + 1) * request.migrations // len(parts))
    moves: list[tuple[int, int, int]] = []
    for number, (machines, limit) in enumerate(zip(parts, limits.tolist(), strict=True)):
        if limit == 0:
            continue
        share = _SHARE * (number + 1) / len(parts)
        found = solve(state, objective, machines, limit, request.clock, share)
        ordered = order_moves(found, found.options, state, objective, limit, request.clock)
        if ordered.state.totals[0] < state.totals[0]:
            moves += ordered.moves
            state = ordered.state
    return Answer(shortened(request, as_plan(moves)))


def solve(
    state: State,
    objective: Objective,
    machines: npt.NDArray[np.int64],
    migrations: int,
    clock: Clock,
    share: float,
) -> EndState:
    """The best end state of some machines.

    Args:
        state: where VMs are; those on other machines stay.
        machines: (P,) numbers of the machines.
        migrations: at most.
        clock: ends the search at this `share` of its time.
    """
    if objective.memory_weight and objective.large_weight:
        raise UserError("the integer program knows one further part of an objective, not two")
    import highspy

    model = _Model(state, objective, machines, migrations)
    highs = model.program
    highs.setOptionValue("time_limit", clock.left(share) if math.isfinite(clock.seconds) else 3600.0)
    highs.run()
    info, solution = highs.getInfo(), highs.getSolution()
    values = np.array(solution.col_value) if solution.value_valid else None
    bound = info.mip_dual_bound if highs.getModelStatus() != highspy.HighsModelStatus.kNotset else -math.inf
    return EndState(model.options(values), model.class_of, model.offset + max(bound, -1e15))


class _Model:
    """The program: counts of classes on places, slots, and how many VMs leave."""

    def __init__(
        self, state: State, objective: Objective, machines: npt.NDArray[np.int64], migrations: int
    ) -> None:
        self._machines = machines
        count = len(machines)
        local = np.full(len(state.free), -1, np.int64)
        local[machines] = np.arange(count)
        inside = local[state.machine] >= 0
        columns = [DOUBLE, CORES, MEMORY]
        grouped = bool((state.vms[inside, GROUP] >= 0).any())
        if grouped:
            classes = len(np.unique(state.vms[inside][:, [*columns, GROUP]], axis=0))
            grouped = classes * 2 * count <= _MOST_GROUPED
        if grouped:
            columns.append(GROUP)
        kinds, inverse = np.unique(state.vms[inside][:, columns], axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        self._singles = int((kinds[:, 0] == 0).sum())
        # Classes are counted anew for VMs on one node and on both, as options do.
        self.class_of = np.full(len(state.vms), -1, np.int64)
        self.class_of[inside] = np.where(inverse < self._singles, inverse, inverse - self._singles)
        double = kinds[:, 0] != 0
        # (class, place) pairs: nodes for single VMs, machines for double ones.
        places = [
            (kind, place)
            for kind in range(len(kinds))
            for place in range(count if double[kind] else 2 * count)
        ]
        self._kind, self._place = np.array(places, np.int64).T
        here = np.zeros((len(kinds), 2 * count), np.int64)
        on = local[state.machine[inside]]
        at = np.where(double[inverse], on, 2 * on + state.node[inside])
        np.add.at(here, (inverse, at), 1)
        self._now = here[self._kind, self._place]
        self._build(state, objective, kinds, double, here.sum(axis=1), migrations, grouped)

    def _build(
        self,
        state: State,
        objective: Objective,
        kinds: npt.NDArray[np.int64],
        double: npt.NDArray[np.bool_],
        totals: npt.NDArray[np.int64],
        migrations: int,
        grouped: bool,
    ) -> None:
        import highspy

        machines, n = self._machines, len(self._kind)
        count = len(machines)
        used = np.zeros((2, count, 2), np.int64)
        for resource, column in enumerate((1, 2)):
            amounts = kinds[self._kind, column] * self._now
            single = ~double[self._kind]
            np.add.at(used[resource].reshape(-1), self._place[single], amounts[single])
            np.add.at(used[resource], self._place[~single], amounts[~single, None])
        room = np.stack([state.free[machines], state.memory[machines]]) + used
        # Columns: counts x, slots y of nodes, slots w of machines or of memory, leaving VMs u.
        slots = objective.large_weight != 0 or objective.memory_weight != 0
        extra = (count if objective.large_weight else 2 * count) if slots else 0
        y, w, u = n, n + 2 * count, n + 2 * count + extra
        total = u + n
        cost = np.zeros(total)
        cost[y:w] = -objective.weight * objective.unit
        if objective.large_weight:
            cost[w:u] = -objective.large_weight * objective.large
        elif objective.memory_weight:
            cost[w:u] = -objective.memory_weight * objective.memory_unit
        upper = np.full(total, highspy.kHighsInf)
        upper[:n] = totals[self._kind]
        upper[u:] = self._now
        rows: list[tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]] = []
        low: list[npt.NDArray[Any]] = []
        high: list[npt.NDArray[Any]] = []

        def add(row: Any, column: Any, value: Any) -> None:
            row, column, value = np.broadcast_arrays(row, column, value)
            rows.append((row.ravel() + start, column.ravel(), value.ravel()))

        start, nodes = 0, np.arange(2 * count)
        single = np.flatnonzero(~double[self._kind])
        both = np.flatnonzero(double[self._kind])
        for resource, column in enumerate((1, 2)):
            size = kinds[self._kind, column]
            add(self._place[single], single, size[single])
            for node in range(2):
                add(2 * self._place[both] + node, both, size[both])
            if resource == 0:
                add(nodes, y + nodes, objective.unit)
            elif objective.memory_weight:
                add(nodes, w + nodes, objective.memory_unit)
            low.append(np.full(2 * count, -highspy.kHighsInf))
            high.append(room[resource].reshape(-1))
            start += 2 * count
        if objective.large_weight:  # w slots need half of their cores on each node
            size = kinds[self._kind, 1]
            add(self._place[single], single, size[single])
            for node in range(2):
                add(2 * self._place[both] + node, both, size[both])
            add(nodes, w + nodes // 2, objective.large // 2)
            low.append(np.full(2 * count, -highspy.kHighsInf))
            high.append(room[0].reshape(-1))
            start += 2 * count
        add(self._kind, np.arange(n), 1)
        low.append(totals)
        high.append(totals)
        start += len(totals)
        some = np.flatnonzero(self._now)  # x + u >= now
        add(np.arange(len(some)), some, 1)
        add(np.arange(len(some)), u + some, 1)
        low.append(self._now[some])
        high.append(np.full(len(some), highspy.kHighsInf))
        start += len(some)
        add(0, u + np.arange(n), 1)
        low.append(np.array([-highspy.kHighsInf]))
        high.append(np.array([migrations]))
        start += 1
        if grouped:
            group = kinds[self._kind, 3]
            member = np.flatnonzero(group >= 0)
            machine = np.where(double[self._kind[member]], self._place[member], self._place[member] // 2)
            pairs, row = np.unique(np.stack([group[member], machine]), axis=1, return_inverse=True)
            add(row.reshape(-1), member, 1)
            low.append(np.full(pairs.shape[1], -highspy.kHighsInf))
            high.append(np.ones(pairs.shape[1]))
        self.program = _program(cost, upper, rows, np.concatenate(low), np.concatenate(high))
        # Cost = weights * free cores (and MB) - what slots hold.
        free, memory = int(state.free.sum()), int(state.memory.sum())
        self.offset = float(
            (objective.weight + objective.large_weight) * free + objective.memory_weight * memory
        )

    def options(self, values: npt.NDArray[np.float64] | None) -> Options:
        """The end state as options; none where nothing was found."""
        n, singles = len(self._kind), self._singles
        length = max(singles, int(self._kind.max()) + 1 - singles)
        changes = np.zeros((len(self._machines), 3, length), np.int64)
        if values is not None:
            change = self._now - np.rint(values[:n]).astype(np.int64)
            single = self._kind < singles
            place = self._place
            np.add.at(changes, (place[single] // 2, place[single] % 2, self._kind[single]), change[single])
            np.add.at(changes, (place[~single], 2, self._kind[~single] - singles), change[~single])
        some = np.flatnonzero(changes.any(axis=(1, 2)))
        return Options(np.stack([self._machines[some], np.full(len(some), 2)], axis=1), changes[some])


def _program(cost: Any, upper: Any, rows: list[Any], low: Any, high: Any) -> Any:
    """A program of integers from 0 to `upper`, to be made as cheap as can be."""
    import highspy
    from scipy.sparse import coo_matrix

    row, column, value = (np.concatenate(part) for part in zip(*rows, strict=True))
    matrix = coo_matrix((value.astype(float), (row, column)), shape=(len(low), len(cost))).tocsc()
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(cost), len(low)
    model.col_cost_, model.col_lower_, model.col_upper_ = cost, np.zeros(len(cost)), upper
    model.row_lower_, model.row_upper_ = low.astype(float), high.astype(float)
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_ = matrix.indptr, matrix.indices
    model.a_matrix_.value_ = matrix.data
    model.integrality_ = [highspy.HighsVarType.kInteger] * len(cost)
    program = new_program()
    program.passModel(model)
    return program
