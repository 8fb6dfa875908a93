"""Tables of trials, from what Tune keeps of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spane_rllib.core.errors import UserError
from spane_rllib.core.files import write_text
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.trial_results import TrialResult
from spane_rllib.experiments.results.trial_tables import drop_early_exports, export_models, trial_table
from spane_rllib.experiments.tuning.config import experiment_settings
from spane_rllib.experiments.tuning.trials import draw_trials
from spane_rllib.problems.registry import find_problem

WAIT_EXPERIMENT = experiment_settings(find_problem("vm_scheduling"))


def test_trials_that_never_reported_have_no_row(tmp_path: Path) -> None:
    config = WAIT_EXPERIMENT.model_validate({"name": "t", "methods": {"plain": {"network": "mlp"}}})
    (trial,) = draw_trials(config)
    space = {"trial": trial.model_dump(mode="json")}
    metrics = {"gradient_steps": 4, "best_validation_wait": 2.5, "done": True}
    done = TrialResult(tmp_path / "done", space, metrics, "")
    failed = TrialResult(tmp_path / "failed", None, {}, "no process")
    waiting = TrialResult(tmp_path / "waiting", None, {}, "")
    grid = [failed, waiting, done]
    table = trial_table(grid, ResultsFolder(tmp_path))
    assert table["trial"].tolist() == [trial.name] and table["rank"].tolist() == [1]
    no_task: Any = None  # nothing is exported, so nothing is checked
    export_models(grid, ResultsFolder(tmp_path), set(), no_task)
    with pytest.raises(UserError, match="no trial has reported yet"):
        trial_table(grid[:2], ResultsFolder(tmp_path))


def test_what_was_exported_of_trials_that_go_on_is_removed(tmp_path: Path) -> None:
    config = WAIT_EXPERIMENT.model_validate({"name": "t", "methods": {"m": {"network": "mlp", "seeds": 3}}})
    folder = ResultsFolder(tmp_path)
    trials = draw_trials(config)
    states = [({"done": True}, ""), ({"done": False}, ""), ({"done": False}, "lost")]
    grid = [
        TrialResult(tmp_path / trial.name, {"trial": trial.model_dump(mode="json")}, metrics, error)
        for trial, (metrics, error) in zip(trials, states, strict=True)
    ]
    for name in ("m-0000", "m-0001", "m-0002", "random"):
        write_text(folder.models / "m" / name / "model.json", "")
    drop_early_exports(grid, folder)
    kept = ["m-0000", "random"]
    assert sorted(path.name for path in (folder.models / "m").iterdir()) == kept
