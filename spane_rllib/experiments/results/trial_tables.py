"""From Tune's results to tables: one row per trial, one row per trial and validation."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from ray.tune import ExperimentAnalysis

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import validated
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.tables import write_tables
from spane_rllib.experiments.results.trial_results import TrialResult, damaged_state
from spane_rllib.experiments.tuning.trials import TrialSettings
from spane_rllib.learning.models import copy_model
from spane_rllib.problems.measures import Measure
from spane_rllib.problems.problem import Task
from spane_rllib.rllib.algorithm import MODEL_FOLDER


def trial_of(result: TrialResult) -> TrialSettings:
    """What the trial of `result` was told to train; a `UserError` when it is not one of ours."""
    return validated(TrialSettings, (result.config or {}).get("trial"), f"trial in {result.path}")


def _begun(results: Sequence[TrialResult]) -> list[tuple[TrialSettings, TrialResult]]:
    """All that have reported, by method and index: Tune's own order changes when it goes on."""
    pairs = [(trial_of(result), result) for result in results if result.config]
    return sorted(pairs, key=lambda pair: (pair[0].method, pair[0].index))


def trial_table(results: Sequence[TrialResult], folder: ResultsFolder) -> pd.DataFrame:
    """One row per trial, ranked within its method by the best validation.

    Columns: method, trial, seed, status, error, gradient_steps, best_<the measure's column>,
    best_gradient_steps, time_s, rank, model (path in the results folder or ""), each hyper-parameter as
    options.* or training.*.

    Raises:
        UserError: there is no trial that has reported.
    """
    rows: list[dict[str, Any]] = []
    measure = None
    for trial, result in _begun(results):
        metrics, measure = result.metrics, trial.about.measure
        model = model_directory(folder, trial)
        rows.append(
            {
                "method": trial.method,
                "trial": trial.name,
                "seed": trial.seed,
                "status": "ERROR" if result.error else "UNFINISHED" if result.unfinished else "TERMINATED",
                "error": result.error.splitlines()[-1] if result.error else "",
                "gradient_steps": metrics.get("gradient_steps", 0),
                f"best_{measure.column}": metrics.get(f"best_{measure.metric}"),
                "best_gradient_steps": metrics.get("best_gradient_steps"),
                "time_s": metrics.get("time_total_s"),
                "rank": None,
                "model": str(model.relative_to(folder.path)) if model.is_dir() else "",
                **_flat("options", trial.options),
                **_flat("training", trial.training.model_dump()),
            }
        )
    if measure is None:
        raise UserError(f"{folder.path}: no trial has reported yet; --resume goes on with them")
    table = pd.DataFrame(rows)
    for column in (f"best_{measure.column}", "best_gradient_steps", "time_s"):
        table[column] = table[column].astype(float)
    table["rank"] = table.groupby("method")[f"best_{measure.column}"].rank(
        method="first", ascending=measure.mode == "min"
    )
    return table


def curve_table(results: Sequence[TrialResult]) -> pd.DataFrame:
    """One row per trial and training iteration: validation, return, loss over gradient steps."""
    parts = []
    columns = ["trial", "method"]
    for trial, result in _begun(results):
        frame, measure = result.history(), trial.about.measure
        names = _curve_columns(measure)
        columns = ["trial", "method", *names.values()]
        if measure.metric not in frame:
            continue
        # A trial that was restarted from a checkpoint reports some iterations twice; the last one counts.
        frame = frame.drop_duplicates("training_iteration", keep="last")
        part = frame.reindex(columns=list(names)).rename(columns=names)
        part.insert(0, "method", trial.method)
        part.insert(0, "trial", trial.name)
        parts.append(part.dropna(subset=[measure.column]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _curve_columns(measure: Measure) -> dict[str, str]:
    return {
        "gradient_steps": "gradient_steps",
        measure.metric: measure.column,
        "env_runners/episode_return_mean": "episode_return_mean",
        "loss": "loss",
    }


def model_directory(folder: ResultsFolder, trial: TrialSettings) -> Path:
    """Where the weights of `trial` are exported to."""
    return folder.models / trial.method / trial.name


def export_models(results: Sequence[TrialResult], folder: ResultsFolder, names: set[str], task: Task) -> None:
    """Copy the best weights of the named trials out of their checkpoints; a `UserError` for damaged ones."""
    for trial, result in _begun(results):
        target = model_directory(folder, trial)
        if trial.name in names and not target.is_dir():
            source = result.checkpoint / MODEL_FOLDER
            if source.is_dir():
                task.load_policy(str(source))
            copy_model(source, target)


def drop_early_exports(results: Sequence[TrialResult], folder: ResultsFolder) -> None:
    """Remove the weights of trials that resuming goes on with."""
    for trial, result in _begun(results):
        if result.error or result.unfinished:
            shutil.rmtree(model_directory(folder, trial), ignore_errors=True)


def write_trial_tables(results: Sequence[TrialResult], folder: ResultsFolder) -> pd.DataFrame:
    """Write `trials.csv` and `curves.csv`; returns the former."""
    trials = trial_table(results, folder)
    write_tables(folder.path, {"trials": trials, "curves": curve_table(results)})
    return trials


def check_state(folder: ResultsFolder) -> None:
    """Raise a `UserError` where Tune cannot go on from its state, which is unpickled: see `trust`."""
    # It warns of the missing results of trials that have not reported yet.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
    try:
        ExperimentAnalysis(str(folder.tune.resolve()))
    except Exception as error:  # a damaged pickle can raise anything
        if isinstance(error, ImportError | AttributeError):
            raise UserError(
                f"Tune's state in {folder.tune} was written by other code ({type(error).__name__}: {error}); "
                "use the version of spane_rllib that began the experiment, or begin another one"
            ) from error
        raise UserError(damaged_state(folder, error)) from error


def _flat(section: str, values: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{key}": "+".join(map(str, value)) if isinstance(value, list | tuple) else value
        for key, value in values.items()
    }
