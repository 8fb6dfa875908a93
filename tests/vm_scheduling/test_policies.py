"""Policies by name or model directory."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.networks.weights import (
    ModelMetadata,
    Normalisation,
    TraceIdentity,
    save_model,
)
from spane_rllib.problems.vm_scheduling.policies import NetworkPolicy, Policy, load_policy
from spane_rllib.problems.vm_scheduling.rollout import play_greedily
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    EpisodeResults,
    FragmentationGradient,
    Heuristic,
    Workload,
    run_heuristic,
)

STARTS, VM_COUNTS = np.array([0, 50, 130]), np.array([90, 120, 150])
METADATA = ModelMetadata(
    servers=3,
    normalisation=Normalisation(node_cpu=40, node_memory=90, double_memory_threshold=10),
    trace=TraceIdentity(name="bursts", sha256="0" * 64),
    seed=0,
)


@pytest.fixture(scope="module")
def workload(trace: VmTrace) -> Workload:
    return Workload(trace, Cluster(3))


def results_of(policy: Policy, workload: Workload, cluster: Cluster, seed: int = 0) -> EpisodeResults:
    return EpisodeResults.of_state(*policy.play(workload, cluster, STARTS, VM_COUNTS, seed))


def assert_equal(left: EpisodeResults, right: EpisodeResults) -> None:
    for field in fields(EpisodeResults):
        np.testing.assert_array_equal(getattr(left, field.name), getattr(right, field.name), field.name)


@pytest.mark.parametrize("name", [name for name in HEURISTICS if name != "fgd"])
def test_a_heuristic_by_name(workload: Workload, name: str) -> None:
    policy = load_policy(name)
    assert (policy.name, policy.accepts(1), policy.accepts(500)) == (name, True, True)
    assert_equal(
        results_of(policy, workload, Cluster(3), seed=5),
        run_heuristic(workload, Cluster(3), Heuristic(name), STARTS, VM_COUNTS, seed=5),
    )


def test_only_random_depends_on_the_seed(workload: Workload) -> None:
    def waits(name: str, seed: int) -> list[float]:
        return results_of(load_policy(name), workload, Cluster(3), seed).total_wait.tolist()

    assert {name for name in HEURISTICS if waits(name, 0) != waits(name, 1)} == {"random"}


def test_fgd_knows_the_training_rows_alone(trace: VmTrace) -> None:
    """Rows behind the training split decide nothing."""
    training_rows, cluster = 60, Cluster(3)
    later = np.arange(len(trace)) >= training_rows
    other = VmTrace(
        np.where(later, 4.0, trace.cpu), np.where(later, 4.0, trace.memory), trace.arrival, trace.lifetime
    )
    workload = Workload(other, cluster)
    flavours = FragmentationGradient.of_trace(trace, last=training_rows)
    assert flavours != FragmentationGradient.of_trace(other)
    assert_equal(
        results_of(load_policy("fgd", training_rows), workload, cluster),
        run_heuristic(workload, cluster, Heuristic("fgd", flavours), STARTS, VM_COUNTS),
    )


@pytest.mark.parametrize("kind", ["spane", "mlp"])
def test_a_saved_model(workload: Workload, kind: str, tmp_path: Path) -> None:
    network = build_network(kind, {}, 3, seed=2)
    save_model(tmp_path / "model", network, METADATA)
    policy = load_policy(f"{tmp_path}/model/")
    assert policy.name == f"{tmp_path}/model"
    expected = EpisodeResults.of_state(
        *play_greedily(CompiledQNetwork(network), workload, Cluster(3), STARTS, VM_COUNTS)
    )
    for seed in (0, 1):
        assert_equal(results_of(policy, workload, Cluster(3), seed), expected)


def test_a_network_for_one_number_of_servers(workload: Workload) -> None:
    spane, mlp = (NetworkPolicy(kind, build_network(kind, {}, 3, seed=0)) for kind in ("spane", "mlp"))
    assert [spane.accepts(n) for n in (2, 3, 9)] == [True, True, True]
    assert [mlp.accepts(n) for n in (2, 3, 9)] == [False, True, False]
    assert results_of(spane, workload, Cluster(2)).placed.tolist() == VM_COUNTS.tolist()
    with pytest.raises(UserError, match="servers"):
        results_of(mlp, workload, Cluster(2))


def test_neither_heuristic_nor_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"policy 'frist-fit': neither a heuristic .*first-fit.* nor the dir"):
        load_policy("frist-fit")
    with pytest.raises(UserError, match=r"model\.json: no such file"):
        load_policy(str(tmp_path))
