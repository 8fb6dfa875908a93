"""The main job from the command line, end to end on a tiny synthetic trace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ray
from ray import tune
from time_limits import ANSWER_S, COMMAND_S

from spane_rllib.__main__ import main
from spane_rllib.experiments.tuning.trainable import TrialTrainable
from spane_rllib.problems.vm_scheduling.waits.evaluation import SUMMARY_COLUMNS
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS

pytestmark = pytest.mark.slow

TRIALS = {"spane": "spane-0000", "mlp": "mlp-0000", "mlp_aug": "mlp_aug-0000"}
HEURISTICS = ("first-fit", "random", "fgd")
CONFIG = f"""
name: tiny
trace: {{source: synthetic, synthetic_vms: 3000}}
cluster: {{servers: 2}}
training:
  {{gradient_steps: 40, batch_size: 32, n_step: 5, lanes: 4, warmup_episodes: 4, replay_capacity: 4000}}
validation: {{episodes: 4, every: 4}}
methods:
  spane: {{network: spane}}
  mlp: {{network: mlp, training: {{learning_rate: {{loguniform: [0.001, 0.01]}}}}}}
  mlp_aug: {{network: mlp, training: {{augmentation_permutations: 2}}}}
evaluation: {{top_k: 1, episodes: 6, heuristics: [{", ".join(HEURISTICS)}]}}
resources: {{checkpoint_every: 1, num_cpus: 2, max_concurrent_trials: 1}}
"""


def environment() -> dict[str, str]:
    repository = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": repository, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"spane_rllib.{name}", *map(str, arguments)]


def run_tune(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("tune", *arguments),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def trials_without_times(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "trials.csv").drop(columns="time_s")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("main_job")
    (folder / "tiny.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def finished(workplace: Path) -> Path:
    """The results folder of a run from start to end."""
    done = run_tune("tiny.yaml", "--set", "output=whole", cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.rstrip().endswith("results in whole/tiny")
    return workplace / "whole" / "tiny"


@pytest.fixture(scope="module")
def models(finished: Path) -> dict[str, Path]:
    return {method: finished / "models" / method / trial for method, trial in TRIALS.items()}


def test_a_run_leaves_tables_models_figures_and_a_report(finished: Path, models: dict[str, Path]) -> None:
    trials = pd.read_csv(finished / "trials.csv")
    assert set(trials["trial"]) == set(TRIALS.values())
    assert (trials["status"] == "TERMINATED").all() and (trials["rank"] == 1).all()
    assert (trials["gradient_steps"] == 40).all()
    assert trials["training.learning_rate"].nunique() == 2
    curves = pd.read_csv(finished / "curves.csv")
    for row in trials.itertuples():
        curve = curves[curves["trial"] == row.trial]
        assert curve["gradient_steps"].tolist() == list(range(4, 41, 4))
        assert curve["validation_wait_s"].min() == row.best_validation_wait_s
        assert curve.set_index("gradient_steps")["validation_wait_s"].idxmin() == row.best_gradient_steps

    episodes, summary = (pd.read_csv(finished / f"{name}.csv") for name in ("episodes", "summary"))
    assert tuple(episodes.columns) == tuple(WAITS.episode_columns)
    assert tuple(summary.columns) == SUMMARY_COLUMNS
    assert set(summary["policy"]) == {*HEURISTICS, *TRIALS.values()}
    assert (summary["episodes"] == 6).all()
    assert len(episodes) == 6 * len(summary)
    assert (episodes["lower_bound_s"] <= episodes["total_wait_s"]).all()
    for model in models.values():
        assert {path.name for path in model.iterdir()} == {"model.json", "weights.safetensors"}
    report = (finished / "report.md").read_text()
    figures = {path.name for path in (finished / "figures").glob("*.png")}
    assert all((finished / "figures" / name).with_suffix(".pdf").is_file() for name in figures)
    assert {"training_curves.png", "trimmed_means.png", "wait_distribution.png"} <= figures
    assert all(f"figures/{name}" in report for name in figures)
    baselines = pd.read_csv(finished / "validation_baselines.csv")
    assert list(baselines["policy"]) == list(HEURISTICS) and (baselines["validation_wait_s"] > 0).all()
    recordings = pd.read_csv(finished / "recordings.csv")
    assert list(recordings["episode"]) == ["best", "worst"]
    for page in recordings["page"]:
        assert "</html>" in (finished / page).read_text()
        assert f"({page})" in report and f'href="{page}"' in (finished / "report.html").read_text()
    assert "## Differences" in report and "</table>" in (finished / "report.html").read_text()
    assert {"a", "b", "difference_low"} <= set(pd.read_csv(finished / "comparisons.csv").columns)
    assert (finished / "config.yaml").is_file() and (finished / "stages.json").is_file()
    assert not [name for name in contents(finished) if Path(name).suffix == ".pkl" and "models" in name]


def test_a_second_start_is_refused(workplace: Path, finished: Path) -> None:
    before = contents(finished)
    done = run_tune("tiny.yaml", "--set", "output=whole", cwd=workplace)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: whole/tiny holds an experiment already")
    assert "--resume whole/tiny" in line
    assert contents(finished) == before


def test_a_trial_that_no_node_can_hold_is_refused_before_training(workplace: Path) -> None:
    overrides = ("output=large", "resources.cpus_per_trial=1000", "resources.num_cpus=null")
    done = run_tune("tiny.yaml", *(part for text in overrides for part in ("--set", text)), cwd=workplace)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: resources.cpus_per_trial is 1000, but the largest node of Ray has ")
    assert not (workplace / "large" / "tiny" / "tune").exists()


def test_resuming_a_finished_run_changes_no_result(workplace: Path, finished: Path) -> None:
    before = contents(finished)
    done = run_tune("--resume", "whole/tiny", cwd=workplace)
    assert done.returncode == 0, done.stderr
    after = contents(finished)
    # Nothing is trained or evaluated again; stages.json adds up wall times, which the report shows.
    kept = [name for name in before if name.endswith((".csv", ".safetensors", "result.json", "config.yaml"))]
    assert len(kept) > 10
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


@pytest.fixture(scope="module")
def interrupted(workplace: Path) -> Path:
    """A results folder whose run was stopped by Ctrl-C during the second trial."""
    folder = workplace / "broken" / "tiny"
    second = folder / "tune" / TRIALS["mlp"]
    process = subprocess.Popen(
        command("tune", "tiny.yaml", "--set", "output=broken"),
        cwd=workplace,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C as `kill -INT` gives it: to this process alone
    )
    try:
        deadline = time.monotonic() + COMMAND_S
        while not list(second.glob("checkpoint_*")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=ANSWER_S)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "interrupted" in errors and "--resume broken/tiny" in errors
    assert "Traceback" not in errors
    return folder


def test_an_interrupted_run_can_be_looked_at_and_resumed(
    workplace: Path, interrupted: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not (interrupted / "report.md").exists()
    assert main(["analyze", str(interrupted)]) == 0
    printed = capsys.readouterr().out
    assert "1 terminated" in printed and "unfinished" in printed
    assert f"--resume {interrupted}" in printed

    resumed = run_tune("--resume", "broken/tiny", cwd=workplace)
    assert resumed.returncode == 0, resumed.stderr
    pd.testing.assert_frame_equal(trials_without_times(interrupted), trials_without_times(finished))
    for name in ("curves.csv", "episodes.csv", "summary.csv"):
        assert (interrupted / name).read_bytes() == (finished / name).read_bytes(), name
    for method, trial in TRIALS.items():
        weights = f"models/{method}/{trial}/weights.safetensors"
        assert (interrupted / weights).read_bytes() == (finished / weights).read_bytes()


def test_a_moved_folder_is_analyzed_without_starting_ray(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(finished, moved)
    for table in moved.glob("*.csv"):
        if table.stem in ("trials", "curves"):
            table.unlink()
    shutil.rmtree(moved / "figures")
    assert main(["analyze", str(moved)]) == 0
    assert not ray.is_initialized()
    printed = capsys.readouterr().out
    assert "3 trials (3 terminated)" in printed
    for name in (*TRIALS.values(), *HEURISTICS, str(moved / "figures" / "training_curves.png")):
        assert name in printed
    for name in ("trials.csv", "curves.csv"):
        assert (moved / name).read_bytes() == (finished / name).read_bytes()


def test_ray_users_restore_the_results(finished: Path) -> None:
    grid = tune.Tuner.restore(str(finished / "tune"), trainable=TrialTrainable).get_results()
    best = grid.get_best_result("best_validation_wait", mode="min")
    trials = pd.read_csv(finished / "trials.csv")
    assert best.metrics["best_validation_wait"] == trials["best_validation_wait_s"].min()
    assert best.config["trial"]["name"] in TRIALS.values()
    assert len(best.metrics_dataframe) == 10


def evaluate(*arguments: object) -> int:
    trace = ("--trace", "synthetic:vms=3000", "--episodes", 6)
    return main(["evaluate", *map(str, (*trace, *arguments))])


def test_evaluating_in_parallel_gives_the_same_bytes(models: dict[str, Path], tmp_path: Path) -> None:
    policies = ("--policy", models["spane"], "--policy", models["mlp"], "--policy", "random")
    np.savetxt(tmp_path / "starts.csv", np.arange(1800, 2500, 100), fmt="%d", header="start", comments="")
    chosen = (*policies, "--servers", 2, "--starts", tmp_path / "starts.csv")
    for workers in (0, 2):
        assert evaluate(*chosen, "--workers", workers, "--output", tmp_path / f"out{workers}") == 0
    files = [contents(tmp_path / f"out{workers}") for workers in (0, 2)]
    parts = [name for name in files[0] if name.startswith("parts/") and name.endswith(".csv")]
    assert set(files[0]) == {"episodes.csv", "summary.csv", *parts} and len(parts) == 3
    assert files[0] == files[1]
    episodes = pd.read_csv(tmp_path / "out0" / "episodes.csv")
    assert episodes["start"].tolist() == 3 * list(range(1800, 2500, 100))


def test_the_command_repeats_the_evaluation_of_the_main_job(
    finished: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    assert evaluate("--policy", models["mlp"], "--servers", 2, "--output", tmp_path) == 0
    again = pd.read_csv(tmp_path / "episodes.csv").drop(columns="policy")
    known = pd.read_csv(finished / "episodes.csv")
    known = known[known["policy"] == TRIALS["mlp"]].drop(columns="policy").reset_index(drop=True)
    pd.testing.assert_frame_equal(again, known)


def test_a_model_for_another_number_of_servers(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ("--servers", 2, "--servers", 3, "--output", tmp_path / "out")
    assert evaluate("--policy", models["mlp"], *wrong) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "mlp-0000: was made for another number of servers than 3" in line
    assert not (tmp_path / "out").exists()
    assert evaluate("--policy", models["spane"], *wrong) == 0
    assert pd.read_csv(tmp_path / "out" / "summary.csv")["servers"].tolist() == [2, 3]
