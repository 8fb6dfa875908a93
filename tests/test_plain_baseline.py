"""The plain baseline does what the package does; otherwise ratios to it would mean nothing."""

import copy

import numpy as np
import pytest
import torch

from benchmarks.plain_baseline import GreedyPolicy, PlainEnv, PlainReplay, PlainUpdate, first_fit, play
from spane_rllib.datasets.vm_traces.synthetic import synthesize
from spane_rllib.learning.batch import Batch
from spane_rllib.learning.dqn import DqnUpdate
from spane_rllib.learning.replay import EpisodeReplay
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.rollout import ExploringRollout, play_greedily
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    EpisodeResults,
    Heuristic,
    Workload,
    compile_workload,
    probe_vm_counts,
    run_heuristic,
)
from spane_rllib.problems.vm_scheduling.waits.algorithms import DqnSettings

CLUSTER = Cluster(servers=5)
STARTS = np.array([100, 3_000, 7_500, 11_000])
SETTINGS = DqnSettings(n_step=7, batch_size=64, replay_capacity=20_000)


@pytest.fixture(scope="module")
def workload() -> Workload:
    return compile_workload(synthesize(vms=20_000, seed=0), CLUSTER)


@pytest.fixture(scope="module")
def vm_counts(workload: Workload) -> np.ndarray:
    return probe_vm_counts(workload, CLUSTER, STARTS)


def test_first_fit_waits(workload: Workload, vm_counts: np.ndarray) -> None:
    expected = run_heuristic(workload, CLUSTER, Heuristic("first-fit"), STARTS, vm_counts)
    env = PlainEnv(workload.trace, CLUSTER)
    episodes = [play(env, first_fit, *pair)[2] for pair in zip(STARTS, vm_counts, strict=True)]
    assert expected.total_wait.min() > 0  # or the comparison shows little
    np.testing.assert_allclose([sum(waits) for waits in episodes], expected.total_wait, rtol=1e-12)
    np.testing.assert_array_equal([max(waits) for waits in episodes], expected.max_wait)


def test_greedy_waits(workload: Workload, vm_counts: np.ndarray) -> None:
    network = build_network("spane", {}, servers=5, seed=1)
    expected = EpisodeResults.of_state(
        *play_greedily(CompiledQNetwork(network), workload, CLUSTER, STARTS, vm_counts)
    )
    env = PlainEnv(workload.trace, CLUSTER)
    totals = [sum(play(env, GreedyPolicy(network), *pair)[2]) for pair in zip(STARTS, vm_counts, strict=True)]
    np.testing.assert_allclose(totals, expected.total_wait, rtol=1e-12)


@pytest.fixture(scope="module")
def batches(workload: Workload, vm_counts: np.ndarray) -> tuple[list[np.ndarray], Batch]:
    """The same draw from both memories after the same half-random episodes."""
    rollout = ExploringRollout(workload, CLUSTER, len(STARTS))
    network = CompiledQNetwork(build_network("spane", {}, servers=5, seed=1))
    plain = PlainReplay(SETTINGS, np.random.default_rng(3))
    ours = EpisodeReplay(SETTINGS.replay_capacity, SETTINGS.n_step, SETTINGS.discount, seed=3)
    env = PlainEnv(workload.trace, CLUSTER)
    played = rollout.play(network, 0.5, STARTS, vm_counts, np.random.default_rng(4))
    for episode, start, vm_count in zip(played, STARTS, vm_counts, strict=True):
        recorded = iter(episode.action.tolist())
        plain.add_episode(*play(env, lambda _, recorded=recorded: next(recorded), start, vm_count))
        ours.add_episode(episode.observation, episode.action, -np.log1p(episode.wait))
    assert len(plain.transitions) == len(ours)
    return plain.sample(), ours.sample(SETTINGS.batch_size)


def test_replayed_batch(batches: tuple[list[np.ndarray], Batch]) -> None:
    plain, ours = batches
    now, then = ours.observation, ours.next_observation
    columns = [now["servers"], now["request"], ours.action, ours.n_step_return, ours.discount]
    columns += [then["servers"], then["request"], then["action_mask"]]
    for number, (mine, theirs) in enumerate(zip(plain, columns, strict=True)):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6, err_msg=str(number))


def test_gradient_steps(batches: tuple[list[np.ndarray], Batch]) -> None:
    plain, ours = batches
    network = build_network("spane", {}, servers=5, seed=1)
    other = copy.deepcopy(network)
    plain_update, update = PlainUpdate(network, SETTINGS), DqnUpdate(other, SETTINGS)
    for _ in range(3):
        assert plain_update.update(plain) == pytest.approx(update.update(ours)["loss"], rel=1e-4)
    for mine, theirs in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_full_memory_overwrites_its_oldest_transition(workload: Workload) -> None:
    settings = SETTINGS.model_copy(update={"replay_capacity": 4})
    replay = PlainReplay(settings, np.random.default_rng(0))
    env = PlainEnv(workload.trace, CLUSTER)
    observations, actions, _ = play(env, first_fit, 0, 6)
    replay.add_episode(observations, list(range(6)), [0.0] * 6)
    assert len(actions) == 6
    assert [transition[2] for transition in replay.transitions] == [4, 5, 2, 3]
