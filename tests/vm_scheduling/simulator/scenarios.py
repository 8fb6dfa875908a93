"""Small random problems, as the reference simulator and as the package see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from calling import from_python
from hypothesis import strategies as st
from reference_simulator import Size, Vm

from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Heuristic, Workload
from spane_rllib.problems.vm_scheduling.simulator.fragmentation import FragmentationArrays
from spane_rllib.problems.vm_scheduling.simulator.heuristics import choose
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    FIRST_SLOT,
    HEAD,
    LAST_SLOT,
    allocate,
    first_fit,
)

_choose, _first_fit = from_python(choose), from_python(first_fit)


def trace_of(vms: Sequence[tuple[float, float, float, float]], name: str = "trace") -> VmTrace:
    """From (cpu, GiB, arrival, lifetime) of each VM."""
    return VmTrace(*np.array(vms, float).reshape(-1, 4).T, name=name)


def choice(
    heuristic: Heuristic,
    workload: Workload,
    free: npt.NDArray[np.int32],
    vm: int = 0,
    last_slot: int = -1,
    random: npt.NDArray[np.uint64] | None = None,
    parameters: tuple[int, FragmentationArrays] | None = None,
) -> int:
    """What a heuristic chooses for row `vm` on a cluster with the free units `free` (2, slots).

    `parameters` are those of an earlier call to `compile`, with what they remember.
    """
    state = allocate(1, free.shape[1], 1)
    state.free[0] = free
    state.share[0] = (free / workload.arrays.capacity[:, None]).min(axis=0)
    state.counters[0, HEAD] = vm
    state.counters[0, FIRST_SLOT] = _first_fit(free, workload.arrays.need[vm])
    state.counters[0, LAST_SLOT] = last_slot
    code, fragmentation = parameters or heuristic.compile(workload, free.shape[1] // 2)
    random = np.zeros(1, np.uint64) if random is None else random
    return int(_choose(code, workload.arrays, state, 0, random, fragmentation))


@dataclass(frozen=True)
class Scenario:
    vms: list[Vm]
    node: Size
    cluster: Cluster
    start: int
    vm_count: int

    @property
    def servers(self) -> int:
        return self.cluster.servers

    @property
    def workload(self) -> Workload:
        sizes = [(float(vm.size.cpu), float(vm.size.memory), vm.arrival, vm.lifetime) for vm in self.vms]
        return Workload(trace_of(sizes), self.cluster)


@st.composite
def scenarios(
    draw: st.DrawFn, max_vms: int = 14, max_servers: int = 6, resolutions: Sequence[int] = (1, 2, 4, 5, 10)
) -> Scenario:
    """Few distinct sizes and times, so that ties, bursts, simultaneous ends and full clusters are common.

    Times are multiples of 1/4 s, hence exact. Every VM fits an empty server.
    """
    parts = draw(st.sampled_from(resolutions))
    node_cpu, node_memory = draw(st.integers(1, 8)), draw(st.integers(1, 12))
    threshold = draw(st.sampled_from([0.0, 1.0, 2.5, node_memory, 1e9]))

    def size(largest: int) -> Fraction:
        return Fraction(draw(st.integers(1, largest * parts)), parts)

    def vm(arrival: float) -> Vm:
        memory = size(2 * node_memory)
        double = float(memory) > threshold
        memory = memory if double else min(memory, Fraction(node_memory))
        lifetime = draw(st.sampled_from([0.25, 1.0, 2.0, 3.0, 10.0, 1000.0, math.inf]))
        return Vm(Size(size((1 + double) * node_cpu), memory), arrival, lifetime, double)

    gaps = draw(st.lists(st.sampled_from([0.0, 0.0, 0.25, 1.0, 5.0]), min_size=2, max_size=max_vms))
    vms = [vm(float(arrival)) for arrival in np.cumsum(gaps)]
    cluster = Cluster(draw(st.integers(1, max_servers)), node_cpu, node_memory, threshold)
    return Scenario(
        vms,
        Size(Fraction(node_cpu), Fraction(node_memory)),
        cluster,
        start=draw(st.integers(0, len(vms) - 2)),
        vm_count=draw(st.integers(1, len(vms) + 1)),
    )
