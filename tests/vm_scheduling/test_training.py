"""Training runs: bookkeeping by hand, exact continuation, and learning where the optimum is known."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from spane_rllib.core.bootstrap import trimmed_mean
from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import validated
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.learning.begin import begin_run
from spane_rllib.learning.replay_runs import DqnRun
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.rollout import ExploringRollout, HeuristicRollout, play_greedily
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    EpisodeResults,
    Heuristic,
    Workload,
    lower_bounds,
    probe_vm_counts,
    run_heuristic,
)
from spane_rllib.problems.vm_scheduling.slot_rollouts import SlotStarts
from spane_rllib.problems.vm_scheduling.waits.algorithms import DqnSettings
from spane_rllib.problems.vm_scheduling.waits.rollouts import WaitRollouts

KINDS = pytest.mark.parametrize("kind", ["spane", "mlp"])
SETTINGS = DqnSettings(
    gradient_steps=6,
    batch_size=16,
    n_step=5,
    lanes=4,
    warmup_episodes=6,
    replay_capacity=700,  # the ring is full after about ten episodes
    target_sync_every=4,
    episodes_per_gradient_step=2.0,
)
IMITATION = {"imitation_steps": 3, "imitation_decisions": 200}
VALIDATION, EVERY, TRIM = np.array([250, 260, 270, 280]), 2, 0.25


@pytest.fixture(scope="module")
def workload(trace: VmTrace) -> Workload:
    return Workload(trace, Cluster(2))


def make_run(workload: Workload, kind: str = "spane", seed: int = 0, **changes: Any) -> DqnRun:
    settings = DqnSettings(**(SETTINGS.model_dump() | changes))
    network = build_network(kind, {}, 2, seed)
    rollouts = WaitRollouts(workload, Cluster(2), (0, 250), settings, VALIDATION, TRIM)
    run = begin_run(network, settings, rollouts, EVERY, seed)
    assert isinstance(run, DqnRun)
    return run


def without_times(value: Any) -> Any:
    """A state in comparable form: no wall times, tensors and arrays as lists."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key != "seconds"}
    if isinstance(value, list | tuple):
        return [without_times(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | torch.Tensor) else value


@KINDS
def test_the_seed_decides_everything(workload: Workload, kind: str) -> None:
    first, second, other = (make_run(workload, kind, seed) for seed in (3, 3, 4))
    initial = copy.deepcopy(first.network.state_dict())
    for run in (first, second, other):
        torch.rand(1), np.random.random()  # noqa: NPY002  # global random state does not matter
        run.run_until(6)
    assert without_times(first.state()) == without_times(second.state())
    assert without_times(first.state()) != without_times(other.state())
    assert without_times(first.network.state_dict()) != without_times(initial)


@pytest.mark.parametrize("ratio", [0.25, 1.0, 2.0, 3.3])
def test_gradient_steps_are_paid_for_by_episodes(workload: Workload, ratio: float) -> None:
    """After e episodes floor((e - warm-up) / ratio) steps have been made, and no earlier than that."""
    run = make_run(workload, episodes_per_gradient_step=ratio, gradient_steps=1000, lanes=3)
    for iteration in range(1, 9):
        run._iterate()
        assert run.episodes == 3 * iteration
        assert run.gradient_steps == max(0, int((3 * iteration - 6) / ratio))


def test_no_gradient_step_before_the_warm_up_is_over(workload: Workload) -> None:
    run = make_run(workload, lanes=2, episodes_per_gradient_step=0.01)
    initial = copy.deepcopy(run.network.state_dict())
    for _ in range(3):
        run._iterate()
    assert (run.episodes, run.gradient_steps) == (6, 0)
    assert without_times(run.network.state_dict()) == without_times(initial)
    run._iterate()
    assert run.gradient_steps == 6 and run.finished  # not more than asked for, however many are paid for


def test_validation_at_multiples_and_at_the_end_keeps_the_best_weights(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(workload, gradient_steps=7, learning_rate=0.3)
    validated: list[tuple[int, float, Any]] = []
    validate = DqnRun._validate

    def watched(self: DqnRun) -> None:
        validate(self)
        weights = without_times(copy.deepcopy(self.network.state_dict()))
        validated.append((self.gradient_steps, self.metrics()["validation_wait"], weights))

    monkeypatch.setattr(DqnRun, "_validate", watched)
    assert run.best_metrics() == {"gradient_steps": None, "validation_wait": None}
    metrics = run.run_until(1000)
    assert [step for step, _, _ in validated] == [2, 4, 6, 7]
    step, wait, weights = min(validated, key=lambda entry: entry[1])
    assert len({wait for _, wait, _ in validated}) > 1
    assert (metrics["best_gradient_steps"], metrics["best_validation_wait"]) == (step, wait)
    assert run.best_metrics() == {"gradient_steps": step, "validation_wait": wait}
    assert without_times(run.best_network().state_dict()) == weights

    # The kept weights give that very wait: of four episodes the middle two count at a trim of 1/4.
    counts = probe_vm_counts(workload, Cluster(2), VALIDATION)
    best = CompiledQNetwork(run.best_network())
    waits = np.sort(
        EpisodeResults.of_state(*play_greedily(best, workload, Cluster(2), VALIDATION, counts)).total_wait
    )
    assert wait == pytest.approx(waits[1:3].mean(), rel=1e-12)
    bounds = np.sort(lower_bounds(workload, Cluster(2), VALIDATION, counts))
    last = validated[-1][1]
    assert metrics["validation_gap"] == pytest.approx(last / bounds[1:3].mean(), rel=1e-12)


def test_metrics_and_played_episodes(workload: Workload) -> None:
    run = make_run(workload, epsilon_initial=0.8, epsilon_final=0.2, epsilon_decay_steps=4)
    assert run.metrics()["epsilon"] == 0.8
    metrics = run.run_until(2)
    played = run.take_played()
    assert (metrics["gradient_steps"], metrics["episodes"]) == (run.gradient_steps, len(played))
    assert metrics["epsilon"] == pytest.approx(0.8 - 0.6 * run.gradient_steps / 4)
    assert metrics["decisions"] == sum(length for length, _ in played)
    assert all(value <= 0 for _, value in played) and any(value < 0 for _, value in played)
    assert run.take_played() == []


@KINDS
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"augmentation_permutations": 2},
        {"reward": "balance"},
        {"reward_baseline": "sbf", "weight_averaging": 0.9},
        {"imitate": "sbf", **IMITATION, "imitation_weight": 0.5, "augmentation_permutations": 2},
    ],
    ids=str,
)
def test_three_steps_and_three_more_equal_six(workload: Workload, kind: str, changes: dict[str, Any]) -> None:
    whole = make_run(workload, kind, **changes)
    whole.run_until(3)
    metrics = whole.run_until(6)
    first = make_run(workload, kind, **changes)
    first.run_until(3)
    state = first.state()
    kept = without_times(state)
    first.run_until(6)  # goes on, and must not reach into the state that was handed out
    assert without_times(state) == kept

    second = make_run(workload, kind, **changes)
    second.run_until(5)  # what it has learned is to be forgotten
    second.load_state(state)
    assert without_times(second.state()) == kept
    assert second.run_until(6) == metrics
    assert without_times(second.state()) == without_times(whole.state())


