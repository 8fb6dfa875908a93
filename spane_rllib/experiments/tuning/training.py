"""The trials of an experiment on Ray Tune."""

from __future__ import annotations

import logging
import os
from typing import Any

from ray import tune

from spane_rllib.core.errors import UserError
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.trial_results import TrialResult, has_trials, read_results
from spane_rllib.experiments.tuning.config import ExperimentConfig
from spane_rllib.experiments.tuning.searchers import MethodAsha, OptunaTrials
from spane_rllib.experiments.tuning.tensorboard import TensorBoard
from spane_rllib.experiments.tuning.trainable import TrialTrainable
from spane_rllib.experiments.tuning.trials import TrialSettings
from spane_rllib.experiments.tuning.tune_state import ResultFiles, StateArchive
from spane_rllib.experiments.tuning.watching import TrainingProgress, trackers
from spane_rllib.problems.problem import Task


class Interrupted(Exception):
    """The user stopped the run; what is finished is kept."""


# Tune's own progress display repeats ours, its advice on snapshots is about synchronising to a cloud, and the
# traceback of a trial that failed is in the trial's error.txt.
_QUIET_TUNE = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


def _unless_a_file_vanished(record: logging.LogRecord) -> bool:
    """Tune copies its state while it replaces it: a copy that missed a file is made again by the next one."""
    return record.exc_info is None or not isinstance(record.exc_info[1], FileNotFoundError)


def train(
    config: ExperimentConfig, folder: ResultsFolder, trials: list[TrialSettings], task: Task, resume: bool
) -> list[TrialResult]:
    """Run (or, with `resume`, continue) the trials in `folder.tune`.

    Raises:
        UserError: every trial failed.
        Interrupted: by Ctrl-C; Tune has saved its state.
    """
    logging.getLogger("ray.tune.execution.experiment_state").addFilter(_unless_a_file_vanished)
    os.environ.update({name: os.environ.get(name, value) for name, value in _QUIET_TUNE.items()})
    resources = {"cpu": config.resources.cpus_per_trial, "gpu": config.resources.gpus_per_trial}
    trainable: Any = tune.with_resources(
        tune.with_parameters(TrialTrainable, shared=dict(task.shared)),
        {name: amount for name, amount in resources.items() if amount},
    )
    steps = [int(getattr(trial.training, "gradient_steps", 0)) for trial in trials]
    measure = config.about.measure
    suggested = config.search.algorithm == "optuna"
    param_space: dict[str, Any] = {
        "environments": {trial.network: task.environment_of(trial.network) for trial in trials},
        "validation": config.validation.model_dump(),
        "gpus": config.resources.gpus_per_trial,
    }
    if not suggested:
        param_space["trial"] = tune.grid_search([trial.model_dump(mode="json") for trial in trials])
    # Made anew also to resume: its tuner.pkl then holds nothing of an earlier program or place.
    tuner = tune.Tuner(
        trainable,
        param_space=param_space,
        tune_config=tune.TuneConfig(
            search_alg=OptunaTrials(config) if suggested else None,
            num_samples=len(trials) if suggested else 1,
            scheduler=MethodAsha(config.search, max(steps), measure)
            if config.search.scheduler == "asha"
            else None,
            max_concurrent_trials=config.resources.max_concurrent_trials,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=folder.tune.name,
            storage_path=str(folder.path.resolve()),
            failure_config=tune.FailureConfig(max_failures=config.resources.max_failures),
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=config.resources.checkpoint_every,
                checkpoint_at_end=True,
                num_to_keep=1,
            ),
            callbacks=[
                TrainingProgress(sum(steps), len(trials), measure),
                ResultFiles(),
                TensorBoard(config),
                StateArchive(folder.tune_archive.resolve()),
                *trackers(config),
            ],
            verbose=0,
        ),
    )
    if resume and has_trials(folder):
        tuner = tune.Tuner.restore(
            str(folder.tune.resolve()),
            trainable=trainable,
            param_space=param_space,
            resume_unfinished=True,
            resume_errored=True,
        )
    tuner.fit()
    results = read_results(folder)
    if any(result.unfinished for result in results) or len(results) < len(trials):
        # Tune catches Ctrl-C, saves its state and returns.
        raise Interrupted
    failed = [result.path.name for result in results if result.error]
    if len(failed) == len(results):
        raise UserError(f"all {len(failed)} trials failed; see {folder.tune}/*/error.txt")
    if failed:
        print(f"{len(failed)} trials failed ({', '.join(failed[:5])}...); see {folder.tune}/*/error.txt")
    return results


def _trial_name(trial: Any) -> str:
    return str(trial.config["trial"]["name"])
