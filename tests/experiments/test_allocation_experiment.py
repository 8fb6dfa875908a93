"""Experiments with a scenario: configuration, comparison by hand, the main job end to end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from time_limits import COMMAND_S

from spane_rllib.core.errors import UserError
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.identity import check_identity, record_identity
from spane_rllib.experiments.tuning.loading import load_experiment
from spane_rllib.experiments.tuning.trials import TrialSettings, draw_trials
from spane_rllib.problems.vm_scheduling.allocations.algorithms import ALGORITHMS
from spane_rllib.problems.vm_scheduling.allocations.comparison import compare_allocations, verdict
from spane_rllib.problems.vm_scheduling.allocations.env import AllocationEnv
from spane_rllib.problems.vm_scheduling.allocations.problem import ALLOCATIONS
from spane_rllib.problems.vm_scheduling.policies import load_policy
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS

CONFIG = """
name: tiny
scenario: small.yaml
trace: {source: synthetic, synthetic_vms: 3000, never_ending: keep}
training:
  {gradient_steps: 12, reward: allocation, discount: 0.97, dqn: {batch_size: 32, n_step: 5, lanes: 4, \
warmup_episodes: 4, replay_capacity: 4000}}
validation: {episodes: 5, every: 4}
methods:
  dqn: {network: spane}
  ppo: {network: mlp, algorithm: ppo, training: {lanes: 4, episodes_per_start: 2, batch_size: 64}}
  a2c: {network: spane, algorithm: a2c, seeds: 2, training: {lanes: 4, episodes_per_start: 2}}
  sac: {network: spane, algorithm: sac, training: {batch_size: 32, warmup_episodes: 4, lanes: 4}}
evaluation: {top_k: 1, episodes: 30, heuristics: [first-fit, fgd]}
resources: {checkpoint_every: 1, num_cpus: 2, max_concurrent_trials: 1}
"""
SCENARIO = """
server_groups: [{count: 2, node_cpu: 40, node_memory: 90}]
double: {cpu_at_least: 32}
deletions: false
"""


OWN_TIME = ("| figures and report |", "| all |")
"""Lines of a report that only one that is written later can have."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("allocations")
    (folder / "tiny.yaml").write_text(CONFIG)
    (folder / "small.yaml").write_text(SCENARIO)
    return folder


def test_every_algorithm_gets_its_own_settings(workplace: Path) -> None:
    trials = draw_trials(load_experiment(workplace / "tiny.yaml"))
    assert [trial.name for trial in trials] == ["dqn-0000", "ppo-0000", "a2c-0000", "a2c-0001", "sac-0000"]
    for trial in trials:
        assert type(trial.training) is ALGORITHMS[trial.algorithm]
        assert (trial.training.gradient_steps, trial.training.reward) == (12, "allocation")
        assert trial.training.discount == 0.97  # `training`'s, for all of them
        assert trial.about is ALLOCATIONS
        assert TrialSettings.model_validate(trial.model_dump(mode="json")) == trial
    assert trials[1].training.learning_rate == ALGORITHMS["ppo"]().learning_rate
    assert (trials[0].training.n_step, trials[4].training.n_step) == (5, ALGORITHMS["sac"]().n_step)
    assert draw_trials(load_experiment("quick"))[0].about is WAITS


def test_a_scenario_selects_the_problem_that_can_also_be_named(workplace: Path) -> None:
    chosen = load_experiment(workplace / "tiny.yaml")
    assert chosen.problem == "vm_allocations"
    assert load_experiment(workplace / "tiny.yaml", ["problem=vm_allocations"]) == chosen