def test_rewards_are_relative_to_the_baselines_for_the_same_vm(workload: Workload) -> None:
    """The stored returns of one step are the differences of log waits, times the scale."""
    run = make_run(workload, n_step=1, reward_baseline="sbf", reward_scale=0.5, discount=0.0)
    starts = copy.deepcopy(run._starts).integers(0, 250, 4)
    counts = probe_vm_counts(workload, Cluster(2), starts)
    acting, exploration = CompiledQNetwork(run.network), copy.deepcopy(run._exploration)
    own = list(ExploringRollout(workload, Cluster(2), 4).play(acting, 0.6, starts, counts, exploration))
    sbf = list(HeuristicRollout(workload, Cluster(2), 4, Heuristic("sbf")).play(starts, counts))
    run._iterate()
    expected = np.concatenate(
        [0.5 * (np.log1p(b.wait) - np.log1p(a.wait)) for a, b in zip(own, sbf, strict=True)]
    )
    stored = run.replay.state()["columns"]["n_step_return"]
    np.testing.assert_allclose(stored, expected[-len(stored) :], rtol=1e-6)
    assert (expected > 0).any() and (expected < 0).any()
    assert [total for _, total in run.take_played()] == pytest.approx(
        [0.5 * (np.log1p(b.wait) - np.log1p(a.wait)).sum() for a, b in zip(own, sbf, strict=True)]
    )


def test_a_vm_that_only_one_of_both_places_has_no_relative_reward(workload: Workload) -> None:
    run = make_run(workload, reward_baseline="sbf", lanes=1)
    starts = SlotStarts(np.array([5]), np.array([60]))
    episodes = run.rollouts.explore(run.network, 0.5, starts, np.random.default_rng(0))
    [whole] = run._rewards(episodes, starts)
    # As if SBF were stuck from there on.
    [cut] = run._rewards(episodes, starts._replace(vm_counts=starts.vm_counts - 20))
    np.testing.assert_array_equal(cut, np.append(whole[:40], np.zeros(20)))


