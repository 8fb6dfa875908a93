"""Observations of a mapping: what networks see of machines and VMs, and what masks are made of.

The columns are those of the published environment (VMR2L), with their names for what is free on a node: f
cores, m MB, r = (f mod 16) / f and q = (f mod 16) / 16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.vm_rescheduling.mappings.mapping import NODE_CORES, NODE_MEMORY
from spane_rllib.problems.vm_rescheduling.simulator.rules import CORES, DOUBLE, GROUP, MEMORY, State

Array = npt.NDArray[Any]

MACHINE_CORES, MACHINE_MEMORY = 2 * NODE_CORES, 2 * NODE_MEMORY
_UNIT = 16
MACHINE_COLUMNS, OWN_COLUMNS = 8, 6
BOTH = 2
"""The node of a double VM in observations."""


def machine_features(free: Array, memory: Array) -> Array:
    """(P, 8) [f0, f1 as shares of 88 cores, m0, m1 of 368,776 MB, r0, q0, r1, q1] of (P, 2) free cores and
    MB."""
    rest = free % _UNIT
    relative = np.divide(rest, free, out=np.zeros(free.shape), where=free > 0)
    fragments = np.stack([relative, rest / _UNIT], axis=2).reshape(len(free), 4)
    columns = [free / MACHINE_CORES, memory / MACHINE_MEMORY, fragments]
    return np.concatenate(columns, axis=1).astype(np.float32)


def corrupted_features(before: Array, correct: Array, machine: int, node: int, arrives: bool) -> None:
    """What the published environment writes after a single VM has left or reached a node.

    It takes the columns of q and r for those of node 0 and 1 (one further right for each node): r of the node
    goes to column 4 + node and q to 5 + node, on arrival q to both. Changes `before`, (P, 8), in place.
    """
    row = before[machine]
    row[:4] = correct[machine, :4]
    r, q = correct[machine, 4 + 2 * node], correct[machine, 5 + 2 * node]
    row[4 + node], row[5 + node] = (q, q) if arrives else (r, q)


def own_features(state: State) -> Array:
    """(V, 6) [cores on node 0 and 1 as shares of 88, MB of 368,776, (cores mod 16) / 16 on each]."""
    vms = state.vms
    double = vms[:, DOUBLE] != 0
    on = np.stack([double | (state.node == node) for node in (0, 1)], axis=1)
    cores, memory = vms[:, [CORES]] * on, vms[:, [MEMORY]] * on
    return np.concatenate(
        [cores / MACHINE_CORES, memory / MACHINE_MEMORY, cores % _UNIT / _UNIT], axis=1
    ).astype(np.float32)


def padded(array: Array, rows: int, value: float = 0) -> Array:
    """`array` with further rows of `value`."""
    result = np.full((rows, *array.shape[1:]), value, array.dtype)
    result[: len(array)] = array
    return result


def observation_of(state: State, rows: int, steps_left: float) -> dict[str, Array]:
    """What every observation has; see `env`. Rows behind the V VMs are padding.

    Args:
        state: of the mapping.
        rows: VMs to make room for.
        steps_left: share of the migrations that is left.
    """
    double = state.vms[:, DOUBLE] != 0
    demand = state.vms[:, [CORES, MEMORY, GROUP]].astype(np.int32)
    return {
        "machines": machine_features(state.free, state.memory),
        "vms": padded(own_features(state), rows),
        "host": padded(state.machine.astype(np.int32), rows, -1),
        "node": padded(np.where(double, BOTH, state.node).astype(np.int32), rows, -1),
        "demand": padded(demand, rows, -1),
        "free": np.concatenate([state.free, state.memory], axis=1).astype(np.int32),
        "steps_left": np.array([steps_left], np.float32),
    }
