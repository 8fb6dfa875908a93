"""Plans of 50 migrations for the two published mappings, in processor time of one core."""

from __future__ import annotations

import time

from benchmarks.measuring import Row, seconds
from spane_rllib.problems.vm_rescheduling.mappings.loading import read_mapping
from spane_rllib.problems.vm_rescheduling.planners.names import planner
from spane_rllib.problems.vm_rescheduling.planners.planner import Request
from spane_rllib.problems.vm_rescheduling.policies import warm_up
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Simulation

_TOPIC = "rescheduling"
_SECONDS = 5.0


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
    simulation = Simulation(read_mapping("medium@published"))
    masks = 1000 if quick else 100_000
    [taken] = seconds(lambda: [simulation.legal_targets(vm % 2000) for vm in range(masks)], 1)
    rows.append(Row(_TOPIC, "mask of 279 machines, from Python", "us", (1e6 * taken / masks,), 3.0))
    return rows
