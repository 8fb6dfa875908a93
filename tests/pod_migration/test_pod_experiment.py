"""A tiny experiment from its configuration to the report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from spane_rllib.__main__ import main

TINY = """
problem: pod_migration
name: tiny
trace: "synthetic:vms=4000"
horizon: 30
validation: {episodes: 1, every: 2}
methods:
  ppo:
    network: equivariant
    options: {width: 8}
    training: {gradient_steps: 2, lanes: 2, episodes_per_start: 2, shaping: 20, resampled_windows: 4}
  dqn:
    network: equivariant
    algorithm: dqn
    options: {width: 8, stop_share: null}
    training: {gradient_steps: 2, lanes: 2, batch_size: 8, n_step: 2, warmup_episodes: 1, training_horizon: 5}
evaluation: {top_k: 1, episodes: 2, heuristics: [no-op, threshold-greedy, foresight]}
resources: {num_cpus: 1, cpus_per_trial: 1}
"""


@pytest.mark.slow
def test_an_experiment_ends_in_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    assert main(["tune", "tiny.yaml"]) == 0
    results = tmp_path / "results" / "tiny"
    summary = pd.read_csv(results / "summary.csv")
    assert {"ppo-0000", "dqn-0000", "no-op", "threshold-greedy", "foresight"} <= set(summary["policy"])
    assert "foresight" in (results / "report.md").read_text(encoding="utf-8")
    assert any("violations_against_migrations" in file.name for file in results.rglob("*.png"))
    model = next(results.glob("models/ppo/*"))
    evaluate = ["evaluate", "--problem", "pod_migration", "--trace", "synthetic:vms=4000", "--horizon", "30"]
    assert main([*evaluate, "--policy", str(model), "--cluster", "published-96", "--episodes", "1"]) == 0
