"""Learned policies that choose whom to place as well as where: network, training, models, evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pytest
import torch

from spane_rllib.__main__ import main
from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import validated
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.experiments.tuning.config import experiment_settings
from spane_rllib.learning.replay_runs import DqnRun
from spane_rllib.problems.vm_scheduling.choice_policy import ChoicePolicy
from spane_rllib.problems.vm_scheduling.choice_rollout import EXPLORING, ChoiceRollout, Record
from spane_rllib.problems.vm_scheduling.deploying import load_deployed
from spane_rllib.problems.vm_scheduling.networks.choice import ChoiceNetwork, build_choice
from spane_rllib.problems.vm_scheduling.networks.choice_kernel import CompiledChoice, rate_choices
from spane_rllib.problems.vm_scheduling.queue_disciplines import parse_queue
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Heuristic, compile_workload, run_heuristic
from spane_rllib.problems.vm_scheduling.simulator.episodes import EpisodeResults
from spane_rllib.problems.vm_scheduling.waits.choice_rollouts import ChoiceRollouts
from spane_rllib.problems.vm_scheduling.waits.instance import WaitInstance
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS
from spane_rllib.problems.vm_scheduling.waits.task import WaitTask

ENVIRONMENT = "spane_rllib/VMChoice-v0"
CLUSTER = Cluster(servers=3)
SKIP = parse_queue("skip:4")
VALIDATION = WAITS.validation(episodes=3, every=1)
GROUPS = [{"count": 1, "node_cpu": 40, "node_memory": 90}, {"count": 1, "node_cpu": 64, "node_memory": 128}]


def task_of(trace: VmTrace, queue: str = "skip:4", **servers: Any) -> WaitTask:
    splits = {"train": [0, 200], "validation": [200, 250], "test": [250, 300]}
    return WaitTask(
        WAITS, WaitInstance(trace=trace, queue=queue, splits=splits, **(servers or {"servers": 3}))
    )


def decisions(trace: VmTrace, cluster: Cluster = CLUSTER) -> Record:
    """Of an episode with many waiting VMs, half of them drawn at random."""
    rollout = ChoiceRollout(compile_workload(trace, cluster, SKIP), cluster, 4)
    network = build_choice({"may_wait": True}, 0, 2 * cluster.node_features)
    return rollout.play(CompiledChoice(network), 0, 200, EXPLORING, 0.5, np.random.default_rng(0)).record


def observation_of(record: Record, rows: slice = slice(-1)) -> dict[str, torch.Tensor]:
    names = ("servers", "waiting", "action_mask")
    return {name: torch.from_numpy(getattr(record, name)[rows]) for name in names}


@pytest.mark.parametrize("node_symmetry", [False, True])
def test_servers_and_nodes_are_exchangeable(trace: VmTrace, node_symmetry: bool) -> None:
    seen = observation_of(decisions(trace))
    network = build_choice({"node_symmetry": node_symmetry, "may_wait": True}, seed=1)
    order = torch.tensor([2, 0, 1])
    nodes = torch.tensor([[1, 0], [0, 1], [1, 0]]) if node_symmetry else torch.tensor([[0, 1]] * 3)
    slots = (2 * order[:, None] + nodes).flatten()
    renamed = torch.cat([(torch.arange(4)[:, None] * 6 + slots).flatten(), torch.tensor([24])])
    other = {
        "servers": seen["servers"].flatten(1, 2)[:, slots].unflatten(1, (3, 2)),
        "waiting": seen["waiting"],
        "action_mask": seen["action_mask"][:, renamed],
    }
    assert (seen["waiting"][:, 2, 0] > 0).any()  # three VMs wait somewhere
    q = network(seen)
    torch.testing.assert_close(network(other), q[:, renamed], atol=1e-4, rtol=1e-4)
    swapped = {**seen, "servers": seen["servers"].flip(2)}
    assert not torch.allclose(network(swapped), q, atol=1e-3)


def test_the_mean_over_feasible_actions_is_the_value_and_more_places_change_nothing(trace: VmTrace) -> None:
    seen = observation_of(decisions(trace))
    network = build_choice({"may_wait": True}, seed=1)
    q, (value, advantage) = network(seen), network.value_and_advantage(seen)
    mask = seen["action_mask"].float()
    torch.testing.assert_close((q * mask).sum(1) / mask.sum(1), value[:, 0], atol=1e-4, rtol=1e-4)
    wider = {
        "servers": seen["servers"],
        "waiting": torch.cat([seen["waiting"], torch.zeros_like(seen["waiting"])], dim=1),
        "action_mask": torch.cat(
            [
                seen["action_mask"][:, :-1],
                torch.zeros(len(mask), 24, dtype=torch.int8),
                seen["action_mask"][:, -1:],
            ],
            dim=1,
        ),
    }
    more = network.value_and_advantage(wider)[1]
    torch.testing.assert_close(more[:, :24], advantage[:, :24], atol=1e-4, rtol=1e-4)
    assert (more[:, 24:48] == 0).all()
    actions = network.greedy(seen)
    assert (seen["action_mask"].gather(1, actions[:, None]) == 1).all()


@pytest.mark.parametrize(
    ("options", "groups"),
    [({}, None), ({"may_wait": True, "node_symmetry": False, "server_depth": 3, "queue_depth": 2}, GROUPS)],
)
def test_the_compiled_network_is_the_same(
    trace: VmTrace, options: dict[str, Any], groups: list[dict[str, float]] | None
) -> None:
    cluster = CLUSTER if groups is None else WaitInstance(trace=trace, server_groups=groups).cluster
    record = decisions(trace, cluster)
    network = build_choice(options, 3, 2 * cluster.node_features)
    compiled = CompiledChoice(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.01
    compiled.refresh()
    _, expected = network.value_and_advantage(observation_of(record))
    for row in range(0, len(record.action), 7):
        q = np.empty(expected.shape[1], np.float32)
        seen = record.servers[row], record.waiting[row], record.action_mask[row]
        rate_choices(compiled.weights, compiled.layout, *seen, q)
        np.testing.assert_allclose(q, expected[row].detach().numpy(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["keep-64", "move-to-front"])
def test_what_is_imitated_is_the_heuristic_under_skip(trace: VmTrace, name: str) -> None:
    workload = compile_workload(trace, CLUSTER, SKIP)
    rollout = ChoiceRollout(workload, CLUSTER, 4)
    for start, vms in ((0, 250), (57, 120)):
        results = run_heuristic(workload, CLUSTER, Heuristic(name), start, vms)
        played = rollout.imitated(Heuristic(name), start, vms)
        record = played.record
        assert played.finished and played.total_wait == results.total_wait[0] > 0
        assert record.wait.max() == results.max_wait[0]
        assert sorted(record.item) == list(range(vms))
        assert record.action_mask[np.arange(vms), record.action].all()
        assert (record.action < 24).all()
        whom = record.action // 6
        fits = record.action_mask[:-1, :-1].reshape(vms, 4, 6).any(axis=2)
        np.testing.assert_array_equal(whom, fits.argmax(axis=1))
        assert whom.max() > 0


def toy_settings(**changes: Any) -> Any:
    usual = {"lanes": 2, "warmup_episodes": 2, "batch_size": 64, "gradient_steps": 2, "n_step": 5}
    imitation = {"imitate": "keep-64", "imitation_steps": 2, "imitation_decisions": 300}
    return WAITS.algorithms["dqn"](**{**usual, **imitation, "reward_baseline": "keep-64", **changes})


def test_imitation_learns_whom_to_place(trace: VmTrace) -> None:
    task = task_of(trace, servers=2)
    network: Any = task.build_network("choice", {}, seed=0)
    settings = toy_settings(imitation_steps=150, imitation_decisions=1500, batch_size=128)
    run: Any = task.begin_run(network, settings, VALIDATION, seed=0)
    run._imitate(settings)
    assert isinstance(run.rollouts, ChoiceRollouts)
    seen = run._demonstrations.decisions
    chosen = network.greedy({name: torch.from_numpy(array) for name, array in seen.observation.items()})
    assert (chosen.numpy() // 4 == seen.action // 4).mean() > 0.98
    assert (seen.action // 4).max() > 0


def test_rewards_are_relative_to_the_heuristic_and_waiting_is_worth_nothing(trace: VmTrace) -> None:
    task = task_of(trace)
    network: Any = task.build_network("choice", {"may_wait": True}, seed=0)
    run: Any = task.begin_run(network, toy_settings(reward="fairness"), VALIDATION, seed=0)
    assert isinstance(run, DqnRun)
    starts = run.rollouts.draw_starts(np.random.default_rng(1), 2)
    played = run.rollouts.explore(network, 1.0, starts, np.random.default_rng(2))
    relative = run._rewards(played, starts)
    for episode, rewards, baseline in zip(
        played, relative, run.rollouts.baseline_rewards(starts), strict=True
    ):
        waiting = episode.action == 24
        assert waiting.any() and (episode.item[waiting] == -1).all() and (rewards[waiting] == 0).all()
        assert sorted(episode.item[~waiting]) == list(range(len(baseline)))
        assert rewards.sum() == pytest.approx(episode.reward.sum() - baseline.sum())


@pytest.mark.parametrize("algorithm", ["dqn", "ppo"])
def test_training_is_decided_by_the_seed(trace: VmTrace, algorithm: str) -> None:
    settings = toy_settings()
    if algorithm == "ppo":
        settings = WAITS.algorithms["ppo"](lanes=2, episodes_per_start=2, gradient_steps=2, batch_size=64)
    weights = []
    for _ in range(2):
        task = task_of(trace)
        network: Any = task.build_network("choice", {}, seed=0)
        metrics = task.begin_run(network, settings, VALIDATION, seed=5).run_until(2)
        assert metrics["gradient_steps"] == 2 and metrics["validation_wait"] > 0
        weights.append(torch.nn.utils.parameters_to_vector(network.parameters()).detach())
    assert torch.equal(*weights)
    fresh: Any = task_of(trace).build_network("choice", {}, seed=0)
    assert not torch.equal(weights[0], torch.nn.utils.parameters_to_vector(fresh.parameters()))


@pytest.fixture(scope="module")
def model(trace: VmTrace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "choice"
    task = task_of(trace)
    task.save_model(folder, task.build_network("choice", {}, 4), seed=4, metrics={}, training={})
    return folder


def test_a_model_plays_as_in_the_environment(trace: VmTrace, model: Path) -> None:
    task = task_of(trace)
    policy: Any = task.load_policy(str(model))
    assert isinstance(policy, ChoicePolicy) and isinstance(policy.network, ChoiceNetwork)
    assert json.loads((model / "model.json").read_text())["metadata"]["queue"] == "skip:4"
    starts, vm_counts = np.array([10, 120]), np.array([150, 200])
    results = EpisodeResults.of_state(
        *policy.play(task.instance.workload, CLUSTER, starts, vm_counts, seed=0)
    )
    env = gymnasium.make(ENVIRONMENT, trace=trace, servers=3, choices=4, flat_actions=True)
    compiled, q = CompiledChoice(policy.network), np.empty(25, np.float32)
    for index in range(2):
        options = {"start": int(starts[index]), "vm_count": int(vm_counts[index])}
        observation, info = env.reset(options=options)
        ended = False
        while not ended:
            assert observation in env.observation_space
            rate_choices(compiled.weights, compiled.layout, *observation.values(), q)
            action = np.where(observation["action_mask"], q, -np.inf).argmax()
            observation, _, ended, _, info = env.step(action)
        assert info["total_wait"] == results.total_wait[index] > 0
        assert (info["max_wait"], info["placed"]) == (results.max_wait[index], results.placed[index])


@pytest.mark.parametrize("may_wait", [False, True])
def test_waiting_is_an_option(trace: VmTrace, may_wait: bool) -> None:
    network = build_choice({"may_wait": may_wait}, seed=2)
    rollout = ChoiceRollout(compile_workload(trace, CLUSTER, SKIP), CLUSTER, 4)
    record = rollout.play(CompiledChoice(network), 0, 200, EXPLORING, 1.0, np.random.default_rng(0)).record
    assert (record.action == 24).any() == record.action_mask[:, 24].any() == may_wait
    seen = observation_of(record)
    seen["action_mask"][:, 24] = 1
    value, q = network.value_and_advantage(seen)[0], network(seen)
    assert may_wait or (network.greedy(seen) != 24).all()
    mask = seen["action_mask"].float()
    mask[:, 24] = may_wait
    torch.testing.assert_close((q * mask).sum(1) / mask.sum(1), value[:, 0], atol=1e-4, rtol=1e-4)


def test_the_command(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--trace", "synthetic:vms=3000", "--servers", "3", "--episodes", "4"]
    policies = ["--policy", "keep-64", "--policy", str(model)]
    assert main(["evaluate", *policies, *options, "--queue", "skip:4", "--output", str(tmp_path)]) == 0
    episodes = pd.read_csv(tmp_path / "episodes.csv")
    assert [list(rows) for _, rows in episodes.groupby("policy")["start"]] == [
        list(episodes["start"][:4])
    ] * 2
    assert (episodes["lower_bound_s"] <= episodes["total_wait_s"] + 1e-6).all()
    capsys.readouterr()
    for queue in ("fifo", "skip", "skip:5"):
        assert main(["evaluate", *policies, *options, "--queue", queue]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert f"chooses whom to place under queue skip:4 alone, and queue is {queue} here" in error
    record = ["--record", str(tmp_path / "record")]
    assert main(["evaluate", "--policy", str(model), *options, "--queue", "skip:4", *record]) == 2
    assert "can be evaluated, but neither recorded nor deployed" in capsys.readouterr().err
    assert main(["evaluate", "--policy", str(model), "--scenario", "fading", *options[:2]]) == 2
    assert "chooses whom to place under queue skip:4 alone" in capsys.readouterr().err


def test_what_does_not_fit_is_refused(trace: VmTrace, model: Path, tmp_path: Path) -> None:
    groups = task_of(trace, server_groups=GROUPS)
    evaluation = groups.evaluation(WAITS.evaluation(episodes=2))
    assert evaluation.refusal(groups.load_policy(str(model)), 2) == "was trained on equal servers"
    with pytest.raises(UserError, match="neither recorded nor deployed"):
        load_deployed(str(model))
    text = (model / "model.json").read_text()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "weights.safetensors").write_bytes((model / "weights.safetensors").read_bytes())
    for old, new, message in (
        ('"skip:4"', '"fifo"', "needs queue: skip:K with K from 2 to 64, but queue is fifo"),
        ('"queue_depth": 1', '"queue_depth": 0', "queue_depth"),
        ('"queue_width": 16', '"queue_width": 8', "tensor"),
    ):
        assert old in text
        (broken / "model.json").write_text(text.replace(old, new))
        with pytest.raises(UserError, match=message):
            groups.load_policy(str(broken))
    for queue in ("fifo", "skip", "skip:1", "skip:65", "easy"):
        with pytest.raises(UserError, match=r"which needs queue: skip:K"):
            task_of(trace, queue).build_network("choice", {}, 0)
    with pytest.raises(UserError, match="flat_actions: true"):
        WAITS.load_environment(ENVIRONMENT, {})
    keywords = {"trace": trace, "choices": 4, "flat_actions": True}
    task = WAITS.load_environment(ENVIRONMENT, keywords)
    assert task.queue == "skip:4"
    assert isinstance(task.build_network("choice", {}, 0), ChoiceNetwork)
    with pytest.raises(UserError, match="network spane: cannot learn on spane_rllib/VMChoice-v0"):
        task.build_network("spane", {}, 0)
    plain = WAITS.load_environment("spane_rllib/VMScheduling-v0", {"trace": trace, "queue": "skip:4"})
    with pytest.raises(UserError, match="network choice: cannot learn on spane_rllib/VMScheduling-v0"):
        plain.build_network("choice", {}, 0)


def test_configurations(trace: VmTrace) -> None:
    method = {"network": "choice"}
    for keys, message in (
        ({}, "methods.a: network choice: .* but queue is fifo"),
        (
            {"queue": "skip:8", "training": {"augmentation_permutations": 5}},
            "methods.a: augmentation_permutations",
        ),
        ({"queue": "skip:8", "methods": {"a": method | {"options": {"width": 3}}}}, "width"),
    ):
        with pytest.raises(UserError, match=message):
            validated(experiment_settings(WAITS), {"name": "t", "methods": {"a": method}, **keys}, "config")
    name, keywords = task_of(trace).environment_of("choice")
    assert (name, keywords["choices"], keywords["flat_actions"]) == (ENVIRONMENT, 4, True)
    assert "queue" not in keywords
    assert task_of(trace).environment_of("spane") == task_of(trace).environment


@pytest.mark.slow
def test_an_experiment_from_beginning_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = {
        "output": tmp_path,
        "trace.source": "synthetic",
        "trace.synthetic_vms": 3000,
        "cluster.servers": 2,
        "methods.choice.seeds": 2,
        "training.gradient_steps": 4,
        "training.imitation_steps": 3,
        "training.imitation_decisions": 500,
        "training.batch_size": 32,
        "training.warmup_episodes": 4,
        "training.lanes": 4,
        "validation.episodes": 5,
        "validation.every": 2,
        "evaluation.episodes": 6,
        "resources.num_cpus": 1,
    }
    assert main(["tune", "vm_choice", *(f"--set={key}={value}" for key, value in keys.items())]) == 0
    episodes = pd.read_csv(tmp_path / "vm_choice" / "episodes.csv")
    assert episodes["policy"].nunique() == 4 and len(episodes) == 24
    model = tmp_path / "vm_choice" / "models" / "choice" / "choice-0000"
    options = ["--trace", "synthetic:vms=3000", "--servers", "2", "--queue", "skip:8", "--seed", "2026"]
    output = ["--episodes", "6", "--output", str(tmp_path / "again")]
    assert main(["evaluate", "--policy", str(model), *options, *output]) == 0
    again = pd.read_csv(tmp_path / "again" / "episodes.csv")
    same = episodes[episodes["policy"] == "choice-0000"]
    assert list(again["total_wait_s"]) == list(same["total_wait_s"])
