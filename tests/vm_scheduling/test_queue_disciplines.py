"""Queue disciplines from outside: names, commands, environments, models, training and recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pytest

from spane_rllib.__main__ import main
from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.learning.begin import begin_run
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.networks.weights import load_model
from spane_rllib.problems.vm_scheduling.policies import HeuristicPolicy
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO, parse_queue
from spane_rllib.problems.vm_scheduling.recordings.loading import read_schedule
from spane_rllib.problems.vm_scheduling.recordings.recorder import record_episode, record_episodes
from spane_rllib.problems.vm_scheduling.simulator import Cluster, compile_workload
from spane_rllib.problems.vm_scheduling.simulator.episodes import EpisodeResults
from spane_rllib.problems.vm_scheduling.waits.algorithms import DqnSettings
from spane_rllib.problems.vm_scheduling.waits.instance import WaitInstance
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS
from spane_rllib.problems.vm_scheduling.waits.rollouts import WaitRollouts
from spane_rllib.problems.vm_scheduling.waits.task import WaitEvaluation, WaitTask

CLUSTER = Cluster(servers=3)
SKIP = parse_queue("skip")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        *((name, name) for name in ("fifo", "skip", "skip:1", "skip:8", "easy", "conservative", "aged:0")),
        ("skip:008", "skip:8"),
        ("aged:3600.0", "aged:3600"),
        ("aged:1e3", "aged:1000"),
        ("aged:0.5", "aged:0.5"),
        ("aged:-0", "aged:0"),
    ],
)
def test_names(text: str, canonical: str) -> None:
    queue = parse_queue(text)
    assert queue.text == canonical
    assert parse_queue(canonical) == queue
    assert queue.is_fifo == (text == "fifo")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "FIFO",
            "lifo",
            "skip:",
            "skip:0",
            "skip:-1",
            "skip:1.5",
            "skip:1_0",
            "skip:٣",
            "skip:10000000",
        ),
        *("skip:8:9", "easy:1", "aged", "aged:", "aged:-1", "aged:nan", "aged:inf", "aged:1 ", "aged:1_0"),
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UserError, match="is no queue discipline; allowed are fifo, skip, skip:DEPTH, easy"):
        parse_queue(text)


def test_every_form_is_refused_where_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--queue", "skip:0", "--policy", "sbf"]) == 2
    assert "argument --queue: 'skip:0' is no queue discipline" in capsys.readouterr().err
    assert main(["evaluate", "--queue", "skip", "--scenario", "fading", "--policy", "sbf"]) == 2
    assert "argument --queue: not allowed with argument --scenario" in capsys.readouterr().err
    assert main(["tune", "quick", "--set", "queue=lifo"]) == 2
    assert "queue: 'lifo' is no queue discipline" in capsys.readouterr().err
    with pytest.raises(UserError, match="queue: 'lifo' is no queue discipline"):
        gymnasium.make("spane_rllib/VMScheduling-v0", trace="synthetic:vms=3000", queue="lifo")


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--trace", "synthetic:vms=4000", "--servers", "2", "--episodes", "12", "--queue", "skip:8"]
    folder = ["--output", str(tmp_path), "--record", str(tmp_path / "record")]
    assert main(["evaluate", "--policy", "sbf", *options, *folder]) == 0
    shown = capsys.readouterr()
    assert "queue: skip:8" in shown.err
    assert "overtaken" in shown.out
    episodes = pd.read_csv(tmp_path / "episodes.csv")
    assert (episodes["lower_bound_s"] <= episodes["total_wait_s"]).all()
    assert episodes["overtaken"].sum() > 0
    schedule = read_schedule(tmp_path / "record" / f"sbf-skip-8-2-servers-start-{episodes['start'][0]}.npz")
    assert schedule.queue == "skip:8"
    assert schedule.total_wait == pytest.approx(episodes["total_wait_s"][0], rel=1e-12)
    assert main(["compare", "sbf", "first-fit", *options]) == 0
    assert "queue: skip:8" in capsys.readouterr().err


def task_of(trace: VmTrace, queue: str) -> WaitTask:
    return WaitTask(WAITS, WaitInstance(trace=trace, servers=3, queue=queue))


def test_parts_environments_and_models_know_the_queue(trace: VmTrace, tmp_path: Path) -> None:
    keys = set()
    for queue in ("fifo", "skip", "skip:1", "easy"):
        task = task_of(trace, queue)
        evaluation = WaitEvaluation(task, (3,), np.array([0]), seed=0)
        keys.add(evaluation.part(HeuristicPolicy("sbf"), 3).key)
        assert task.environment[1]["queue"] == queue
    assert len(keys) == 4
    network = build_network("spane", {}, 3, seed=0)
    task_of(trace, "aged:60").save_model(tmp_path / "m", network, seed=0, metrics={}, training={})
    assert load_model(tmp_path / "m")[1].queue == "aged:60"


def test_environments_follow_the_queue(trace: VmTrace) -> None:
    """First Fit in the single and the vectorized environment waits as in the simulator."""
    workload = compile_workload(trace, CLUSTER, SKIP)
    starts, counts = np.array([0, 57]), np.array([300, 200])
    policy = HeuristicPolicy("first-fit")
    results = EpisodeResults.of_state(*policy.play(workload, CLUSTER, starts, counts, 0))
    keywords: dict[str, Any] = {"trace": trace, "servers": 3, "queue": "skip"}
    env = gymnasium.make("spane_rllib/VMScheduling-v0", **keywords)
    seen: list[int] = []
    observation, info = env.reset(options={"start": 0, "vm_count": 300})
    terminated = False
    while not terminated:
        seen.append(info["vm"])
        observation, _, terminated, _, info = env.step(observation["action_mask"].argmax())
    assert sorted(seen) == list(range(300)) != seen
    assert (info["vm"], info["placed"]) == (300, 300)
    assert info["total_wait"] == results.total_wait[0]
    envs = gymnasium.make_vec(
        "spane_rllib/VMScheduling-v0", 2, vectorization_mode="vector_entry_point", **keywords
    )
    observations, _ = envs.reset(options={"start": starts, "vm_count": counts})
    last = np.zeros(2)
    done = np.zeros(2, np.bool_)
    while not done.all():
        observations, _, ended, _, infos = envs.step(observations["action_mask"].argmax(axis=1))
        last = np.where(ended & ~done, infos["total_wait"], last)
        done |= ended
    np.testing.assert_array_equal(last, results.total_wait)


@pytest.mark.parametrize("queue", ["skip", "aged:60", "easy", "conservative"])
def test_a_recording_is_the_episode_that_is_evaluated(trace: VmTrace, queue: str, tmp_path: Path) -> None:
    workload, policy = compile_workload(trace, CLUSTER, parse_queue(queue)), HeuristicPolicy("keep-64")
    schedule = record_episode(policy, workload, CLUSTER, 10, 300)
    ends = policy.play(workload, CLUSTER, np.array([10]), np.array([300]), 0)
    results = EpisodeResults.of_state(*ends)
    assert schedule.total_wait == pytest.approx(results.total_wait[0], rel=1e-12)
    placed = schedule.events.vm[~schedule.events.departure]
    assert sorted(placed) == list(range(300)) != placed.tolist()
    [file] = record_episodes([policy], workload, CLUSTER, np.array([10]), tmp_path)
    assert read_schedule(file).queue == queue


@pytest.mark.slow  # compiles what training plays with
def test_training_is_on_the_queue_and_rewards_are_relative_vm_by_vm(trace: VmTrace) -> None:
    workload = compile_workload(trace, CLUSTER, SKIP)
    settings = DqnSettings(
        gradient_steps=3,
        warmup_episodes=1,
        lanes=2,
        batch_size=8,
        replay_capacity=10_000,
        n_step=2,
        reward_baseline="sbf",
        imitate="sbf",
        imitation_steps=2,
        imitation_decisions=50,
    )
    rollouts = WaitRollouts(workload, CLUSTER, (0, 100), settings, np.array([0, 57]), trim=0.0)
    starts = rollouts.draw_starts(np.random.default_rng(0), 2)
    network = build_network("spane", {}, 3, seed=0)
    episodes = rollouts.explore(network, 0.0, starts, np.random.default_rng(0))
    for episode in episodes:
        assert episode.item is not None
        assert sorted(episode.item) == list(range(len(episode)))
    baselines = rollouts.baseline_rewards(starts)
    assert baselines is not None
    policy = HeuristicPolicy("sbf")
    results = EpisodeResults.of_state(*policy.play(workload, CLUSTER, *starts, 0))
    np.testing.assert_allclose([b.sum() for b in baselines], results.episode_return, rtol=1e-12)
    run = begin_run(network, settings, rollouts, every=2, seed=0)
    run.run_until(3)
    fifo = WaitRollouts(workload.under(FIFO), CLUSTER, (0, 100), settings, np.array([0, 57]), trim=0.0)
    assert rollouts.validate(network)["validation_wait"] != fifo.validate(network)["validation_wait"]
