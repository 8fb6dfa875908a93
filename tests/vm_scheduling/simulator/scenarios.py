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
from spane_rllib.problems.vm_scheduling.simulator.cluster import ServerGroup
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
    state.share[0] = (free / workload.arrays.capacity[0][:, None]).min(axis=0)
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
    def sizes(self) -> list[Size] | None:
        """Of every slot, where they differ."""
        sizes = self.cluster.node_sizes().tolist()
        return [Size(*map(Fraction, size)) for size in sizes] if self.cluster.groups else None

    @property
    def workload(self) -> Workload:
        sizes = [(float(vm.size.cpu), float(vm.size.memory), vm.arrival, vm.lifetime) for vm in self.vms]
        return Workload(trace_of(sizes), self.cluster)


@st.composite
def scenarios(
    draw: st.DrawFn,
    max_vms: int = 14,
    max_servers: int = 6,
    resolutions: Sequence[int] = (1, 2, 4, 5, 10),
    unlike: bool = False,
) -> Scenario:
    """Few distinct sizes and times, so that ties, bursts, simultaneous ends and full clusters are common.

    Times are multiples of 1/4 s, hence exact. Every VM fits an empty server. With `unlike`, servers come in
    groups; at most `max_servers` pairs of nodes, unless one server has more.
    """
    parts = draw(st.sampled_from(resolutions))
    groups: list[ServerGroup] = []
    pairs = 0
    while unlike and (not groups or (pairs < max_servers and draw(st.booleans()))):
        nodes = draw(st.sampled_from([1, 2, 2, 3, 4]))
        kind = ServerGroup(draw(st.integers(1, 2)), draw(st.integers(1, 8)), draw(st.integers(1, 12)), nodes)
        groups.append(kind)
        pairs += kind.count * kind.pairs
    node_cpu, node_memory = draw(st.integers(1, 8)), draw(st.integers(1, 12))
    threshold = draw(st.sampled_from([0.0, 1.0, 2.5, node_memory, 1e9]))
    if all(group.nodes == 1 for group in groups):
        threshold = 1e9 if groups else threshold

    def size(largest: int) -> Fraction:
        return Fraction(draw(st.integers(1, largest * parts)), parts)

    kinds = groups or [ServerGroup(1, node_cpu, node_memory)]
    wide = [kind for kind in kinds if kind.nodes > 1]

    def vm(arrival: float) -> Vm:
        kind = draw(st.sampled_from(kinds))
        memory = size(2 * int(kind.node_memory))
        if memory > threshold and kind.nodes == 1:
            kind = wide[0]
            memory = min(memory, Fraction(2 * kind.node_memory))
        double = float(memory) > threshold
        memory = memory if double else min(memory, Fraction(kind.node_memory))
        lifetime = draw(st.sampled_from([0.25, 1.0, 2.0, 3.0, 10.0, 1000.0, math.inf]))
        return Vm(Size(size((1 + double) * int(kind.node_cpu)), memory), arrival, lifetime, double)

    gaps = draw(st.lists(st.sampled_from([0.0, 0.0, 0.25, 1.0, 5.0]), min_size=2, max_size=max_vms))
    vms = [vm(float(arrival)) for arrival in np.cumsum(gaps)]
    if groups:
        cluster = Cluster.of_groups(groups, threshold)
    else:
        cluster = Cluster(draw(st.integers(1, max_servers)), node_cpu, node_memory, threshold)
    return Scenario(
        vms,
        Size(Fraction(cluster.node_cpu), Fraction(cluster.node_memory)),
        cluster,
        start=draw(st.integers(0, len(vms) - 2)),
        vm_count=draw(st.integers(1, len(vms) + 1)),
    )
