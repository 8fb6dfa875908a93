"""Which VMs an empty server could hold at all; one that no server can hold would block a queue for ever."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.traces.trace import VmTrace

DOUBLE_MEMORY_THRESHOLD = 10.0
"""GiB; a VM with more memory is split in halves over two NUMA nodes of one server."""


def placeable(
    trace: VmTrace,
    node_cpu: float,
    node_memory: float,
    double_memory_threshold: float = DOUBLE_MEMORY_THRESHOLD,
    nodes: int = 2,
) -> npt.NDArray[np.bool_]:
    """Whether an empty server of `nodes` NUMA nodes can hold each VM, shape (n,).

    A VM with more than `double_memory_threshold` GiB needs half of its CPU and memory on each of two nodes,
    any other VM needs all of it on one node of `node_cpu` cores and `node_memory` GiB.
    """
    double = trace.memory > double_memory_threshold
    share = np.where(double, 0.5, 1.0)
    fits = (trace.cpu * share <= node_cpu) & (trace.memory * share <= node_memory)
    return fits & ~double if nodes < 2 else fits


def check_fits(
    trace: VmTrace,
    node_cpu: float,
    node_memory: float,
    double_memory_threshold: float = DOUBLE_MEMORY_THRESHOLD,
    nodes: int = 2,
) -> None:
    """Raise a `UserError` that names the first VM no empty server can hold (see `placeable`)."""
    fits = placeable(trace, node_cpu, node_memory, double_memory_threshold, nodes)
    if fits.all():
        return
    vm = int(np.argmin(fits))
    raise UserError(
        f"{trace.name}: VM {vm} ({trace.cpu[vm]:g} CPU, {trace.memory[vm]:g} GiB) fits no empty server of "
        f"{nodes} x ({node_cpu:g} CPU, {node_memory:g} GiB), {int((~fits).sum()):,} such VMs in all; "
        "use larger servers or drop these VMs"
    )


def drop_unplaceable(
    trace: VmTrace,
    node_cpu: float,
    node_memory: float,
    double_memory_threshold: float = DOUBLE_MEMORY_THRESHOLD,
    nodes: int = 2,
) -> tuple[VmTrace, int]:
    """The trace without VMs that no empty server can hold (see `placeable`), and how many were dropped."""
    fits = placeable(trace, node_cpu, node_memory, double_memory_threshold, nodes)
    if fits.all():
        return trace, 0
    return trace.select(fits), int((~fits).sum())
