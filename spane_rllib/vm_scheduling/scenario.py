"""What the environments are about: servers, trace, where episodes start and what is rewarded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from spane_rllib.errors import UserError
from spane_rllib.traces.loading import load_trace
from spane_rllib.traces.splits import Splits, splits_of
from spane_rllib.traces.trace import VmTrace
from spane_rllib.vm_scheduling.rewards import REWARDS, RewardFunction, Servers
from spane_rllib.vm_scheduling.simulator import Cluster, Workload, compile_workload, probe_vm_counts
from spane_rllib.vm_scheduling.simulator.cluster import NODES_PER_SERVER
from spane_rllib.vm_scheduling.simulator.episodes import EXTRA_VMS

Rows = npt.NDArray[np.int64]

INFEASIBLE_ACTION = ("error", "terminate")
UNPLACED_WAIT = 30 * 24 * 3600.0
"""Seconds of wait that a VM is rewarded as when an infeasible action ends the episode before its turn."""


@dataclass(frozen=True)
class Scenario:
    """The keywords that `VMSchedulingEnv` and `VMSchedulingVectorEnv` share; the former documents them.

    Raises:
        UserError: a value is not allowed, or the trace cannot be read or does not fit the servers.
    """

    trace: VmTrace | str | PathLike[str] | None = None
    servers: int = 5
    node_cpu: float = 40.0
    node_memory: float = 90.0
    double_memory_threshold: float = 10.0
    split: str = "train"
    splits: Splits | Mapping[str, Sequence[int]] | None = None
    reward: str | RewardFunction = "log_wait"
    infeasible_action: str = "error"
    extra_vms: int = EXTRA_VMS

    def __post_init__(self) -> None:
        _check_whole("servers", self.servers, 1)
        _check_whole("extra_vms", self.extra_vms, 0)
        for name in ("node_cpu", "node_memory", "double_memory_threshold"):
            if not isinstance(getattr(self, name), Real):
                raise UserError(f"{name}: {getattr(self, name)!r} is not allowed; give a number")
        if not callable(self.reward) and self.reward not in tuple(REWARDS):
            raise UserError(f"reward: {self.reward!r} is not one of {', '.join(REWARDS)}")
        if self.infeasible_action not in INFEASIBLE_ACTION:
            raise UserError(
                f"infeasible_action: {self.infeasible_action!r} is not one of {', '.join(INFEASIBLE_ACTION)}"
            )
        self.start_range  # noqa: B018  # reads and checks the trace and the splits

    def __deepcopy__(self, memo: dict[int, object]) -> Scenario:
        return self  # never changes; copies of an environment share the trace

    @cached_property
    def cluster(self) -> Cluster:
        """The servers."""
        return Cluster(self.servers, self.node_cpu, self.node_memory, self.double_memory_threshold)

    @cached_property
    def workload(self) -> Workload:
        """The compiled trace; environments of one process share it."""
        return compile_workload(load_trace(self.trace), self.cluster)

    @cached_property
    def split_rows(self) -> Splits:
        """The rows of the trace at which the episodes of each split start."""
        if self.splits is None:
            return splits_of(self.workload.trace)
        return _splits_from(self.splits) if isinstance(self.splits, Mapping) else self.splits

    @cached_property
    def start_range(self) -> tuple[int, int]:
        """Half-open range of trace rows at which episodes of the split start."""
        trace = self.workload.trace
        low, high = self.split_rows.range_of(self.split)
        if high > len(trace) - 1:  # the last row is never placed
            raise UserError(
                f"splits: {self.split} is [{low}, {high}), but episodes on {trace.name} start before row "
                f"{len(trace) - 1}"
            )
        return low, high

    @property
    def observation_space(self) -> spaces.Dict:
        """Of one lane; the arrays are those of `simulator.lanes.Observations`."""
        slots = self.cluster.slots
        return spaces.Dict(
            {
                "servers": spaces.Box(0.0, 1.0, (self.servers, NODES_PER_SERVER, 2), np.float32),
                "request": spaces.Box(np.zeros(3, np.float32), np.array([2.0, 2.0, 1.0], np.float32)),
                # Not MultiBinary: RLlib's preprocessors do not know it.
                "action_mask": spaces.Box(0, 1, (slots,), np.int8),
            }
        )

    @property
    def action_space(self) -> spaces.Discrete[np.int64]:
        """The slots."""
        return spaces.Discrete(self.cluster.slots)

    @property
    def reward_function(self) -> RewardFunction:
        """The reward as a function."""
        return self.reward if callable(self.reward) else REWARDS[self.reward]

    def infeasible_rewards(self, servers: Servers, unplaced: Rows) -> npt.NDArray[np.float64]:
        """(L,) rewards of infeasible actions in lanes with `unplaced` VMs left, the refused one included.

        Every one of them counts as if it had waited for `UNPLACED_WAIT`, so ending an episode early does not
        pay under any reward that grows with the wait.
        """
        return self.reward_function(np.full(len(unplaced), UNPLACED_WAIT), servers) * unplaced

    def episodes(
        self, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> tuple[Rows, Rows]:
        """Start and VM count of one episode for each generator.

        Args:
            generators: each draws the start of its own episode, so episodes do not depend on each other.
            options: "start" and "vm_count", each a whole number or one per generator; what is absent is
                drawn from the split (start) or First Fit's run length plus `extra_vms` (vm_count).

        Raises:
            UserError: another option, or a value that is not allowed.
        """
        options = options or {}
        unknown = [key for key in options if key not in ("start", "vm_count")]
        if unknown:
            raise UserError(f"options: {unknown[0]!r} is not known; allowed are start and vm_count")
        starts = _whole_numbers("start", options.get("start"), len(generators), 0)
        vm_counts = _whole_numbers("vm_count", options.get("vm_count"), len(generators), 1)
        if starts is None:
            starts = np.array([generator.integers(*self.start_range) for generator in generators], np.int64)
        else:
            self.workload.check_starts(starts)
        if vm_counts is None:
            vm_counts = probe_vm_counts(self.workload, self.cluster, starts, self.extra_vms)
        return starts, np.minimum(vm_counts, len(self.workload) - 1 - starts)


def _splits_from(ranges: Mapping[str, Sequence[int]]) -> Splits:
    try:
        return Splits(**{name: (int(low), int(high)) for name, (low, high) in ranges.items()})
    except (TypeError, ValueError) as error:
        raise UserError(
            f"splits: {ranges!r} is not allowed; give [first row, row after the last] for train, "
            "validation and test"
        ) from error


def _check_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UserError(f"{name}: {value!r} is not allowed; give a whole number of at least {least}")


def _whole_numbers(name: str, values: object, count: int, least: int) -> Rows | None:
    if values is None:
        return None
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.shape not in ((), (count,)) or array.min() < least:
        form = "a whole number" + (f" or {count} of them" if count > 1 else "")
        raise UserError(f"options: {name}={values!r} is not allowed; give {form}, at least {least}")
    return np.broadcast_to(array, count).astype(np.int64)
