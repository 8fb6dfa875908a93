"""Recording a plan for the viewer: the machines that it touches, and what every migration comes to."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spane_rllib.problems.recordings import write_recording
from spane_rllib.problems.vm_rescheduling.planners.planner import Request
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Plan

PROBLEM = "vm_rescheduling"
BOTH = 2
"""The node of a double VM in recordings."""


def record_plan(request: Request, plan: Plan, policy: str, file: Path) -> Path:
    """Write a plan as a recording; returns `file`."""
    mapping, simulation = request.mapping, request.simulation()
    rates, places = [simulation.value], []
    for vm, machine, node in plan.tolist():
        simulation.migrate(vm, machine, node)
        places.append((vm, machine, BOTH if mapping.double[vm] else node))
        rates.append(simulation.value)
    touched = np.unique(np.concatenate([plan[:, 1], mapping.machine[plan[:, 0]]])) if len(plan) else [0]
    row_of = {int(machine): row for row, machine in enumerate(touched)}
    vms = np.flatnonzero(np.isin(mapping.machine, touched))
    index_of = {int(vm): row for row, vm in enumerate(vms)}
    content = {
        "policy": policy,
        "mapping": mapping.name,
        "objective": request.objective,
        "migration_limit": request.migrations,
        "hosts": [mapping.machine_ids[machine] for machine in row_of],
        "capacity": mapping.capacity_cores[list(row_of)].tolist(),
        "vm_names": [mapping.vm_ids[vm] for vm in vms],
        "cores": (mapping.cores[vms] // (1 + mapping.double[vms])).tolist(),
        "placement": [
            [row_of[int(mapping.machine[vm])], BOTH if mapping.double[vm] else int(mapping.node[vm])]
            for vm in vms
        ],
        "moves": [[index_of[vm], row_of[machine], node] for vm, machine, node in places],
        "rates": rates,
    }
    write_recording(file, PROBLEM, content)
    return file
