"""What the wait-time environments are about: servers, trace, where episodes start and what is rewarded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
from gymnasium import spaces

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import validated
from spane_rllib.datasets.vm_traces.loading import load_trace
from spane_rllib.problems.vm_scheduling.data import configured_cluster
from spane_rllib.problems.vm_scheduling.instance import Rewards, Rows, SlotInstance, check_whole
from spane_rllib.problems.vm_scheduling.lifetimes import UNKNOWN, Lifetimes, parse_lifetimes
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO, Queue, parse_queue
from spane_rllib.problems.vm_scheduling.reference_cluster import (
    DOUBLE_MEMORY_THRESHOLD,
    NODE_CPU,
    NODE_MEMORY,
    SERVERS,
)
from spane_rllib.problems.vm_scheduling.settings import ClusterSettings
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    Lanes,
    Workload,
    compile_workload,
    probe_vm_counts,
)
from spane_rllib.problems.vm_scheduling.simulator.cluster import NODES_PER_SERVER
from spane_rllib.problems.vm_scheduling.simulator.episodes import EXTRA_VMS
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    HEAD,
    MAX_WAIT,
    NOW,
    PLACED,
    START,
    STOP,
    STUCK,
    TOTAL_WAIT,
    WAIT,
)
from spane_rllib.problems.vm_scheduling.waits.rewards import REWARDS, RewardFunction

UNPLACED_WAIT = 30 * 24 * 3600.0
"""Seconds of wait that a VM is rewarded as when an infeasible action ends the episode before its turn."""


@dataclass(frozen=True, kw_only=True)
class WaitInstance(SlotInstance):
    """The keywords that `VMSchedulingEnv` and `VMSchedulingVectorEnv` share; the former documents them.

    Raises:
        UserError: a value is not allowed, or the trace cannot be read or does not fit the servers.
    """

    servers: int = SERVERS
    node_cpu: float = NODE_CPU
    node_memory: float = NODE_MEMORY
    double_memory_threshold: float = DOUBLE_MEMORY_THRESHOLD
    server_groups: Sequence[Mapping[str, Any]] | None = None
    reward: str | RewardFunction = "log_wait"
    extra_vms: int = EXTRA_VMS
    queue: str = FIFO.text
    lifetimes: str = UNKNOWN.text

    length_option = "vm_count"
    truncated_status = STUCK

    def __post_init__(self) -> None:
        check_whole("servers", self.servers, 1)
        check_whole("extra_vms", self.extra_vms, 0)
        for name in ("node_cpu", "node_memory", "double_memory_threshold"):
            if not isinstance(getattr(self, name), Real):
                raise UserError(f"{name}: {getattr(self, name)!r} is not allowed; give a number")
        if not callable(self.reward) and self.reward not in tuple(REWARDS):
            raise UserError(f"reward: {self.reward!r} is not one of {', '.join(REWARDS)}")
        self.discipline, self.known_lifetimes  # noqa: B018  # checks them
        if self.reward == "balance" and self.cluster.nodes < self.cluster.slots:
            raise UserError("reward: balance needs servers of 2, 4, 6 or 8 nodes")
        super().__post_init__()

    @cached_property
    def cluster(self) -> Cluster:
        """The servers."""
        servers = (self.servers, self.node_cpu, self.node_memory, self.double_memory_threshold)
        if self.server_groups is None:
            return Cluster(*servers)
        names = ("servers", "node_cpu", "node_memory", "double_memory_threshold", "server_groups")
        groups = self.server_groups
        plain = groups if isinstance(groups, str | Mapping) else tuple(groups)
        return configured_cluster(
            validated(ClusterSettings, dict(zip(names, (*servers, plain), strict=True)))
        )

    @cached_property
    def discipline(self) -> Queue:
        """The queue discipline."""
        return parse_queue(self.queue)

    @cached_property
    def known_lifetimes(self) -> Lifetimes:
        """What is known of lifetimes."""
        return parse_lifetimes(self.lifetimes)

    @property
    def observation_space(self) -> spaces.Dict:
        space = super().observation_space
        if self.known_lifetimes.is_known:
            space["lifetime"] = spaces.Box(0.0, np.inf, (1,), np.float32)
            space["busy"] = spaces.Box(0.0, np.inf, (self.cluster.pairs, NODES_PER_SERVER), np.float32)
        return space

    @cached_property
    def workload(self) -> Workload:
        """The compiled trace; environments of one process share it."""
        return compile_workload(load_trace(self.trace), self.cluster, self.discipline, self.known_lifetimes)

    @cached_property
    def reward_function(self) -> RewardFunction:
        """The reward as a function."""
        return self.reward if callable(self.reward) else REWARDS[self.reward]

    def default_lengths(self, starts: Rows) -> Rows:
        """First Fit's run lengths plus `extra_vms`."""
        return probe_vm_counts(self.workload, self.cluster, starts, self.extra_vms)

    def rewards(self, lanes: Lanes) -> Rewards:
        return self.reward_function(lanes.wait, lanes.observations.servers)

    def infeasible_rewards(self, lanes: Lanes, refused: Rows) -> Rewards:
        """Every VM not placed, the refused one included, counts as if it had waited for `UNPLACED_WAIT`.

        So ending an episode early does not pay under any reward that grows with the wait.
        """
        counters = lanes.state.counters[refused]
        waits = np.full(len(refused), UNPLACED_WAIT)
        unplaced = counters[:, STOP] - counters[:, START] - counters[:, PLACED]
        return self.reward_function(waits, lanes.observations.servers[refused]) * unplaced

    def describe(self, counters: Any, clocks: Any) -> dict[str, Any]:
        start = counters[START]
        return {
            "wait": clocks[WAIT],
            "time": clocks[NOW],
            "vm": counters[HEAD],
            "placed": counters[PLACED],
            "total_wait": clocks[TOTAL_WAIT],
            "max_wait": clocks[MAX_WAIT],
            "start": start,
            "vm_count": counters[STOP] - start,
        }
