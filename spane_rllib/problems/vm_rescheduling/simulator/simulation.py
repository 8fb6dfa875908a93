"""Mappings as states of the compiled rules, and plans checked against them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.problems.vm_rescheduling.mappings.mapping import Mapping
from spane_rllib.problems.vm_rescheduling.simulator.objectives import Objective, make_objective
from spane_rllib.problems.vm_rescheduling.simulator.rules import (
    COST,
    FINGERPRINT,
    MACHINE,
    NODE,
    VM,
    State,
    apply_move,
    legal_targets,
    movable,
    play_plans,
)

Plan = npt.NDArray[np.int64]
"""(K, 3) migrations in order: VM, target machine, target node (0 for a double VM)."""


def new_state(mapping: Mapping, objective: Objective) -> State:
    """The state that a mapping is, with its cost; the fingerprint is 0 at the start."""
    share = 1 + mapping.double
    group = mapping.group
    size = np.stack([mapping.cores // share, mapping.memory // share, mapping.double, group], axis=1)
    kind = np.unique(size, axis=0, return_inverse=True)[1].reshape(-1)
    members = np.zeros((mapping.machines, len(mapping.group_ids)), np.int64)
    grouped = group >= 0
    np.add.at(members, (mapping.machine[grouped], group[grouped]), 1)
    state = State(
        vms=np.ascontiguousarray(np.concatenate([size, kind[:, None]], axis=1), np.int64),
        free=mapping.free_cores,
        memory=mapping.free_memory,
        machine=mapping.machine.copy(),
        node=mapping.node.copy(),
        members=members,
        totals=np.zeros(2, np.int64),
    )
    state.totals[COST] = total_cost(state, objective)
    return state


def total_cost(state: State, objective: Objective) -> int:
    """The cost of all machines, counted anew."""
    free, memory = state.free, state.memory
    cost = objective.weight * int((free % objective.unit).sum())
    if objective.large_weight:
        slots = free.min(axis=1) // (objective.large // 2)
        cost += objective.large_weight * (int(free.sum()) - objective.large * int(slots.sum()))
    if objective.memory_weight:
        cost += objective.memory_weight * int((memory % objective.memory_unit).sum())
    return cost


def copied(state: State) -> State:
    """A state of its own; what never changes is shared."""
    return State(state.vms, *(array.copy() for array in state[1:]))


class Simulation:
    """A mapping that changes by migrations.

    Args:
        mapping: where it begins.
        objective: as `objectives.make_objective` knows it.
    """

    def __init__(self, mapping: Mapping, objective: str = "fr16") -> None:
        self.mapping = mapping
        free = int(mapping.free_cores.sum()), int(mapping.free_memory.sum())
        self.objective = make_objective(objective, *free)
        self.state = new_state(mapping, self.objective)
        self._start = copied(self.state)
        self._done: list[tuple[int, int, int]] = []

    @property
    def cost(self) -> int:
        """What is to become small, a whole number."""
        return int(self.state.totals[COST])

    @property
    def value(self) -> float:
        """The objective: for `fr16` the fragment rate."""
        return self.objective.value(self.cost)

    @property
    def fingerprint(self) -> int:
        """Equal states have equal ones; VMs of the same size and group may have changed places."""
        return int(self.state.totals[FINGERPRINT])

    def legal_targets(self, vm: int) -> npt.NDArray[np.bool_]:
        """(P, 2) where a VM may migrate; for a double VM node 0 stands for both."""
        targets = np.empty((self.mapping.machines, 2), np.bool_)
        legal_targets(self.state, vm, targets)
        return targets

    def movable(self) -> npt.NDArray[np.bool_]:
        """(V,) which VMs may migrate anywhere."""
        can = np.empty(self.mapping.vms, np.bool_)
        movable(self.state, can)
        return can

    def migrate(self, vm: int, machine: int, node: int) -> int:
        """Make a migration; returns by how much the cost falls.

        Raises:
            ValueError: it is not legal.
        """
        # Of bool and such the compiled function would need a version of its own.
        vm, machine, node = int(vm), int(machine), int(node)
        where = (
            (vm, int(self.state.machine[vm]), int(self.state.node[vm])) if 0 <= vm < self.mapping.vms else ()
        )
        gain = int(apply_move(self.state, self.objective, vm, machine, node))
        if gain == np.iinfo(np.int64).min:
            raise ValueError(f"VM {vm} may not migrate to node {node} of machine {machine}")
        self._done.append(where)  # type: ignore[arg-type]
        return gain

    def undo(self) -> None:
        """Take back the last migration."""
        apply_move(self.state, self.objective, *self._done.pop())

    def play(self, plans: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Play (N, K, 3) plans side by side, each from the mapping.

        Returns:
            (N,) legal moves at the beginning of each plan, and (N,) the costs after them.
        """
        made, costs = np.empty(len(plans), np.int64), np.empty(len(plans), np.int64)
        state = copied(self._start)
        play_plans(self._start, state, self.objective, np.ascontiguousarray(plans, np.int64), made, costs)
        return made, costs

    def check(self, plan: Plan) -> None:
        """Raise a `UserError` unless every move of a plan is legal when its turn comes."""
        made, _ = self.play(plan[None])
        if made[0] < len(plan):
            vm, machine, node = plan[made[0]].tolist()
            ids = self.mapping.vm_ids, self.mapping.machine_ids
            known = 0 <= vm < len(ids[0]) and 0 <= machine < len(ids[1])
            what = (
                f"VM {ids[0][vm]} to host {ids[1][machine]}, NUMA {node}" if known else f"{vm, machine, node}"
            )
            raise UserError(one_line(f"move {made[0]} of the plan is not legal: {what}"))


def legal_prefix(mapping: Mapping, plan: Plan) -> int:
    """How many moves at the beginning of a plan are legal, one after the other."""
    return int(Simulation(mapping).play(plan[None])[0][0])


def as_plan(moves: list[tuple[int, int, int]]) -> Plan:
    """Moves as an array."""
    return np.array(moves, np.int64).reshape(-1, 3)


__all__ = ["MACHINE", "NODE", "VM", "Plan", "Simulation", "as_plan", "copied", "legal_prefix", "new_state"]
