"""Servers that differ, in environments, networks, commands, recordings and deployments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import test_deploying
import torch

import spane_rllib  # noqa: F401  # registers the environments
from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.experiments.tuning.loading import load_experiment
from spane_rllib.problems.vm_scheduling.allocations.scenario import load_scenario
from spane_rllib.problems.vm_scheduling.deploying import DeployedPolicy, load_deployed
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.networks.weights import load_model
from spane_rllib.problems.vm_scheduling.policies import load_policy
from spane_rllib.problems.vm_scheduling.recordings.loading import read_schedule
from spane_rllib.problems.vm_scheduling.recordings.recorder import record_episodes
from spane_rllib.problems.vm_scheduling.simulator import (
    Heuristic,
    Lanes,
    Workload,
    run_heuristic,
)
from spane_rllib.problems.vm_scheduling.waits.instance import WaitInstance
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS
from spane_rllib.problems.vm_scheduling.waits.task import WaitTask

GROUPS = [
    {"count": 1, "node_cpu": 20, "node_memory": 90},
    {"count": 1, "node_cpu": 40, "node_memory": 90, "nodes": 3},
]
SIZES = [[0.5, 1], [1, 1], [1, 1]]  # of the first node of each pair


@pytest.fixture(scope="module")
def task(trace: VmTrace) -> WaitTask:
    return WaitTask(WAITS, WaitInstance(trace=trace, server_groups=GROUPS))


def test_the_environment_shows_sizes_and_plays_the_simulators_episode(trace: VmTrace) -> None:
    env = gymnasium.make("spane_rllib/VMScheduling-v0", trace=trace, server_groups=GROUPS)
    observation, _ = env.reset(seed=0, options={"start": 20, "vm_count": 60})
    assert observation["servers"].shape == (3, 2, 4)
    assert observation["servers"][:, 0, 2:].tolist() == SIZES
    assert observation["servers"][2, 1].tolist() == [0, 0, 0, 0]  # the third node has no neighbour
    done, info = False, {}
    while not done:
        assert env.observation_space.contains(observation)
        observation, _, done, _, info = env.step(int(observation["action_mask"].argmax()))
    instance: WaitInstance = env.unwrapped.instance  # type: ignore[attr-defined]
    expected = run_heuristic(instance.workload, instance.cluster, Heuristic("first-fit"), 20, 60)
    assert info["total_wait"] == expected.total_wait[0] > 0
    choice = gymnasium.make("spane_rllib/VMChoice-v0", trace=trace, server_groups=GROUPS)
    observation, _ = choice.reset(seed=0)
    assert choice.observation_space.contains(observation)
    assert observation["servers"][:, 0, 2:].tolist() == SIZES


def test_what_is_refused(trace: VmTrace) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"servers": 3}, "servers: not allowed with server_groups"),
        ({"reward": "balance"}, "reward: balance needs servers of 2, 4, 6 or 8 nodes"),
        ({"server_groups": []}, "server_groups: "),
        ({"server_groups": [GROUPS[0] | {"nodes": 9}]}, "server_groups.0.nodes: must be less"),
        ({"server_groups": "5"}, "server_groups: "),
    ]
    for keywords, text in refused:
        with pytest.raises(UserError, match=text):
            WaitInstance(trace=trace, **({"server_groups": GROUPS} | keywords))
    with pytest.raises(UserError, match=r"evaluation\.servers: not allowed with cluster\.server_groups"):
        load_experiment(
            "quick",
            ["cluster.server_groups=[{count: 1, node_cpu: 9, node_memory: 9}]", "evaluation.servers=[5]"],
        )
    scenario = {"name": "a", "double": {"cpu_above": 4}, "deletions": True, "server_groups": GROUPS}
    with pytest.raises(UserError, match="nodes"):
        load_scenario(scenario)


@pytest.mark.parametrize("kind", ["spane", "mlp"])
def test_networks_see_the_sizes_and_are_saved_with_the_servers(
    kind: str, task: WaitTask, tmp_path: Path
) -> None:
    network = task.build_network(kind, {}, seed=2)
    workload, cluster = task.instance.workload, task.instance.cluster
    lanes = Lanes(workload, cluster)
    lanes.reset(0, 20, 30)
    observation = {name: torch.from_numpy(array) for name, array in lanes.observations.named().items()}
    values = network(observation)
    compiled = CompiledQNetwork(network).q_values(*lanes.observations[:2])  # type: ignore[arg-type]
    torch.testing.assert_close(torch.from_numpy(compiled), values.detach(), rtol=0, atol=1e-5)
    observation["servers"][..., 2:] = 1
    assert not torch.equal(network(observation), values)

    task.save_model(tmp_path / kind, network, seed=2, metrics={}, training={})
    _, metadata = load_model(tmp_path / kind)
    assert metadata.cluster == cluster
    policy = task.load_policy(str(tmp_path / kind))
    starts, counts = np.array([test_deploying.START]), np.array([test_deploying.VMS])
    played = policy.play(workload, cluster, starts, counts, 0)
    deployed = load_deployed(tmp_path / kind)
    _, total = test_deploying.replay(deployed, workload, cluster)
    assert total == played.clocks[0, 2]
    with pytest.raises(UserError, match="servers: must be 3, of 1 x 2 x"):
        deployed.act(np.ones((2, 2, 2)), (1, 1))

    equal = WaitTask(WAITS, WaitInstance(trace=task.trace, servers=3))
    with pytest.raises(UserError, match="made for servers that differ, not for equal servers"):
        policy.play(equal.instance.workload, equal.instance.cluster, starts, counts, 0)


def test_deployed_heuristics_decide_as_evaluate(task: WaitTask) -> None:
    workload, cluster = task.instance.workload, task.instance.cluster
    for name in ("sbf", "keep-64"):
        deployed = load_deployed(name, server_groups=GROUPS)
        assert deployed.cluster == cluster
        expected = test_deploying.simulated(load_policy(name), workload, cluster)
        assert test_deploying.replay(deployed, workload, cluster) == expected
    with pytest.raises(UserError, match="server_groups: say how large nodes are"):
        load_deployed("sbf", server_groups=GROUPS, node_cpu=4)
    with pytest.raises(UserError, match="was trained on equal servers"):
        DeployedPolicy(load_policy("spane@pretrained"), cluster).act(np.ones((3, 2, 2)), (1, 1))


def test_recordings_know_how_many_nodes_there_are(task: WaitTask, tmp_path: Path) -> None:
    workload, cluster = task.instance.workload, task.instance.cluster
    [file] = record_episodes([load_policy("sbf")], workload, cluster, np.array([20]), tmp_path)
    assert file.name == "sbf-2-servers-start-20.npz"
    schedule = read_schedule(file)
    assert schedule.servers.nodes.tolist() == [2, 2, 1]
    assert schedule.servers.node_cpu.tolist() == [20, 40, 40]
    pairs = WaitInstance(trace=workload.trace, server_groups=[GROUPS[1] | {"nodes": 4}])
    assert isinstance(pairs.workload, Workload)
    assert not pairs.cluster.shows_sizes  # two equal pairs: networks of equal servers play it