def test_the_average_of_the_weights_is_validated_and_kept(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of exponential averages of three weights: a1 = w1, a2 = d a1 + (1-d) w2, ..."""
    run = make_run(workload, weight_averaging=0.75, learning_rate=0.3)
    seen: list[torch.Tensor] = []
    update = run._update.update

    def watched(*args: Any) -> dict[str, float]:
        metrics = update(*args)
        seen.append(torch.nn.utils.parameters_to_vector(run.network.parameters()).detach().clone())
        return metrics

    monkeypatch.setattr(run._update, "update", watched)
    run.run_until(6)
    average = seen[0]
    for step, weights in enumerate(seen[1:], start=2):
        average = 0.75 * average + 0.25 * weights
        if step == run.best_step:
            best = average
    kept = torch.nn.utils.parameters_to_vector(run.best_network().parameters())
    torch.testing.assert_close(kept, best)
    counts = probe_vm_counts(workload, Cluster(2), VALIDATION)
    results = EpisodeResults.of_state(
        *play_greedily(CompiledQNetwork(run.best_network()), workload, Cluster(2), VALIDATION, counts)
    )
    assert trimmed_mean(results.total_wait, TRIM) == run.best_value


def test_the_warm_start_imitates_before_the_first_episode_and_is_validated(workload: Workload) -> None:
    run = make_run(workload, imitate="sbf", imitation_steps=150, imitation_decisions=3000)
    initial = copy.deepcopy(run.network.state_dict())
    run._iterate()
    assert run.gradient_steps == 0 and run.best_step == 0
    assert without_times(run.best_weights) == without_times(run.network.state_dict())
    assert without_times(run.network.state_dict()) != without_times(initial)
    assert without_times(run._update.target.state_dict()) == without_times(run.network.state_dict())
    assert run.metrics()["imitation_loss"] < 1.0  # of ln 4 for a network that knows nothing
    weights = copy.deepcopy(run.best_weights)
    run._iterate()  # once is enough
    assert without_times(run.best_weights) == without_times(weights) or run.best_step > 0


def test_a_state_does_not_fit_other_settings(workload: Workload) -> None:
    with pytest.raises(ValueError, match="n_step"):
        make_run(workload, n_step=6).load_state(make_run(workload).state())


def test_the_settings_refuse_what_does_not_fit() -> None:
    """A warm-up that the memory cannot hold, unknown heuristics, rewards of the other objective."""
    for keys, message in (
        ({"warmup_episodes": 18, "replay_capacity": 700, "batch_size": 1}, "18 warmup_episodes of at least"),
        ({"imitate": "keep-63"}, "imitate: 'keep-63' is not a heuristic; did you mean keep-64?"),
        ({"reward_baseline": "lb2"}, "reward_baseline: 'lb2' is not a heuristic; allowed: first-fit"),
        ({"imitation_weight": 1.0}, "imitation_weight needs a heuristic to imitate"),
        ({"augmentation_permutations": 1}, "augmentation_permutations must be 0 (none) or 2 to 120"),
        ({"reward": "allocation"}, "reward: must be 'log_wait', 'log_wait_hours', 'balance', 'wait' or"),
    ):
        with pytest.raises(UserError) as caught:
            validated(DqnSettings, keys)
        assert str(caught.value).startswith(message)


def packing_toy(periods: int = 20) -> VmTrace:
    """Per period four VMs of half a node that have to share a server, then one that needs an empty server."""
    half, giant = (20.0, 8.0), (64.0, 128.0)
    sizes = np.array([half, half, half, half, giant] * periods)
    arrival = np.array([1000.0 * period + 10 * vm for period in range(periods) for vm in range(5)])
    return VmTrace(sizes[:, 0], sizes[:, 1], arrival, np.full(5 * periods, 400.0), "packing toy")


@KINDS
def test_learns_to_keep_a_server_free(kind: str) -> None:
    cluster = Cluster(2)
    workload = Workload(packing_toy(), cluster)
    starts = np.arange(0, 50, 5)
    counts = probe_vm_counts(workload, cluster, starts)
    assert not lower_bounds(workload, cluster, starts, counts).any()
    assert run_heuristic(workload, cluster, Heuristic("random"), starts, counts).total_wait.min() > 0

    settings = DqnSettings(
        gradient_steps=200,
        learning_rate=0.003,
        batch_size=256,
        n_step=5,
        discount=0.9,
        lanes=8,
        warmup_episodes=16,
        target_sync_every=10,
        replay_capacity=20_000,
    )
    network = build_network(kind, {}, 2, seed=0)

    def waits(network: Any) -> Any:
        return EpisodeResults.of_state(
            *play_greedily(CompiledQNetwork(network), workload, cluster, starts, counts)
        ).total_wait

    assert waits(network).min() > 0
    rollouts = WaitRollouts(workload, cluster, (0, 50), settings, starts, trim=0.1)
    run = begin_run(network, settings, rollouts, every=10, seed=0)
    run.run_until(settings.gradient_steps)
    assert not waits(run.best_network()).any()
    assert not waits(run.network).any()
