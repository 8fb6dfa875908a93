"""Weights & Biases (offline) and MLflow (a local database) receive the trials of a small experiment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

EXPERIMENT = """
name: tracked
trace: {source: synthetic, synthetic_vms: 3000}
cluster: {servers: 2}
training: {gradient_steps: 4, batch_size: 8, n_step: 5, replay_capacity: 2000, warmup_episodes: 2, lanes: 2}
validation: {episodes: 2, every: 1}
methods: {mlp: {network: mlp, seeds: 2, options: {width: 4, depth: 1}}}
evaluation: {top_k: 1, episodes: 3, heuristics: [first-fit]}
resources: {num_cpus: 1}
logging: {wandb: {project: scheduling}, mlflow: {tracking_uri: "sqlite:///runs.db"}}
"""


@pytest.mark.slow
def test_trackers_receive_every_trial(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    tracking = pytest.importorskip("mlflow.tracking", reason="the extra `mlflow` is not installed")
    pytest.importorskip("sqlalchemy", reason="MLflow needs it for a local database")
    (tmp_path / "tracked.yaml").write_text(EXPERIMENT)
    done = subprocess.run(
        [sys.executable, "-m", "spane_rllib.tune", "tracked.yaml"],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
        | {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    curves = pd.read_csv(tmp_path / "results" / "tracked" / "curves.csv")
    waits = {str(trial): curve["validation_wait_s"].tolist() for trial, curve in curves.groupby("trial")}
    assert len(waits) == 2

    client = tracking.MlflowClient(f"sqlite:///{tmp_path}/runs.db")
    experiment = client.get_experiment_by_name("tracked")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == waits.keys()
    for name, run in runs.items():
        history = client.get_metric_history(run.info.run_id, "validation_wait")
        assert [metric.value for metric in history] == waits[name]
        assert run.info.status == "FINISHED" and run.data.params["trial/method"] == "mlp"

    records = [file.read_bytes() for file in tmp_path.glob("wandb/offline-run-*/*.wandb")]
    assert len(records) == 2
    for name in waits:
        (record,) = [record for record in records if name.encode() in record]
        assert b"validation_wait" in record and b"gradient_steps" in record
