"""What the environments of all objectives share: a trace, where episodes start, slots to choose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from os import PathLike
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.splits import Splits, splits_of
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Lanes, Workload
from spane_rllib.problems.vm_scheduling.simulator.cluster import NODES_PER_SERVER

Rows = npt.NDArray[np.int64]
Rewards = npt.NDArray[np.float64]

INFEASIBLE_ACTION = ("error", "terminate", "first_fit")


@dataclass(frozen=True, kw_only=True)
class SlotInstance(ABC):
    """The keywords that all environments share; the environments document them.

    Raises:
        UserError: a value is not allowed, or the trace cannot be read or does not fit the servers.
    """

    trace: VmTrace | str | PathLike[str] | None = None
    split: str = "train"
    splits: Splits | Mapping[str, Sequence[int]] | None = None
    infeasible_action: str = "error"

    length_option: ClassVar[str]
    """The option of `reset` that sets the number of VMs of an episode."""
    truncated_status: ClassVar[int]
    """The status of a lane whose episode is truncated."""

    def __post_init__(self) -> None:
        if self.infeasible_action not in INFEASIBLE_ACTION:
            raise UserError(
                f"infeasible_action: {self.infeasible_action!r} is not one of {', '.join(INFEASIBLE_ACTION)}"
            )
        self.start_range  # noqa: B018  # reads and checks the trace and the splits

    def __deepcopy__(self, memo: dict[int, object]) -> SlotInstance:
        return self  # never changes; copies of an environment share the trace

    @property
    @abstractmethod
    def cluster(self) -> Cluster:
        """The servers."""

    def node_sizes(self) -> npt.NDArray[np.float64]:
        """(N, 2, 2) cores and GiB of both nodes of each server that can ever be there."""
        return self.cluster.node_sizes().reshape(-1, NODES_PER_SERVER, 2)

    @property
    @abstractmethod
    def workload(self) -> Workload:
        """The compiled trace; environments of one process share it."""

    @abstractmethod
    def default_lengths(self, starts: Rows) -> Rows:
        """The number of VMs of an episode from each of `starts` where no option sets it."""

    @abstractmethod
    def rewards(self, lanes: Lanes) -> Rewards:
        """(L,) rewards of the last step; whatever for lanes without a running episode."""

    @abstractmethod
    def infeasible_rewards(self, lanes: Lanes, refused: Rows) -> Rewards:
        """Rewards of infeasible actions in the lanes `refused`."""

    @abstractmethod
    def describe(self, counters: Any, clocks: Any) -> dict[str, Any]:
        """The info of one lane, or of all; both arguments are indexed by a column of `LaneState`'s arrays."""

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
        shape = (self.cluster.pairs, NODES_PER_SERVER, self.cluster.node_features)
        return spaces.Dict(
            {
                "servers": spaces.Box(0.0, 1.0, shape, np.float32),
                "request": spaces.Box(np.zeros(3, np.float32), np.array([2.0, 2.0, 1.0], np.float32)),
                # Not MultiBinary: RLlib's preprocessors do not know it.
                "action_mask": spaces.Box(0, 1, (slots,), np.int8),
            }
        )

    @property
    def action_space(self) -> spaces.Discrete[np.int64]:
        """The slots."""
        return spaces.Discrete(self.cluster.slots)

    def episodes(
        self, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> tuple[Rows, Rows]:
        """Start and number of VMs of one episode for each generator.

        Args:
            generators: each draws the start of its own episode, so episodes do not depend on each other.
            options: "start" and `length_option`, each a whole number or one per generator; what is absent is
                drawn from the split (start) or `default_lengths`.

        Raises:
            UserError: another option, or a value that is not allowed.
        """
        options = options or {}
        unknown = [key for key in options if key not in ("start", self.length_option)]
        if unknown:
            raise UserError(
                f"options: {unknown[0]!r} is not known; allowed are start and {self.length_option}"
            )
        starts = _whole_numbers("start", options.get("start"), len(generators), 0)
        lengths = _whole_numbers(self.length_option, options.get(self.length_option), len(generators), 1)
        if starts is None:
            starts = np.array([generator.integers(*self.start_range) for generator in generators], np.int64)
        else:
            self.workload.check_starts(starts)
        if lengths is None:
            lengths = self.default_lengths(starts)
        return starts, np.minimum(lengths, len(self.workload) - 1 - starts)


def check_whole(name: str, value: object, least: int) -> None:
    """Raise a `UserError` unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UserError(f"{name}: {value!r} is not allowed; give a whole number of at least {least}")


def _splits_from(ranges: Mapping[str, Sequence[int]]) -> Splits:
    try:
        return Splits(**{name: (int(low), int(high)) for name, (low, high) in ranges.items()})
    except (TypeError, ValueError) as error:
        raise UserError(
            f"splits: {ranges!r} is not allowed; give [first row, row after the last] for train, "
            "validation and test"
        ) from error


def _whole_numbers(name: str, values: object, count: int, least: int) -> Rows | None:
    if values is None:
        return None
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.shape not in ((), (count,)) or array.min() < least:
        form = "a whole number" + (f" or {count} of them" if count > 1 else "")
        raise UserError(f"options: {name}={values!r} is not allowed; give {form}, at least {least}")
    return np.broadcast_to(array, count).astype(np.int64)
