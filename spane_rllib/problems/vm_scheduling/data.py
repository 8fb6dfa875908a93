"""From settings to a trace and the rows where episodes start."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.core.settings import validated
from spane_rllib.core.yaml_files import find_yaml, read_mapping
from spane_rllib.datasets.vm_traces.loading import load_trace, resolve_source
from spane_rllib.datasets.vm_traces.splits import Splits, splits_of
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.placement import drop_unplaceable
from spane_rllib.problems.vm_scheduling.settings import ClusterSettings, SplitSettings, TraceSettings
from spane_rllib.problems.vm_scheduling.simulator import Cluster
from spane_rllib.problems.vm_scheduling.simulator.cluster import ServerGroup

Double = Callable[[npt.ArrayLike, npt.ArrayLike], npt.NDArray[np.bool_]]
"""Whether VMs of so many cores and GiB are split over both nodes of a server."""


def configured_trace(settings: TraceSettings, double: Double, node_sizes: npt.ArrayLike) -> VmTrace:
    """The trace that `settings` name; a `UserError` when it cannot be read.

    Args:
        settings: with `skip_invalid`, VMs that no server can hold are left out too.
        double: of the servers.
        node_sizes: of each kind of server; see `placeable`.
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


def configured_cluster(settings: ClusterSettings) -> Cluster:
    """The servers that `settings` say."""
    if settings.server_groups is None:
        return Cluster(**settings.model_dump(exclude={"server_groups"}))
    groups = (ServerGroup(**group.model_dump()) for group in settings.server_groups)
    return Cluster.of_groups(groups, settings.double_memory_threshold)


def read_cluster(file: str | os.PathLike[str]) -> ClusterSettings:
    """The servers in a YAML file of the keys under `cluster` in configurations; raises `UserError`."""
    where, data = read_mapping(find_yaml(Path(file), {}), "server_groups: ..., double_memory_threshold: ...")
    return validated(ClusterSettings, data, where)


def configured_splits(settings: SplitSettings | None, trace: VmTrace) -> Splits:
    """The rows at which episodes of each split start."""
    if settings is None:
        return splits_of(trace)

    def rows(interval: tuple[float, float]) -> tuple[int, int]:
        low, high = (min(int(share * len(trace)), len(trace) - 1) for share in interval)
        return low, high

    return Splits(train=rows(settings.train), validation=rows(settings.validation), test=rows(settings.test))
