"""What the allocation environments are about: scenario, trace, where episodes start and what is rewarded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.loading import load_trace
from spane_rllib.problems.vm_scheduling.allocations.results import expansions
from spane_rllib.problems.vm_scheduling.allocations.rewards import REWARDS, RewardFunction
from spane_rllib.problems.vm_scheduling.allocations.scenario import AllocationScenario, load_scenario
from spane_rllib.problems.vm_scheduling.allocations.workload import AllocationWorkload, compile_allocations
from spane_rllib.problems.vm_scheduling.instance import Rewards, Rows, SlotInstance, check_whole
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Lanes
from spane_rllib.problems.vm_scheduling.simulator.cluster import NODES_PER_SERVER
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    CAPPED,
    CPU_RATE,
    HEAD,
    MEMORY_RATE,
    NOW,
    SERVER_SECONDS,
    SERVERS,
    START,
    STOP,
)


@dataclass(frozen=True, kw_only=True)
class AllocationInstance(SlotInstance):
    """The keywords that `AllocationEnv` and `AllocationVectorEnv` share; the former documents them.

    Raises:
        UserError: a value is not allowed, or the trace cannot be read or does not fit the servers.
    """

    scenario: AllocationScenario | Mapping[str, Any] | str | PathLike[str] = "fading"
    servers: int | None = None
    reward: str | RewardFunction = "allocation"

    length_option = "max_decisions"
    truncated_status = CAPPED

    def __post_init__(self) -> None:
        if not callable(self.reward) and self.reward not in tuple(REWARDS):
            raise UserError(f"reward: {self.reward!r} is not one of {', '.join(REWARDS)}")
        super().__post_init__()

    @cached_property
    def settings(self) -> AllocationScenario:
        """The scenario, with the number of servers asked for."""
        if not isinstance(self.scenario, AllocationScenario | Mapping | str | PathLike):
            raise UserError(f"scenario: {self.scenario!r} is not allowed; give a preset or a YAML file")
        scenario = load_scenario(self.scenario)
        if self.servers is None:
            return scenario
        check_whole("servers", self.servers, 1)
        return scenario.with_servers(int(self.servers))

    @cached_property
    def workload(self) -> AllocationWorkload:
        """The compiled trace, VMs that are never deleted included; environments of one process share it."""
        return compile_allocations(load_trace(self.trace, never_ending="keep"), self.settings)

    def node_sizes(self) -> npt.NDArray[np.float64]:
        return np.stack([self.settings.node_sizes()] * NODES_PER_SERVER, axis=1)

    @property
    def cluster(self) -> Cluster:
        """All servers there can be."""
        return self.workload.cluster

    @cached_property
    def reward_function(self) -> RewardFunction:
        """The reward as a function."""
        return self.reward if callable(self.reward) else REWARDS[self.reward]

    def default_lengths(self, starts: Rows) -> Rows:
        """The cap of the scenario, else all that is left of the trace."""
        return np.full(len(starts), self.settings.max_decisions or len(self.workload))

    def rewards(self, lanes: Lanes) -> Rewards:
        placed = self.workload.cpu_shares[lanes.state.counters[:, HEAD] - 1]
        return self.reward_function(placed, lanes.observations.servers)

    def infeasible_rewards(self, lanes: Lanes, refused: Rows) -> Rewards:
        """0: nothing is placed, and what the rest of the episode would have brought is lost."""
        return np.zeros(len(refused))

    def describe(self, counters: Any, clocks: Any) -> dict[str, Any]:
        start, head, servers = counters[START], counters[HEAD], counters[SERVERS]
        return {
            "time": clocks[NOW],
            "vm": head,
            "allocations": head - start,
            "servers": servers,
            "expansions": expansions(servers, self.settings),
            "server_hours": clocks[SERVER_SECONDS] / 3600,
            "cpu_rate": clocks[CPU_RATE],
            "memory_rate": clocks[MEMORY_RATE],
            "start": start,
            "max_decisions": counters[STOP] - start,
        }
