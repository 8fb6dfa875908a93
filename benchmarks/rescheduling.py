"""Plans of 50 migrations for the two published mappings, in processor time of one core."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from benchmarks.measuring import Row, seconds
from spane_rllib.core.compiling import compiled
from spane_rllib.problems.vm_rescheduling.mappings.loading import read_mapping
from spane_rllib.problems.vm_rescheduling.planners.names import planner
from spane_rllib.problems.vm_rescheduling.planners.planner import Request, random_plan
from spane_rllib.problems.vm_rescheduling.policies import warm_up
from spane_rllib.problems.vm_rescheduling.simulator.objectives import Objective
from spane_rllib.problems.vm_rescheduling.simulator.rules import State, legal_targets, migrate
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Simulation

_TOPIC = "rescheduling"
_SECONDS = 5.0


@compiled
def _migrate_and_back(state: State, objective: Objective, targets: npt.NDArray[np.bool_], times: int) -> None:
    """`times` masks, each followed by a migration to the first machine of the mask and the way back."""
    for k in range(times):
        vm = k % len(state.vms)
        legal_targets(state, vm, targets)
        machine, node = state.machine[vm], state.node[vm]
        for target in range(len(targets)):
            if targets[target, 0] or targets[target, 1]:
                migrate(state, objective, vm, target, 0 if targets[target, 0] else 1)
                migrate(state, objective, vm, machine, node)
                break


def measure(quick: bool) -> list[Row]:
    """Seconds of `ha` and `search` and the fragment rates of all planners, and microseconds of a mask."""
    rows = []
    names = ("ha", "search") if quick else ("ha", "balcon", "vbpp", "mcts", "beam", "search")
    goals = {"medium": (0.59, 0.57), "large": (0.583, None)}
    for size in ("medium", "large"):
        mapping = read_mapping(f"{size}@published")
        for name in names:
            warm_up(name)
            begun = time.process_time()
            # HiGHS counts wall-clock time, so `search` gets more and is measured by what it needs.
            limit = 60.0 if name == "search" else _SECONDS
            request = Request(mapping, 50, limit, now=time.process_time)
            plan = planner(name)(request).plan
            taken = time.process_time() - begun
            simulation = request.simulation()
            rate = simulation.objective.value(int(simulation.play(plan[None])[1][0]))
            target, moonshot = goals[size] if name == "search" else (None, None)
            rows.append(Row(_TOPIC, f"{name}, {size}: fragment rate", "", (rate,), target, moonshot))
            limits = {"search": (5.0, None), "ha": (0.005, 0.001)}.get(name, (None, None))
            rows.append(Row(_TOPIC, f"{name}, {size}: processor time", "s", (taken,), *limits))
    mapping = read_mapping("medium@published")
    simulation = Simulation(mapping)
    targets = np.empty((mapping.machines, 2), np.bool_)
    _migrate_and_back(simulation.state, simulation.objective, targets, 1)
    repeats = 1 if quick else 5
    count = 1000 if quick else 300_000
    taken = seconds(
        lambda: _migrate_and_back(simulation.state, simulation.objective, targets, count), repeats
    )
    name = "279 machines: a mask, a migration and the way back"
    rows.append(Row(_TOPIC, name, "us", tuple(1e6 * each / count for each in taken), 3.0))
    plans = np.stack([random_plan(Request(mapping, 50, seed=seed)).plan for seed in range(8)])
    plans = np.tile(plans, (128, 1, 1))
    taken = seconds(lambda: simulation.play(plans), repeats)
    name = "1,024 plans of 50 migrations in one call, of a migration"
    rows.append(Row(_TOPIC, name, "us", tuple(1e6 * each / plans[..., 0].size for each in taken)))
    [once] = seconds(lambda: [simulation.legal_targets(vm) for vm in range(1000)], 1)
    rows.append(Row(_TOPIC, "mask of 279 machines, from Python", "us", (1e3 * once,)))
    return rows
