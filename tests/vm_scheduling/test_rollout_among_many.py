"""Large clusters: greedy actions by what is remembered of the servers are those by a look at every one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling import rollout
from spane_rllib.problems.vm_scheduling.network_among_many import RememberedServers, remembering_index
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.queue_disciplines import parse_queue
from spane_rllib.problems.vm_scheduling.rollout import play_greedily
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Lanes, Workload
from spane_rllib.problems.vm_scheduling.simulator.cluster import ServerGroup
from spane_rllib.problems.vm_scheduling.simulator.lanes import Observations
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    PLACED,
    STATUS,
    STUCK,
    TOTAL_WAIT,
    allocate,
)

VMS = 1_500
ALL = {"aggregations": ["mean", "max", "std"], "server_depth": 3, "advantage_depth": 2, "server_width": 11}


def busy_trace(seed: int, servers: int, endless: float = 0.0) -> VmTrace:
    """VMs of a few sizes, some on both nodes, so many that `servers` are too few at times."""
    random = np.random.default_rng(seed)
    cpu, memory = random.choice([(1.0, 1.0), (2.0, 4.0), (4.0, 2.0), (3.0, 9.0), (16.0, 24.0)], VMS).T
    lifetime = random.choice([1.0, 10.0, 40.0], VMS) * random.uniform(1.0, 3.0, VMS).round()
    lifetime[random.random(VMS) < endless] = np.inf
    arrival = np.sort(random.integers(0, 4 * VMS // servers, VMS)).astype(float)
    return VmTrace(cpu, memory, arrival, lifetime, "busy")


def play(network: CompiledQNetwork, workload: Workload, cluster: Cluster, remembers: bool) -> list[Any]:
    """Slots of all VMs, counters and clocks of each episode; they share what is remembered."""
    layout = network.packed.layout
    index = remembering_index(cluster.pairs) if remembers else None
    remembered = RememberedServers.empty(layout, cluster.pairs) if remembers else None
    lane, played = allocate(1, cluster.slots, VMS, index=index), []
    for start in (0, 700, 0):
        lane.slot_of[:] = 0
        ends = allocate(1, 0, 0)
        rollout._play_greedily(
            workload.arrays,
            lane,
            Observations.empty(1, cluster),
            network.packed.weights,
            layout,
            remembered,
            *workload.check_episodes(start, VMS),
            ends.counters,
            ends.clocks,
        )
        played.append((lane.slot_of[0].copy(), ends.counters[0], ends.clocks[0]))
    return played


def assert_same(options: dict[str, Any], workload: Workload, cluster: Cluster) -> list[Any]:
    """The episodes that are played, which are the same with and without remembering."""
    network = CompiledQNetwork(build_network("spane", options, cluster.pairs, 3, 2 * cluster.node_features))
    expected, got = (play(network, workload, cluster, remembers) for remembers in (False, True))
    for one, other in zip(expected, got, strict=True):
        for array, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(same, array)
    return expected


@pytest.mark.parametrize("servers", [1, 5, 40, 131])
@pytest.mark.parametrize("options", [{}, ALL])
def test_every_decision(servers: int, options: dict[str, Any]) -> None:
    cluster = Cluster(servers, 8, 16, 16)
    played = assert_same(options, Workload(busy_trace(servers, servers), cluster), cluster)
    assert all(clocks[TOTAL_WAIT] > 0 for _, _, clocks in played)  # it was full at times
    assert servers == 1 or len({slots.tobytes() for slots, _, _ in played}) == 2  # two starts


def test_servers_that_differ_and_vms_that_never_end() -> None:
    groups = [ServerGroup(20, 4, 16, 4), ServerGroup(50, 8, 16), ServerGroup(9, 8, 12, 3)]
    cluster = Cluster.of_groups(groups, 16)
    played = assert_same({}, Workload(busy_trace(5, cluster.pairs, endless=0.2), cluster), cluster)
    assert STUCK in [counters[STATUS] for _, counters, _ in played]


@pytest.mark.parametrize("options", [{}, ALL])
def test_actions_are_those_of_torch_but_for_ties(options: dict[str, Any]) -> None:
    """Along the episode of what is compiled, each action is one of torch's best, up to rounding."""
    servers = rollout.FEW_SERVERS + 2
    cluster = Cluster(servers, 8, 16, 16)
    workload = Workload(busy_trace(8, servers), cluster)
    network = build_network("spane", options, servers, 3)
    slots, counters, _ = play(CompiledQNetwork(network), workload, cluster, remembers=True)[0]
    lanes = Lanes(workload, cluster)
    lanes.reset(0, 0, VMS)
    decisions, clear = 400, 0
    assert counters[PLACED] > decisions
    for slot in slots[:decisions]:
        seen, action = lanes.observations, int(slot if slot >= 0 else -1 - slot)
        with torch.no_grad():
            q = network({name: torch.from_numpy(array) for name, array in seen.named().items()})[0].numpy()
        q = np.where(seen.action_mask[0] != 0, q, -np.inf)
        assert q[action] >= q.max() - 1e-5
        clear += action == q.argmax()
        lanes.step(np.array([action]))
    assert clear > decisions / 2


def test_who_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered: list[bool] = []

    def note(*arguments: Any) -> None:
        remembered.append(any(isinstance(given, RememberedServers) for given in arguments))

    monkeypatch.setattr(rollout, "_play_greedily", note)
    few, many = (Cluster(rollout.FEW_SERVERS + more, 8, 16, 16) for more in (0, 1))
    workload = Workload(busy_trace(9, 70), many)
    in_other_orders = workload.under(parse_queue("skip:16"))
    for kind, cluster, episodes_of in (
        ("spane", many, workload),
        ("spane", few, workload),
        ("mlp", many, workload),
        ("spane", many, in_other_orders),
    ):
        network = CompiledQNetwork(build_network(kind, {}, cluster.servers, 0))
        play_greedily(network, episodes_of, cluster, np.array([0]), np.array([5]))
    assert remembered == [True, False, False, False]
