"""From settings to a trace and the rows where episodes start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.datasets.vm_traces.loading import load_trace, resolve_source
from spane_rllib.datasets.vm_traces.splits import Splits, splits_of
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.placement import drop_unplaceable
from spane_rllib.problems.vm_scheduling.settings import SplitSettings, TraceSettings

Double = Callable[[npt.ArrayLike, npt.ArrayLike], npt.NDArray[np.bool_]]
"""Whether VMs of so many cores and GiB are split over both nodes of a server."""


def configured_trace(settings: TraceSettings, double: Double, node_sizes: npt.ArrayLike) -> VmTrace:
    """The trace that `settings` name; a `UserError` when it cannot be read.

    Args:
        settings: with `skip_invalid`, VMs that no server can hold are left out too.
        double: of the servers.
        node_sizes: (K, 2) cores and GiB of a node of each kind of server.
    """
    source: Any = resolve_source(settings.source)
    if isinstance(source, dict) and settings.source in ("auto", "synthetic"):
        source = f"synthetic:vms={settings.synthetic_vms},seed={settings.synthetic_seed}"
    elif isinstance(source, dict):
        source = settings.source
    trace = load_trace(source, skip_invalid=settings.skip_invalid, never_ending=settings.never_ending)
    if settings.skip_invalid:
        trace, dropped = drop_unplaceable(trace, double(trace.cpu, trace.memory), node_sizes)
        if dropped:
            print(f"left out {dropped:,} VMs that no server can hold")
    return trace


def configured_splits(settings: SplitSettings | None, trace: VmTrace) -> Splits:
    """The rows at which episodes of each split start."""
    if settings is None:
        return splits_of(trace)

    def rows(interval: tuple[float, float]) -> tuple[int, int]:
        low, high = (min(int(share * len(trace)), len(trace) - 1) for share in interval)
        return low, high

    return Splits(train=rows(settings.train), validation=rows(settings.validation), test=rows(settings.test))
