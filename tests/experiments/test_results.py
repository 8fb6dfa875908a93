"""Tables of trials, from what Tune keeps of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from spane_rllib.experiments.config import ExperimentConfig
from spane_rllib.experiments.folder import ResultsFolder
from spane_rllib.experiments.results import export_models, trial_table
from spane_rllib.experiments.trials import draw_trials
from spane_rllib.experiments.tune_state import drop_torn_lines


def test_a_trial_whose_process_never_started_has_no_row(tmp_path: Path) -> None:
    config = ExperimentConfig.model_validate({"name": "t", "methods": {"plain": {"network": "mlp"}}})
    (trial,) = draw_trials(config)
    space = {"trial": trial.model_dump(mode="json")}
    metrics = {"gradient_steps": 4, "best_validation_wait": 2.5, "done": True}
    done = SimpleNamespace(config=space, metrics=metrics, error=None, checkpoint=None, path="done")
    failed = SimpleNamespace(config=None, metrics={}, error=RuntimeError("no process"), path="failed")
    grid: Any = [failed, done]
    table = trial_table(grid, ResultsFolder(tmp_path))
    assert table["trial"].tolist() == [trial.name] and table["rank"].tolist() == [1]
    export_models(grid, ResultsFolder(tmp_path), {trial.name})


def test_a_half_written_last_result_is_cut_off(tmp_path: Path) -> None:
    contents = {"whole": b"{}\n{}\n", "torn": b"{}\n{", "first_torn": b'{"a', "empty": b""}
    for trial, content in contents.items():
        (tmp_path / "tune" / trial).mkdir(parents=True)
        (tmp_path / "tune" / trial / "result.json").write_bytes(content)
    drop_torn_lines(ResultsFolder(tmp_path))
    left = {trial: (tmp_path / "tune" / trial / "result.json").read_bytes() for trial in contents}
    assert left == {"whole": b"{}\n{}\n", "torn": b"{}\n", "first_torn": b"", "empty": b""}
