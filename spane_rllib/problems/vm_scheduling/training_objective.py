"""What training episodes are about: how long they are, what is rewarded, and by what weights are chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from spane_rllib.core.bootstrap import trimmed_mean
from spane_rllib.core.errors import UserError
from spane_rllib.learning.settings import ALLOCATION_REWARDS
from spane_rllib.problems.vm_scheduling.allocations.rewards import REWARDS as REWARDS_OF_ALLOCATIONS
from spane_rllib.problems.vm_scheduling.allocations.workload import AllocationWorkload
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.rollout import RecordedEpisode, greedy_episodes, play_greedily
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Workload, lower_bounds, probe_vm_counts
from spane_rllib.problems.vm_scheduling.simulator.rules import HEAD, START, STUCK
from spane_rllib.problems.vm_scheduling.waits.rewards import REWARDS as REWARDS_OF_WAITS

Rows = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

LONGEST_EPISODE = 5000
"""VMs after which a training episode of allocations is cut off, which learning takes as such."""


class TrainingObjective(Protocol):
    """How one objective trains and validates."""

    measure: ClassVar[str]
    """What episodes are measured by: part of the names of metrics."""
    sign: ClassVar[int]
    """1 where more of it is better, -1 where less is."""

    def lengths(self, starts: Rows) -> Rows:
        """VMs that the training episodes from `starts` have at most."""
        ...

    def rewards(self, episode: RecordedEpisode) -> Numbers:
        """(T,) rewards of an episode's decisions."""
        ...

    def terminated(self, episode: RecordedEpisode) -> bool:
        """Whether the episode came to its natural end; what was cut off would have had more rewards."""
        ...

    def measured(self, episode: RecordedEpisode) -> float:
        """The measure of one training episode."""
        ...

    def validate(self, network: CompiledQNetwork) -> dict[str, float]:
        """`validation_<measure>` of the greedy episodes, and what else is known of them."""
        ...


class WaitObjective:
    """Waits: the trimmed mean of the total wait, seconds, and its ratio to a proven lower bound."""

    measure: ClassVar[str] = "wait"
    sign: ClassVar[int] = -1

    def __init__(self, workload: Workload, cluster: Cluster, reward: str, starts: Rows, trim: float) -> None:
        self._workload, self._cluster, self._reward = workload, cluster, _reward(reward, REWARDS_OF_WAITS)
        self._starts, self._trim = starts, trim
        self._counts = probe_vm_counts(workload, cluster, starts)
        self._bound = trimmed_mean(lower_bounds(workload, cluster, starts, self._counts), trim)

    def lengths(self, starts: Rows) -> Rows:
        """See `TrainingObjective`."""
        return probe_vm_counts(self._workload, self._cluster, starts)

    def rewards(self, episode: RecordedEpisode) -> Numbers:
        """See `TrainingObjective`."""
        return self._reward(episode.wait, episode.servers_after)

    def terminated(self, episode: RecordedEpisode) -> bool:
        """Always: the episode's length is part of the problem."""
        return True

    def measured(self, episode: RecordedEpisode) -> float:
        """The total wait, seconds."""
        return episode.total_wait

    def validate(self, network: CompiledQNetwork) -> dict[str, float]:
        """See `TrainingObjective`."""
        results = greedy_episodes(network, self._workload, self._cluster, self._starts, self._counts)
        wait = trimmed_mean(results.total_wait, self._trim)
        return {
            "validation_wait": wait,
            "validation_gap": wait / self._bound if self._bound else float("nan"),
        }


class AllocationObjective:
    """Allocations: the mean number of VMs placed until the first that fits nowhere."""

    measure: ClassVar[str] = "allocations"
    sign: ClassVar[int] = 1

    def __init__(self, workload: AllocationWorkload, reward: str, starts: Rows) -> None:
        self._workload, self._reward = workload, _reward(reward, REWARDS_OF_ALLOCATIONS)
        self._starts = starts
        self._longest = workload.scenario.max_decisions or len(workload)

    def lengths(self, starts: Rows) -> Rows:
        """See `TrainingObjective`."""
        return np.full(len(starts), min(self._longest, LONGEST_EPISODE))

    def rewards(self, episode: RecordedEpisode) -> Numbers:
        """See `TrainingObjective`."""
        # A request is in shares of a node, of which a server has two.
        return self._reward(episode.request[:, 0] / np.float64(2), episode.servers_after)

    def terminated(self, episode: RecordedEpisode) -> bool:
        """Whether a VM fits nowhere; at the cap or the end of the trace, more could have been placed."""
        return episode.status == STUCK

    def measured(self, episode: RecordedEpisode) -> float:
        """VMs placed."""
        return float(len(episode.action))

    def validate(self, network: CompiledQNetwork) -> dict[str, float]:
        """See `TrainingObjective`."""
        lengths = np.full(len(self._starts), self._longest)
        counters = play_greedily(
            network, self._workload, self._workload.cluster, self._starts, lengths
        ).counters
        return {"validation_allocations": float((counters[:, HEAD] - counters[:, START]).mean())}


def training_objective(
    workload: Workload, cluster: Cluster, reward: str, starts: Rows, trim: float
) -> TrainingObjective:
    """The objective that `workload` is compiled for.

    Args:
        workload, cluster: what is simulated.
        reward: its name.
        starts: (E,) rows at which validation episodes begin.
        trim: share of them dropped at each end of the mean total wait.

    Raises:
        UserError: the reward is one of the other objective.
    """
    if isinstance(workload, AllocationWorkload):
        return AllocationObjective(workload, reward, starts)
    return WaitObjective(workload, cluster, reward, starts, trim)


def _reward(name: str, rewards: dict[str, Callable[..., Numbers]]) -> Callable[..., Numbers]:
    if name not in rewards:
        where = "only for a scenario" if name in ALLOCATION_REWARDS else "not for a scenario"
        raise UserError(f"reward: {name} is {where}; allowed here are {', '.join(rewards)}")
    return rewards[name]
