"""How long VMs go on running, learned from a trace: the chance to outlive a horizon by flavour and age."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from spane_rllib.traces.trace import VmTrace

AGE_EDGES_S = (60.0, 600.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0)
"""Ages are told apart by these; a VM of exactly an edge's age is above it."""
_MIDDLE_S = np.sqrt(np.array([20.0**2 / 60, *AGE_EDGES_S]) * np.array([*AGE_EDGES_S, 4 * AGE_EDGES_S[-1]]))
_FEWEST_VMS = 30


def survival_table(
    trace: VmTrace, rows: tuple[int, int], flavours: Sequence[tuple[float, float]], horizons: Sequence[float]
) -> npt.NDArray[np.float64]:
    """(K, A, F + 1) share of VMs that run for another horizon, among those that reached an age.

    Args:
        trace, rows: VMs of the half-open range `rows` are counted; give the training rows.
        flavours: F (cpu, GiB) pairs; the last column is for any other VM. A flavour of which fewer than 30
            VMs reached the age has the shares of that column.
        horizons: K times, seconds.
    """
    part = slice(*rows)
    lifetime = trace.lifetime[part]
    groups = [
        *((trace.cpu[part] == cpu) & (trace.memory[part] == memory) for cpu, memory in flavours),
        np.ones(len(lifetime), bool),
    ]
    table = np.zeros((len(horizons), len(_MIDDLE_S), len(groups)))
    for age, middle in enumerate(_MIDDLE_S):
        for column in reversed(range(len(groups))):
            reached = lifetime[groups[column] & (lifetime > middle)]
            for row, horizon in enumerate(horizons):
                if len(reached) >= _FEWEST_VMS:
                    table[row, age, column] = (reached > middle + horizon).mean()
                else:
                    table[row, age, column] = table[row, age, -1]
    return table
