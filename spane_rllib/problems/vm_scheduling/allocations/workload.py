"""A trace compiled for a scenario of the allocations objective."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.allocations.scenario import AllocationScenario
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Workload
from spane_rllib.problems.vm_scheduling.simulator.cluster import NODES_PER_SERVER
from spane_rllib.problems.vm_scheduling.simulator.rules import CPU, DOUBLE
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays


class AllocationWorkload(Workload):
    """`trace` on the servers of `scenario`, number included.

    Its `cluster` has all servers there can be, each as large as the largest: what observations are shares of.

    Raises:
        UserError: a VM fits on no server, or sizes are too fine-grained to be counted in whole units.
    """

    def __init__(self, trace: VmTrace, scenario: AllocationScenario) -> None:
        self.scenario = scenario
        node_cpu, node_memory = scenario.node_sizes().max(axis=0).tolist()
        memory_above = scenario.double.memory_above
        threshold = np.inf if memory_above is None else memory_above
        super().__init__(trace, Cluster(scenario.max_servers, node_cpu, node_memory, threshold))

    def node_sizes(self) -> list[tuple[float, float]]:
        """(cores, GiB) of the nodes of every server group."""
        return [(group.node_cpu, group.node_memory) for group in self.scenario.server_groups]

    def is_double(self, cpu: npt.ArrayLike, memory: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        return self.scenario.double.applies(cpu, memory)

    def check_cluster(self, cluster: Cluster) -> None:
        """Raise a `ValueError` unless `cluster` is that of the scenario."""
        if cluster != self.cluster:
            raise ValueError(f"the workload was compiled for {self.cluster}, not {cluster}")

    @cached_property
    def cpu_shares(self) -> npt.NDArray[np.float64]:
        """(rows,) cores of every VM as a share of the largest server's, with the digits observations have."""
        need = self.arrays.need
        cores = (need[:, CPU] * (1 + need[:, DOUBLE])).astype(np.float32)
        return cores / np.float32(self.arrays.capacity[0, CPU]) / np.float64(NODES_PER_SERVER)

    def _server_kinds(self) -> npt.NDArray[np.float64]:
        return np.array(self.node_sizes())

    def _of_every_slot(self) -> npt.NDArray[np.float64]:
        return np.repeat(self.scenario.node_sizes(), NODES_PER_SERVER, axis=0)

    def _compile(
        self, need: npt.NDArray[np.int32], times: npt.NDArray[np.float64], capacity: npt.NDArray[np.int32]
    ) -> WorkloadArrays:
        row, vm = self._deletions()
        growth = self.scenario.growth
        return WorkloadArrays(
            need,
            times,
            row,
            vm,
            capacity,
            np.array(
                [
                    self.scenario.initial_servers,
                    growth.servers if growth else 0,
                    growth.used_threshold if growth else np.inf,
                ]
            ),
        )

    def _deletions(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
        """The rows before which VMs are deleted, sorted, and these VMs."""
        trace = self.trace
        if not self.scenario.deletions:
            return np.zeros(0), np.zeros(0, np.int32)
        row = trace.deleted_before
        if row is None:
            # Within a second creations come first, as in the events VMAgent has this trace in.
            row = np.searchsorted(trace.arrival, trace.arrival + trace.lifetime, side="right").astype(float)
        order = np.argsort(row, kind="stable")[: np.count_nonzero(row < len(trace))]
        return row[order], order.astype(np.int32)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return AllocationWorkload, (self.trace, self.scenario)


@lru_cache(maxsize=8)
def compile_allocations(trace: VmTrace, scenario: AllocationScenario) -> AllocationWorkload:
    """`AllocationWorkload(trace, scenario)`, made once per process for each trace object and scenario."""
    return AllocationWorkload(trace, scenario)
