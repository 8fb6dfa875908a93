"""What episodes of the allocations objective came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.vm_scheduling.allocations.scenario import AllocationScenario
from spane_rllib.problems.vm_scheduling.simulator.episodes import Ends
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    ARRIVAL,
    CAPPED,
    CPU_RATE,
    HEAD,
    MEMORY_RATE,
    NOW,
    SERVER_SECONDS,
    SERVERS,
    START,
    STATUS,
    STUCK,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import Workload

ENDED_BY = {STUCK: "full", CAPPED: "cap"}
"""Why an episode ended, by the status of its lane; all others reached the end of the trace."""


@dataclass(frozen=True)
class AllocationResults:
    """E episodes as columns of shape (E,).

    Attributes:
        start: row of the trace at which the episode began.
        allocations: VMs placed.
        cpu_rate, memory_rate: used share of the cores and of the memory of all servers at the end.
        expansions: how often servers were added.
        server_hours: hours that servers were there, summed over servers.
        hours: simulated time, from the creation of the first VM to that of the first not placed.
        ended_by: "full" (a VM fits nowhere), "cap" (`max_decisions`) or "trace" (no VMs left).
    """

    start: npt.NDArray[np.int64]
    allocations: npt.NDArray[np.int64]
    cpu_rate: npt.NDArray[np.float64]
    memory_rate: npt.NDArray[np.float64]
    expansions: npt.NDArray[np.int64]
    server_hours: npt.NDArray[np.float64]
    hours: npt.NDArray[np.float64]
    ended_by: npt.NDArray[np.str_]

    @classmethod
    def of(cls, ends: Ends, workload: Workload, scenario: AllocationScenario) -> AllocationResults:
        """Read results from the last rows of lanes."""
        counters, clocks = ends.counters.T, ends.clocks.T
        return cls(
            start=counters[START],
            allocations=counters[HEAD] - counters[START],
            cpu_rate=clocks[CPU_RATE],
            memory_rate=clocks[MEMORY_RATE],
            expansions=expansions(counters[SERVERS], scenario),
            server_hours=clocks[SERVER_SECONDS] / 3600,
            hours=(clocks[NOW] - workload.arrays.times[counters[START], ARRIVAL]) / 3600,
            ended_by=np.array([ENDED_BY.get(status, "trace") for status in counters[STATUS].tolist()]),
        )


def expansions(servers: Any, scenario: AllocationScenario) -> Any:
    """How often servers were added until there were `servers`; the last time perhaps fewer of them."""
    added = scenario.growth.servers if scenario.growth else 1
    return -((scenario.initial_servers - servers) // added)
