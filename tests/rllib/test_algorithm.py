"""The algorithm inside RLlib and Tune, on a local Ray."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray import tune
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.models.preprocessors import get_preprocessor
from ray.tune.registry import ENV_CREATOR, _global_registry

from spane_rllib.cluster.session import ray_session
from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.policies import load_policy
from spane_rllib.problems.vm_scheduling.rollout import play_greedily
from spane_rllib.problems.vm_scheduling.simulator import EpisodeResults
from spane_rllib.problems.vm_scheduling.waits.env import VMSchedulingEnv
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS
from spane_rllib.rllib.algorithm import MODEL_FOLDER, SchedulingAlgorithm, SchedulingConfig

VM_SCHEDULING = "spane_rllib/VMScheduling-v0"
ENV_CONFIG = {"trace": "synthetic:vms=3000,seed=1", "servers": 2}
OBSERVATION = ("servers", "request", "action_mask")
NETWORKS = pytest.mark.parametrize("kind", ["spane", "mlp"])


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    with ray_session(num_cpus=2):
        yield


def config(kind: str = "spane", seed: int = 0, **training: Any) -> SchedulingConfig:
    """Six gradient steps, one per iteration."""
    settings = {
        "gradient_steps": 6,
        "gradient_steps_per_iteration": 1,
        "lanes": 2,
        "episodes_per_gradient_step": 2.0,
        "warmup_episodes": 2,
        "batch_size": 32,
        "n_step": 5,
        "replay_capacity": 2000,
        "target_sync_every": 2,
    }
    return (
        SchedulingConfig()
        .environment(env_config=dict(ENV_CONFIG))
        .training(**(settings | training))
        .network(kind)
        .validation(episodes=4, every=1)
        .debugging(seed=seed)
    )


@pytest.fixture
def build() -> Iterator[Any]:
    """Builds algorithms and stops them at the end of the test."""
    built = []

    def build_algorithm(of: SchedulingConfig) -> SchedulingAlgorithm:
        built.append(of.build_algo())
        return built[-1]

    yield build_algorithm
    for algorithm in built:
        algorithm.stop()


def comparable(value: Any) -> Any:
    """A state without wall times, tensors and arrays as lists."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items() if key != "seconds"}
    if isinstance(value, list | tuple):
        return [comparable(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | torch.Tensor) else value


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """What a training result says about learning."""
    own = ("gradient_steps", "episodes", "decisions", "replay_size", "epsilon", "loss", "validation_wait")
    own += ("validation_gap", "best_validation_wait", "best_gradient_steps", "done")
    returns = ("episode_return_mean", "episode_len_mean", "num_episodes")
    found = {name: result[name] for name in (*own, "num_env_steps_sampled_lifetime")}
    return found | {name: result["env_runners"][name] for name in returns}


def observations(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Decisions with at least one infeasible slot, from random episodes."""
    env, found = VMSchedulingEnv(**ENV_CONFIG), []
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    while len(found) < count:
        if not observation["action_mask"].all():
            found.append(observation)
        observation, _, terminated, truncated, _ = env.step(
            rng.choice(np.flatnonzero(observation["action_mask"]))
        )
        if terminated or truncated:
            observation, _ = env.reset()
    return found


def network_of(algorithm: SchedulingAlgorithm) -> Any:
    return algorithm.get_policy().model.network


def test_training_reports_progress_until_it_is_done(build: Any) -> None:
    algorithm = build(config(gradient_steps=5, gradient_steps_per_iteration=2))
    results = [algorithm.train() for _ in range(3)]
    assert [result["gradient_steps"] for result in results] == [2, 4, 5]
    assert [result["done"] for result in results] == [False, False, True]
    last = results[-1]
    assert last["num_env_steps_sampled_lifetime"] == last["decisions"] > 0
    assert last["num_env_steps_trained"] == 5 * 32
    assert last["best_validation_wait"] == min(result["best_validation_wait"] for result in results)
    assert last["env_runners"]["num_episodes"] == last["episodes"] - results[1]["episodes"]
    assert last["env_runners"]["episode_return_mean"] < 0
    assert last["info"]["learner"]["default_policy"]["learner_stats"]["loss"] == last["loss"]
    assert all(result["decisions_per_s"] > 0 for result in results)


@NETWORKS
@pytest.mark.parametrize("permutations", [0, 2])
def test_a_checkpoint_continues_exactly(build: Any, kind: str, permutations: int, tmp_path: Path) -> None:
    whole, first = (build(config(kind, augmentation_permutations=permutations)) for _ in range(2))
    expected = [whole.train() for _ in range(6)][3:]
    for _ in range(3):
        first.train()
    first.save(str(tmp_path))
    second = SchedulingAlgorithm.from_checkpoint(str(tmp_path))
    try:
        results = [second.train() for _ in range(3)]
        assert [numbers(result) for result in results] == [numbers(result) for result in expected]
        assert [result["training_iteration"] for result in results] == [4, 5, 6]
        assert comparable(second.run.state()) == comparable(whole.run.state())
        # RLlib's view of the networks is the one that was trained.
        for one, other in zip(
            (second.get_policy().model, *second.get_policy().target_models.values()),
            (whole.get_policy().model, *whole.get_policy().target_models.values()),
            strict=True,
        ):
            assert comparable(one.state_dict()) == comparable(other.state_dict())
    finally:
        second.stop()


def test_another_trial_in_the_same_process_finds_nothing_of_the_first(build: Any) -> None:
    reused, fresh = build(config("mlp", seed=1, learning_rate=0.5)), build(config("spane", seed=2))
    for _ in range(2):
        reused.train()
    assert reused.reset(config("spane", seed=2).to_dict())
    results = [[numbers(algorithm.train()) for _ in range(3)] for algorithm in (reused, fresh)]
    assert results[0] == results[1]
    assert comparable(reused.run.state()) == comparable(fresh.run.state())


WAITS_WITHOUT_RAY = """
import sys
import numpy as np
from spane_rllib.datasets.vm_traces.loading import load_trace
from spane_rllib.problems.vm_scheduling.policies import load_policy
from spane_rllib.problems.vm_scheduling.simulator import Cluster, EpisodeResults, compile_workload

cluster, starts = Cluster(2), np.arange(0, 2000, 100)
workload = compile_workload(load_trace("synthetic:vms=3000,seed=1"), cluster)
ends = load_policy(sys.argv[1]).play(workload, cluster, starts, np.full(20, 90), 0)
print(EpisodeResults.of_state(*ends).total_wait.tolist())
print("ray" in sys.modules)
"""


def test_the_model_in_a_checkpoint_loads_without_ray(build: Any, tmp_path: Path) -> None:
    algorithm = build(config())
    for _ in range(3):
        algorithm.train()
    algorithm.save(str(tmp_path))
    best = algorithm.best_network()
    loaded = load_policy(str(tmp_path / MODEL_FOLDER)).network
    assert comparable(loaded.state_dict()) == comparable(best.state_dict())
    program = [sys.executable, "-c", WAITS_WITHOUT_RAY, tmp_path / MODEL_FOLDER]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    instance = algorithm.config.task().instance
    starts = np.arange(0, 2000, 100)
    waits = EpisodeResults.of_state(
        *play_greedily(CompiledQNetwork(best), instance.workload, instance.cluster, starts, np.full(20, 90))
    ).total_wait
    assert done.stdout.splitlines() == [str(waits.tolist()), "False"]


@NETWORKS
def test_the_rllib_model_is_the_network_with_a_mask(build: Any, kind: str) -> None:
    algorithm = build(config(kind))
    algorithm.train()
    policy, seen = algorithm.get_policy(), observations(16)
    preprocessor = get_preprocessor(VMSchedulingEnv(**ENV_CONFIG).observation_space)(
        VMSchedulingEnv(**ENV_CONFIG).observation_space
    )
    flat = torch.from_numpy(np.stack([preprocessor.transform(each) for each in seen])).float()
    columns = {name: torch.from_numpy(np.stack([each[name] for each in seen])) for name in OBSERVATION}
    with torch.no_grad():
        q, state = policy.model({"obs": flat})
        expected = network_of(algorithm)(columns)
        values = policy.model.value_function()
    feasible = columns["action_mask"] != 0
    torch.testing.assert_close(q[feasible], expected[feasible], rtol=0, atol=0)
    assert (q[~feasible] < -1e37).all() and torch.isfinite(q).all()
    torch.testing.assert_close(values, expected.mean(dim=1))
    assert state == []


@NETWORKS
def test_single_actions_are_feasible_and_greedy_unless_exploring(build: Any, kind: str) -> None:
    algorithm = build(config(kind))
    algorithm.train()
    seen = observations(20)
    greedy = CompiledQNetwork(network_of(algorithm))
    for each in seen:
        expected = greedy.greedy_actions(*(each[name][None] for name in OBSERVATION))
        assert algorithm.compute_single_action(each) == expected[0]
    each = min(seen, key=lambda each: abs(each["action_mask"].sum() - 2))
    explored = {int(algorithm.compute_single_action(each, explore=True)) for _ in range(60)}
    assert explored == set(np.flatnonzero(each["action_mask"]))


def test_rllib_evaluates_whole_greedy_episodes(build: Any) -> None:
    """Without settings of its own, `evaluate()` plays ten greedy episodes and does not disturb training."""
    disturbed, undisturbed = build(config()), build(config())
    results = []
    for algorithm in (disturbed, undisturbed):
        algorithm.train()
        if algorithm is disturbed:
            evaluation = algorithm.evaluate()["env_runners"]
            assert evaluation["num_episodes"] == 10
            assert evaluation["episode_len_mean"] > 40 and evaluation["episode_return_mean"] < 0
        results.append(numbers(algorithm.train()))
    assert results[0] == results[1]


@pytest.mark.parametrize("runners", [0, 1])
def test_rllib_evaluates_between_iterations(build: Any, runners: int) -> None:
    """On rows of its own: the only test start has one VM count, hence one return under a greedy policy."""
    splits = {"train": [0, 1000], "validation": [1000, 1500], "test": [2000, 2001]}
    env_config = ENV_CONFIG | {"splits": splits}
    of = config().environment(env_config=env_config)
    of.evaluation(
        evaluation_interval=2,
        evaluation_duration=2,
        evaluation_num_env_runners=runners,
        evaluation_config=AlgorithmConfig.overrides(explore=False, env_config=env_config | {"split": "test"}),
    )
    algorithm = build(of)
    first, second = algorithm.train(), algorithm.train()
    assert "evaluation" not in first
    returns = second["evaluation"]["env_runners"]["hist_stats"]["episode_reward"]
    env = VMSchedulingEnv(**(env_config | {"split": "test"}))
    observation, info = env.reset(seed=0)
    assert info["start"] == 2000
    total, ended = 0.0, False
    greedy = CompiledQNetwork(network_of(algorithm))
    while not ended:
        action = greedy.greedy_actions(*(observation[name][None] for name in OBSERVATION))
        observation, reward, terminated, truncated, _ = env.step(action[0])
        total, ended = total + reward, terminated or truncated
    assert len(returns) == 2
    assert returns == pytest.approx([total, total])


def test_the_environment_is_registered() -> None:
    env = _global_registry.get(ENV_CREATOR, VM_SCHEDULING)(ENV_CONFIG)
    assert isinstance(env, VMSchedulingEnv) and env.action_space.n == 4
    with pytest.raises(UserError, match="env_config: 'server' is not known"):
        _global_registry.get(ENV_CREATOR, VM_SCHEDULING)({"server": 3})


def test_aliases_of_rllib_users() -> None:
    of = SchedulingConfig().training(lr=0.25, gamma=0.5, train_batch_size=7)
    assert (of.learning_rate, of.discount, of.batch_size) == (0.25, 0.5, 7)
    of = SchedulingConfig().update_from_dict({"lr": 0.25, "gamma": 0.5})
    of.validate()
    assert (of.learning_rate, of.discount, of.lr, of.gamma) == (0.25, 0.5, 0.25, 0.5)
    again = SchedulingConfig().update_from_dict(of.to_dict())
    assert (again.learning_rate, again.discount) == (0.25, 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.training(learning_rat=0.1),
            "training: learning_rat: unknown key; did you mean learning_rate",
        ),
        (lambda c: c.update_from_dict({"n_stpe": 3}), "training: n_stpe: unknown key; did you mean n_step"),
        (lambda c: c.training(lr=-1.0), "training: learning_rate: .*got -1.0"),
        (lambda c: c.training(batch_size=10**6), "batch_size 1000000 exceeds replay_capacity"),
        (
            lambda c: c.training(gradient_steps_per_iteration=0),
            "gradient_steps_per_iteration: .*at least 1, got 0",
        ),
        (lambda c: c.validation(every=0), "validation: every: .*equal to 1, got 0"),
        (lambda c: c.validation(trim=0.5), "validation: trim: .*less than 0.5, got 0.5"),
        (lambda c: c.validation(trimm=0.5), "validation: trimm: unknown key; did you mean trim"),
        (lambda c: c.training(algorithm="pqo"), "training: algorithm: unknown 'pqo'; did you mean ppo"),
        (
            lambda c: c.environment("spane_rllib/Fadin-v0"),
            "'spane_rllib/Fadin-v0': .*mean spane_rllib/Fading",
        ),
        (lambda c: c.env_runners(num_env_runners=2), "num_env_runners: must be 0, got 2.*lanes"),
        (lambda c: c.network("spane", servr_width=4), "servr_width: .*did you mean server_width"),
        (lambda c: c.network("transformer"), "network 'transformer' is unknown"),
        (lambda c: c.environment(env_config={"servers": 0}), "servers: 0 is not allowed"),
    ],
)
def test_bad_configurations_are_refused_in_one_line(change: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        of = change(config())
        of.validate()
        of.task()
    assert "\n" not in str(caught.value)


def test_the_environment_decides_the_problem(build: Any) -> None:
    """In whatever order the setters are called; keys in `env_config` decide nothing."""
    env_config = {"trace": "synthetic:vms=3000,seed=1"}
    of = SchedulingConfig().training(
        algorithm="a2c", gradient_steps=1, lanes=4, episodes_per_start=2, learning_rate=0.5
    )
    assert of.reward == "log_wait"
    of = of.environment("spane_rllib/Fading-v0", env_config=env_config).validation(episodes=2, every=1)
    assert (of.reward, of.learning_rate, of.lanes) == ("allocation", 0.5, 4)
    algorithm = build(of)
    result = algorithm.train()
    assert result["validation_allocations"] == result["best_validation_allocations"] > 0
    assert "validation_wait" not in result and result["done"]
    assert type(algorithm.run.rollouts).__name__ == "AllocationRollouts"
    assert algorithm.get_policy().model.network is algorithm.run.network
    waits = SchedulingConfig().environment(env_config=env_config | {"scenario": "fading"})
    with pytest.raises(UserError, match="env_config: 'scenario' is not known"):
        waits.task()


def test_the_first_algorithm_of_a_problem_is_its_default() -> None:
    config = SchedulingConfig().environment("spane_rllib/VMRescheduling-v0")  # which has no `dqn`
    assert config.to_dict()["clip"] == config.problem.algorithms["ppo"]().clip
    assert SchedulingConfig().to_dict()["n_step"] == WAITS.algorithms["dqn"]().n_step
    with pytest.raises(UserError, match="unknown 'dqn'"):
        SchedulingConfig().training(algorithm="dqn").environment("spane_rllib/VMRescheduling-v0")


def test_keys_of_another_problem_are_refused_when_all_is_known() -> None:
    of = SchedulingConfig().training(imitate="sbf").environment("spane_rllib/Fading-v0")
    with pytest.raises(UserError, match="training: imitate: unknown key"):
        of.validate()
    of = SchedulingConfig().environment("spane_rllib/Fading-v0").training(reward="log_wait")
    with pytest.raises(
        UserError, match="training: reward: must be 'allocation' or 'cpu_share', got 'log_wait'"
    ):
        of.validate()


def test_a_configuration_survives_being_written_out() -> None:
    of = SchedulingConfig().environment("spane_rllib/Fading-v0").training(algorithm="ppo", clip=0.3)
    again = SchedulingConfig().update_from_dict(of.to_dict())
    assert again.hyperparameters() == of.hyperparameters()
    assert again.hyperparameters().clip == 0.3 and again.hyperparameters().reward == "allocation"
    assert again.given == ["clip"]


@pytest.mark.slow
def test_plain_tune(tmp_path: Path) -> None:
    """As README users do it: the configuration as the param space, one key searched."""
    space = config(gradient_steps=2, lr=tune.grid_search([0.001, 0.1]))
    grid = tune.Tuner(
        SchedulingAlgorithm,
        param_space=space,
        run_config=tune.RunConfig(
            name="plain",
            storage_path=str(tmp_path),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True),
        ),
    ).fit()
    assert not grid.errors
    assert [result.metrics["gradient_steps"] for result in grid] == [2, 2]
    assert [result.config["learning_rate"] for result in grid] == [0.001, 0.1]
    for result in grid:
        with result.checkpoint.as_directory() as checkpoint:
            assert load_policy(f"{checkpoint}/{MODEL_FOLDER}").accepts(7)
