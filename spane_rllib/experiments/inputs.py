"""From the sections of a configuration to a trace and the rows where episodes start."""

from __future__ import annotations

from typing import Any

from spane_rllib.experiments.tuning.config import ClusterSettings, SplitSettings, TraceSettings
from spane_rllib.problems.vm_scheduling.traces.loading import load_trace, resolve_source
from spane_rllib.problems.vm_scheduling.traces.placement import drop_unplaceable
from spane_rllib.problems.vm_scheduling.traces.splits import Splits, splits_of
from spane_rllib.problems.vm_scheduling.traces.trace import VmTrace


def configured_trace(settings: TraceSettings, cluster: ClusterSettings) -> VmTrace:
    """The trace that `settings` name; a `UserError` when it cannot be read."""
    source: Any = resolve_source(settings.source)
    if isinstance(source, dict) and settings.source in ("auto", "synthetic"):
        source = f"synthetic:vms={settings.synthetic_vms},seed={settings.synthetic_seed}"
    elif isinstance(source, dict):
        source = settings.source
    trace = load_trace(source, skip_invalid=settings.skip_invalid, never_ending=settings.never_ending)
    if settings.skip_invalid:
        trace, dropped = drop_unplaceable(
            trace, cluster.node_cpu, cluster.node_memory, cluster.double_memory_threshold
        )
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