def test_an_experiment_is_not_continued_with_another_scenario_of_the_same_name(
    workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scenario, folder = Path("small.yaml"), ResultsFolder(tmp_path / "results")
    scenario.write_text(SCENARIO)
    config = load_experiment(workplace / "tiny.yaml")
    record_identity(folder, config, ALLOCATIONS.load(config).identity)
    check_identity(folder, config, ALLOCATIONS.load(config).identity)
    scenario.write_text(SCENARIO.replace("count: 2", "count: 3"))
    with pytest.raises(UserError, match=r"with scenario small \(sha256 .*; give it the first one again"):
        check_identity(folder, config, ALLOCATIONS.load(config).identity)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scenario=null", "training.reward: must be 'log_wait', 'log_wait_hours', 'balance', 'wait' or"),
        ("training.reward=log_wait", "training.reward: must be 'allocation' or 'cpu_share', got 'log_wait'"),
        (
            "methods.ppo.training.reward={choice: [allocation, wait]}",
            "methods.ppo.training.reward: must be 'allocation' or 'cpu_share', got 'wait'",
        ),
        ("cluster.servers=3", "cluster: unknown key; allowed: problem, name"),
        ("validation.trim=0.1", "validation.trim: unknown key; allowed: episodes, every, seed"),
        ("problem=vm_scheduling", "scenario: unknown key"),
        (
            "training.batch_size=8",
            "training.batch_size: a2c trains some methods and has no such key; write it under training.dqn, "
            "training.ppo, training.sac",
        ),
        ("training.dqn.discount=0.9", "training.discount: is given as training.dqn.discount too"),
        ("methods.a2c.training.clip=0.1", "methods.a2c.training.clip: unknown key"),
        ("methods.dqn.training.clip=0.1", "methods.dqn.training.clip: unknown key"),
        ("methods.ppo.algorithm=ppp", "methods.ppo.algorithm: "),
        ("methods.ppo.training.episodes_per_start=3", "episodes_per_start 3 must divide lanes, which is 4"),
    ],
)
def test_bad_experiments(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, override: str, message: str
) -> None:
    monkeypatch.chdir(workplace)  # where the scenario is
    with pytest.raises(UserError) as caught:
        load_experiment(workplace / "tiny.yaml", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def table_of(**allocations: list[int]) -> pd.DataFrame:
    """One row per policy and start; starts lie in different blocks of 2,000 rows."""
    starts = 2000 * np.arange(len(next(iter(allocations.values()))))
    frames = [
        pd.DataFrame({"policy": policy, "servers": 5, "start": starts, "allocations": values})
        for policy, values in allocations.items()
    ]
    return pd.concat(frames, ignore_index=True).sample(frac=1, random_state=0)


def test_paired_differences_by_hand() -> None:
    episodes = table_of(base=[10] * 8, up=[12, 11, 12, 11, 12, 11, 10, 11], luck=[30, 8, 8, 8, 8, 8, 8, 10])
    comparison = compare_allocations(episodes, "base")
    up, luck = (comparison.set_index("policy").loc[name] for name in ("up", "luck"))
    assert (up["difference"], up["more"], up["equal"], up["fewer"]) == (10 / 8, 7, 1, 0)
    assert 0.75 <= up["difference_low"] < 10 / 8 < up["difference_high"] <= 1.75
    assert (luck["difference"], luck["more"], luck["equal"], luck["fewer"]) == (1.0, 1, 1, 6)
    assert luck["difference_low"] < 0 < luck["difference_high"]
    assert (verdict(up), verdict(luck)) == ("more", "not significant")
    assert verdict(compare_allocations(episodes, "up").set_index("policy").loc["base"]) == "fewer"
    assert list(comparison["policy"]) == ["up", "luck"]


def test_a_single_block_allows_no_interval() -> None:
    episodes = table_of(base=[10], other=[12])
    [(_, row)] = compare_allocations(episodes, "base").iterrows()
    assert row["difference"] == 2 and np.isnan(row["difference_low"])
    assert verdict(row) == "no interval"


def run(workplace: Path, *arguments: Any) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=workplace, env=environment, capture_output=True, text=True, timeout=COMMAND_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_main_job_from_start_to_end(workplace: Path) -> None:
    run(workplace, "spane_rllib.tune", "tiny.yaml")
    folder = workplace / "results" / "tiny"
    trials = pd.read_csv(folder / "trials.csv").set_index("trial")
    assert (trials["status"] == "TERMINATED").all() and len(trials) == 5
    best = trials["best_validation_allocations"]
    assert (best > 0).all()
    assert (trials.loc["a2c-0000", "rank"] == 1) == (best["a2c-0000"] >= best["a2c-0001"])
    assert set(pd.read_csv(folder / "curves.csv")["gradient_steps"]) == {4, 8, 12}

    episodes = pd.read_csv(folder / "episodes.csv")
    chosen = set(trials.index[trials["rank"] == 1])
    assert set(episodes["policy"]) == {"first-fit", "fgd"} | chosen and len(chosen) == 4
    assert (episodes.groupby("policy").size() == 30).all()
    comparison = pd.read_csv(folder / "comparison.csv")
    assert set(comparison["reference"]) <= {"first-fit", "fgd"} and len(comparison) == 5
    report = (folder / "report.md").read_text()
    assert all(trial in report for trial in chosen) and "training_curves.png" in report

    # The exported model is the one that was evaluated, and plays the environment too.
    policy = next(iter(chosen - {"ppo-0000"}))
    model = folder / trials.loc[policy, "model"]
    arguments = ("--scenario", "small.yaml", "--policy", model, "--trace", "synthetic:vms=3000,seed=0")
    assert "policy" in run(workplace, "spane_rllib.evaluate", *arguments, "--episodes", 3)
    for workers in (0, 2):
        words = ("--policy", "random", "--episodes", 7, "--workers", workers, "--output", f"out{workers}")
        run(workplace, "spane_rllib.evaluate", *arguments, *words)
    alone, shared = (
        {path.name: path.read_bytes() for path in (workplace / f"out{workers}").rglob("*.csv")}
        for workers in (0, 2)
    )
    assert len(alone) == 4 and shared == alone
    env = AllocationEnv(scenario=str(workplace / "small.yaml"), trace="synthetic:vms=3000,seed=0")
    assert load_policy(str(model)).accepts(env.instance.cluster.servers)

    (elsewhere := workplace / "elsewhere").mkdir()  # where the scenario's file is not
    shown = run(elsewhere, "spane_rllib.analyze", folder)
    assert "validation allocations" in shown and "first-fit" in shown
    again = (folder / "report.md").read_text()
    assert [line for line in again.splitlines() if not line.startswith(OWN_TIME)] == [
        line for line in report.splitlines() if not line.startswith(OWN_TIME)
    ]
