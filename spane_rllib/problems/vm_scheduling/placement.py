"""Which VMs an empty server can hold at all; one that no server can hold would block a queue for ever."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.datasets.vm_traces.trace import VmTrace

_TOLERANCE = 1e-6  # finer than any unit that resources are counted in


def placeable(
    trace: VmTrace, double: npt.NDArray[np.bool_], node_sizes: npt.ArrayLike
) -> npt.NDArray[np.bool_]:
    """Whether some empty server can hold each VM, shape (n,).

    Args:
        trace: n VMs.
        double: (n,) whether a VM is split in halves over the two nodes of a server.
        node_sizes: (K, 2) cores and GiB of a node of each kind of server, or (K, 2, 2) of both its nodes.
    """
    share = np.where(double, 0.5, 1.0)
    need = np.stack([trace.cpu * share, trace.memory * share], axis=1)
    fits = np.zeros(len(trace), np.bool_)
    for kind in np.asarray(node_sizes, np.float64):
        first, second = (np.all(need <= node + _TOLERANCE, axis=1) for node in np.broadcast_to(kind, (2, 2)))
        fits |= np.where(double, first & second, first | second)
    return fits


def drop_unplaceable(
    trace: VmTrace, double: npt.NDArray[np.bool_], node_sizes: npt.ArrayLike
) -> tuple[VmTrace, int]:
    """The trace without VMs that no empty server can hold (see `placeable`), and how many were dropped."""
    fits = placeable(trace, double, node_sizes)
    if fits.all():
        return trace, 0
    return trace.select(fits), int((~fits).sum())
