"""Gauges as Ray exports them, and a search with Optuna and ASHA to its report."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray
import requests
from time_limits import ANSWER_S

from spane_rllib import analyze, tune
from spane_rllib.cluster.session import ray_session
from spane_rllib.core.errors import UserError
from spane_rllib.experiments.tuning.trainable import TrialTrainable
from spane_rllib.experiments.tuning.watching import Gauges, shown_stage
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS

MONITORING = Path(__file__).parents[2] / "docker" / "monitoring"
EXPERIMENT = """
name: search
trace: {source: synthetic, synthetic_vms: 3000}
cluster: {servers: 1}
training: {gradient_steps: 60, warmup_episodes: 4, lanes: 4, batch_size: 32, replay_capacity: 5000, n_step: 5}
validation: {episodes: 4, every: 10}
methods:
  spane: {network: spane, trials: 6, training: {learning_rate: {loguniform: [0.001, 0.1]}}}
  mlp: {network: mlp, trials: 2, options: {width: {choice: [8, 16]}}}
evaluation: {episodes: 4, heuristics: [first-fit]}
search: {algorithm: optuna, scheduler: asha, grace_steps: 10, reduction_factor: 2}
resources: {num_cpus: 2}
"""


@pytest.mark.slow
def test_ray_exports_the_gauges_with_trial_and_method() -> None:
    @ray.remote
    class Trial:
        def __init__(self) -> None:
            self.gauges = Gauges(WAITS.measure)

        def report(self) -> None:
            self.gauges.set({"validation_wait": 123.5, "replay_size": 77}, "spane-0003", "spane")

    with ray_session(num_cpus=1):
        trial = Trial.remote()
        ray.get(trial.report.remote())
        [node] = ray.nodes()
        url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        deadline, lines = time.monotonic() + ANSWER_S, []
        while len(lines) < 2 and time.monotonic() < deadline:
            time.sleep(1)
            text = requests.get(url, timeout=ANSWER_S).text
            lines = [line for line in text.splitlines() if line.startswith("ray_spane_rllib_")]
    values = {line.split("{")[0]: line for line in lines}
    assert values.keys() == {"ray_spane_rllib_validation_wait", "ray_spane_rllib_replay_size"}
    for line, value in zip((values[name] for name in sorted(values)), (77.0, 123.5), strict=True):
        assert 'trial="spane-0003"' in line.lower()
        assert 'method="spane"' in line.lower()
        assert float(line.split()[-1]) == value


def panels() -> dict[str, str]:
    """What each panel of the dashboard asks Prometheus, with every trial and method chosen."""
    board = json.loads((MONITORING / "grafana/dashboards/spane_rllib.json").read_text())
    return {
        panel["title"]: target["expr"].replace("$trial", ".*").replace("$method", ".*")
        for panel in board["panels"]
        for target in panel["targets"]
    }


@pytest.mark.slow
def test_prometheus_answers_every_panel_of_the_dashboard(tmp_path: Path) -> None:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("Prometheus is not installed")

    @ray.remote
    class Trial:
        def __init__(self) -> None:
            self.gauges = Gauges(WAITS.measure)

        def report(self) -> None:
            names = ("validation_wait", "validation_gap", "decisions_per_s", "replay_size", "gradient_steps")
            self.gauges.set(dict.fromkeys(names, 7.0), "spane-0003", "spane")

    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = (MONITORING / "prometheus.yml").read_text().replace("10s", "1s")
    (tmp_path / "prometheus.yml").write_text(config)
    command = [
        program,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
    ]
    with ray_session(num_cpus=1, dashboard=True), shown_stage("tiny", "training"):
        trial = Trial.remote()
        ray.get(trial.report.remote())
        asked = panels()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                deadline, missing = time.monotonic() + ANSWER_S, set(asked)
                while missing and time.monotonic() < deadline:
                    time.sleep(1)
                    # Once is enough: the list of nodes is of the Ray that wrote it last.
                    missing = {title for title in missing if not _ask(address, asked[title])}
            finally:
                process.terminate()
    assert not missing


def _ask(address: str, expression: str) -> list[Any]:
    """Prometheus' answer to a query; nothing while it is not up."""
    try:
        answer = requests.get(
            f"http://{address}/api/v1/query", params={"query": expression}, timeout=ANSWER_S
        )
    except requests.ConnectionError:
        return []
    body = answer.json()
    assert body["status"] == "success", body
    return body["data"]["result"]


@pytest.mark.slow
def test_a_search_with_optuna_and_asha_ends_in_named_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config, results = tmp_path / "search.yaml", tmp_path / "search"
    config.write_text(EXPERIMENT)
    assert tune.main([str(config), "--set", f"output={tmp_path}"]) == 0
    trials = pd.read_csv(results / "trials.csv")
    assert list(trials["trial"]) == ["mlp-0000", "mlp-0001"] + [f"spane-{i:04d}" for i in range(6)]
    assert set(trials["status"]) == {"TERMINATED"}
    spane = trials[trials["method"] == "spane"]
    assert spane["training.learning_rate"].nunique() == 6
    assert spane["training.learning_rate"].between(0.001, 0.1).all()
    # ASHA's first rung is at the first validation; nobody who passes all rungs stops before 60 steps.
    assert trials["gradient_steps"].between(10, 60).all()
    assert (trials["gradient_steps"] == 60).any()
    events = EventAccumulator(str(results / "tune" / "spane-0000")).Reload()
    shown = set(events.Tags()["scalars"])
    assert {"validation/wait", "time/decisions_per_s", "train/replay_size"} <= shown
    assert not [tag for tag in shown if tag.startswith("ray/")]
    [best] = trials[(trials["method"] == "spane") & (trials["rank"] == 1)]["trial"]
    events = EventAccumulator(str(results / "tune" / best)).Reload()
    assert "evaluation/trimmed_mean_10_s" in events.Tags()["scalars"]
    capsys.readouterr()
    assert analyze.main([str(results)]) == 0
    assert "8 trials (8 terminated)" in capsys.readouterr().out

    monkeypatch.setitem(sys.modules, "optuna", None)  # as if it were not installed
    assert analyze.main([str(results)]) == 0
    with pytest.raises(UserError, match=r"search\.algorithm: needs a package"):
        tune.main(["--resume", str(results)])


def test_the_dashboard_calls_an_actor_by_its_trial() -> None:
    trainable = TrialTrainable.__new__(TrialTrainable)
    trainable._param_space = {"trial": {"name": "spane-0003"}}
    assert repr(trainable) == "spane-0003"
