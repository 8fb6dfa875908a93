"""The best exchange of VMs between machines, by column generation: a near-optimal end state with a bound.

What becomes of each NUMA node, or of a machine with its double VMs, is one of many options (`pricing`). A
linear program chooses among those found so far: at most one for each node, as many VMs of each class come as
leave, no more than M leave. Its shadow prices say what a VM of each class and a migration are worth; with
them the options of every machine are priced by dynamic programs, and those that would improve the program
join it (Dantzig and Wolfe 1960; Gilmore and Gomory 1961). When none does, the program is solved over all
options there are. Since only the classes and the limit couple the machines, its solution has few fractions,
and an integer program over the options at hand closes the rest.

At any prices, M times the price of a migration plus the sum of what the machines' best options are worth
bounds what M migrations can reach, in whatever order (Lagrangian bound). Memory and anti-affinity are left
out of the bound, which holds with them too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.vm_rescheduling.planners.clock import Clock
from spane_rllib.problems.vm_rescheduling.planners.highs import new_program
from spane_rllib.problems.vm_rescheduling.planners.pricing import Classes, Prices, price_options
from spane_rllib.problems.vm_rescheduling.simulator.objectives import Objective
from spane_rllib.problems.vm_rescheduling.simulator.rules import CORES, DOUBLE, MEMORY, State

_MOST_OPTIONS = 100_000
_MOST_ROUNDS = 500
_SHARE = 0.7
"""Of the time for all of a solution; the rest is left to put it in order."""


@dataclass(frozen=True)
class Options:
    """N chosen options.

    Args:
        rows: (N, 2) machine and node, 2 for the whole machine.
        changes: (N, 3, L) VMs that leave node 0, node 1 and both, by class of single and of double VMs;
            negative: that come.
    """

    rows: npt.NDArray[np.int64]
    changes: npt.NDArray[np.int64]

    @property
    def migrations(self) -> int:
        """VMs that leave."""
        return int(np.maximum(self.changes, 0).sum())


class Exchange:
    """Chooses an end state for a mapping; objectives of cores alone.

    Args:
        state: where VMs are.
        objective: what is to become small.
    """

    def __init__(self, state: State, objective: Objective) -> None:
        self.classes, self.class_of, self._worth_unit = _classes(state, objective)
        self._objective, self._cost = objective, int(state.totals[0])
        classes = self.classes
        self._machines = len(classes.free)
        self._singles, self._doubles = len(classes.single), len(classes.double)
        self._nodes = 2 * self._machines
        length = max(self._singles, self._doubles)
        self._rows = np.zeros((_MOST_OPTIONS, 2), np.int64)
        self._changes = np.zeros((_MOST_OPTIONS, 3, length), np.int64)
        self._values = np.zeros(_MOST_OPTIONS)
        self._pool: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
        self._seen: set[bytes] = set()
        self._program = self._empty_program()
        self._duals = np.zeros(self._nodes + self._singles + self._doubles + 1)
        # Prices to begin with: cores are worth half of what a slot of them is, a migration a third of a slot.
        size = np.concatenate([classes.single, 2 * classes.double])
        self._duals[self._nodes : -1] = 0.5 * size * classes.worth[-1, -1] / (2 * classes.capacity)
        self._duals[-1] = 1 / 3
        self.bound = math.inf

    def solve(self, migrations: int, clock: Clock) -> Options:
        """The best options found for at most so many migrations; sets `bound`, the most worth there can
        be."""
        self.relax(migrations, clock)
        chosen = self._integer(clock)
        rows = np.concatenate([rows for rows, _ in self._pool] or [self._rows[:0]])
        changes = np.concatenate([changes for _, changes in self._pool] or [self._changes[:0]])
        return Options(rows[chosen], changes[chosen])

    def relax(self, migrations: int, clock: Clock) -> None:
        """Find the options that the fractional program needs, and the bound."""
        import highspy

        program = self._program
        program.changeRowBounds(self._program.getNumRow() - 1, -highspy.kHighsInf, float(migrations))
        self.bound = math.inf
        for number in range(_MOST_ROUNDS):
            count, total = self._price(0.0, every=False)
            self.bound = min(self.bound, total + self._duals[-1] * migrations)
            added = self._add(count)
            # Nothing is added at first where the prices to begin with are too high.
            if (number and not added) or clock.over(0.5):
                break
            program.run()
            self._duals = np.array(program.getSolution().row_dual)
            self._duals[: self._nodes] = np.maximum(self._duals[: self._nodes], 0.0)
            self._duals[-1] = max(self._duals[-1], 0.0)

    @property
    def cost_bound(self) -> int:
        """No plan of so many migrations as `solve` was last called with has a lower cost."""
        if not math.isfinite(self.bound):
            return 0
        return max(0, math.ceil(self._cost - self._worth_unit * self._most(self.bound) - 1e-6))

    @property
    def _step(self) -> float:
        """What any two end states differ by at least, in worth."""
        objective = self._objective
        costs = objective.weight * objective.unit, objective.large_weight * objective.large
        return math.gcd(*costs) / self._worth_unit

    def _most(self, bound: float) -> float:
        return math.floor(bound / self._step + 1e-6) * self._step

    def _empty_program(self) -> Any:
        import highspy

        program = new_program()
        nodes, kinds = self._nodes, self._singles + self._doubles
        none = -highspy.kHighsInf
        low = np.concatenate([np.full(nodes, none), np.zeros(kinds), [none]])
        high = np.concatenate([np.ones(nodes), np.zeros(kinds + 1)])
        empty = np.zeros(0, np.int32)
        program.addRows(len(low), low, high, 0, np.zeros(len(low), np.int32), empty, np.zeros(0))
        program.changeObjectiveSense(highspy.ObjSense.kMaximize)
        return program

    def _price(self, slack: float, every: bool) -> tuple[int, float]:
        """Price all options; those that lose no more than -slack at the present prices are written down."""
        nodes, singles = self._nodes, self._singles
        kinds, per_migration = self._duals[nodes:-1], self._duals[-1]
        come_single, come_double = kinds[:singles].copy(), kinds[singles:].copy()
        least = np.empty((self._machines, 3))
        least[:, :2] = self._duals[:nodes].reshape(-1, 2)
        least[:, 2] = least[:, 0] + least[:, 1]
        prices = Prices(-come_single - per_migration, come_single, -come_double - per_migration, come_double)
        found = price_options(
            self.classes, prices, least + slack, every, self._rows, self._changes, self._values
        )
        return int(found[0]), float(found[1])

    def _add(self, count: int) -> int:
        """Add the options just priced to the program; returns how many were new."""
        rows, changes = self._rows[:count], self._changes[:count]
        keys = [rows[i].tobytes() + changes[i].tobytes() for i in range(count)]
        new = [i for i, key in enumerate(keys) if key not in self._seen]
        if not new:
            return 0
        self._seen.update(keys)
        rows, changes, values = rows[new].copy(), changes[new].copy(), self._values[new]
        self._pool.append((rows, changes))
        nodes, singles, doubles = self._nodes, self._singles, self._doubles
        machine, which = rows[:, 0], rows[:, 1]
        coupled = np.concatenate(
            [
                (which != 1)[:, None],
                (which != 0)[:, None],
                changes[:, 0, :singles] + changes[:, 1, :singles],
                changes[:, 2, :doubles],
                np.maximum(changes, 0).sum((1, 2))[:, None],
            ],
            axis=1,
        ).astype(np.float64)
        index = np.empty(coupled.shape, np.int32)
        index[:, 0], index[:, 1] = 2 * machine, 2 * machine + 1
        index[:, 2:] = np.arange(nodes, nodes + singles + doubles + 1)
        used = coupled != 0
        starts = np.concatenate([[0], np.cumsum(used.sum(1))[:-1]]).astype(np.int32)
        self._program.addCols(
            len(new),
            values,
            np.zeros(len(new)),
            np.ones(len(new)),
            int(used.sum()),
            starts,
            index[used],
            coupled[used],
        )
        return len(new)

    def _integer(self, clock: Clock) -> npt.NDArray[np.int64]:
        """The best whole choice of options.

        One that is worth no more than d less than the fractional one uses only options whose reduced cost is
        at most d. So the highest worth that the bound leaves is tried first, with few options, and then the
        next.
        """
        program = self._program
        program.run()
        solution = program.getSolution()
        chosen, worth = np.array(solution.col_value), program.getInfo().objective_function_value
        best = np.flatnonzero(chosen > 0.5)
        if np.abs(chosen - chosen.round()).max(initial=0.0) < 1e-6:
            return best
        best, reached, target, extended = best[:0], 0.0, self._most(self.bound), False
        while reached < target - 1e-6 and not clock.over(_SHARE):
            slack = worth - target + 1e-3
            found = self._within(slack, clock)
            value = float(self._worth(found))
            if value > reached + 1e-6:
                best, reached = found, value
            if reached >= target - 1e-6:
                break
            # Before the aim is lowered, the options that it could be reached with join.
            if extended or not self._add(self._price(-slack, every=True)[0]):
                target, extended = target - max(self._step, 0.25), False
            else:
                extended = True
        return best

    def _worth(self, columns: npt.NDArray[np.int64]) -> float:
        return np.array(self._program.getLp().col_cost_)[columns].sum() if len(columns) else 0.0

    def _within(self, slack: float, clock: Clock) -> npt.NDArray[np.int64]:
        """The best whole choice among the options whose reduced cost is at most `slack`."""
        import highspy

        program, kinds = self._program, highspy.HighsVarType
        program.run()
        columns = program.getNumCol()
        indices, zeros = np.arange(columns, dtype=np.int32), np.zeros(columns)
        near = np.array(program.getSolution().col_dual) >= -slack
        program.changeColsBounds(columns, indices, zeros, near.astype(np.float64))
        program.changeColsIntegrality(columns, indices, np.full(columns, kinds.kInteger))
        program.setOptionValue("time_limit", max(0.05, clock.left(_SHARE)) + program.getRunTime())
        program.run()
        solution = program.getSolution()
        found = np.flatnonzero(np.array(solution.col_value) > 0.5) if solution.value_valid else indices[:0]
        program.changeColsIntegrality(columns, indices, np.full(columns, kinds.kContinuous))
        program.changeColsBounds(columns, indices, zeros, np.ones(columns))
        program.setOptionValue("time_limit", highspy.kHighsInf)
        return found.astype(np.int64)


def _classes(state: State, objective: Objective) -> tuple[Classes, npt.NDArray[np.int64], float]:
    """Classes of a state, the class of every VM, and what a worth of 1 is in cost."""
    vms = state.vms
    unit = int(np.gcd.reduce(np.concatenate([vms[:, CORES], state.free.ravel(), [objective.unit]])))
    if objective.large_weight:
        unit = math.gcd(unit, objective.large // 2)
    double = vms[:, DOUBLE] != 0
    sizes: list[npt.NDArray[np.int64]] = []
    class_of = np.zeros(len(vms), np.int64)
    for which in (~double, double):
        kinds, inverse = np.unique(vms[which][:, [CORES, MEMORY]], axis=0, return_inverse=True)
        class_of[which] = inverse.reshape(-1)
        sizes.append(kinds)
    machines = len(state.free)
    on_node = np.zeros((machines, 2, len(sizes[0])), np.int64)
    np.add.at(on_node, (state.machine[~double], state.node[~double], class_of[~double]), 1)
    on_machine = np.zeros((machines, len(sizes[1])), np.int64)
    np.add.at(on_machine, (state.machine[double], class_of[double]), 1)
    used = np.zeros((machines, 2), np.int64)
    np.add.at(used, (state.machine[~double], state.node[~double]), vms[~double, CORES])
    np.add.at(used, state.machine[double], vms[double, CORES][:, None])
    top = int((state.free + used).max()) // unit
    free = np.arange(top + 1) * unit
    weight = objective.weight + objective.large_weight
    node_worth = objective.weight * (free - free % objective.unit)
    slots = np.minimum.outer(free, free) // (objective.large // 2)
    worth = np.add.outer(node_worth, node_worth) + objective.large_weight * objective.large * slots
    worth_unit = objective.unit * weight
    classes = Classes(
        single=sizes[0][:, 0] // unit,
        double=sizes[1][:, 0] // unit,
        single_memory=sizes[0][:, 1].copy(),
        double_memory=sizes[1][:, 1].copy(),
        on_node=on_node,
        on_machine=on_machine,
        free=state.free // unit,
        memory=state.memory.copy(),
        capacity=top,
        worth=worth / worth_unit,
        node_worth=node_worth / worth_unit,
        separable=objective.separable,
    )
    return classes, class_of, float(worth_unit)
