"""The main job: trials on Ray Tune, then their evaluation beside heuristics, tables, figures and a report."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import ray

from spane_rllib.cluster.session import ray_session
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import check_writable
from spane_rllib.core.lock import locked
from spane_rllib.core.progress import waiting
from spane_rllib.experiments.reports.report import write_report
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.identity import check_identity, record_identity
from spane_rllib.experiments.results.parts import PartStore, joined, parts_of, play_parts
from spane_rllib.experiments.results.recordings import write_recordings
from spane_rllib.experiments.results.tables import write_tables
from spane_rllib.experiments.results.trial_results import has_trials, read_results
from spane_rllib.experiments.results.trial_tables import (
    check_state,
    drop_early_exports,
    export_models,
    trial_table,
    write_trial_tables,
)
from spane_rllib.experiments.results.trust import check_owner, record_owner
from spane_rllib.experiments.tuning.config import ExperimentConfig
from spane_rllib.experiments.tuning.tensorboard import write_evaluation
from spane_rllib.experiments.tuning.training import train
from spane_rllib.experiments.tuning.trials import draw_trials
from spane_rllib.experiments.tuning.tune_state import drop_torn_lines
from spane_rllib.experiments.tuning.watching import shown_stage
from spane_rllib.problems.problem import Evaluation, Task


def run_main_job(
    config: ExperimentConfig,
    folder: ResultsFolder,
    resume: bool,
    trust: bool = False,
    wait_for_compiled: Callable[[], None] | None = None,
) -> None:
    """Run (or, with `resume`, continue) the experiment in `folder` to its report.

    Every stage picks up what an earlier run has left: finished trials, exported models, evaluated parts. What
    others have left is only continued with `trust`. `wait_for_compiled` is of `compiling_ahead`, which was
    begun before.

    Raises:
        UserError: bad input, or no trial could be trained.
        Interrupted: by Ctrl-C; `resume` continues.
    """
    problem = config.about
    task = problem.load(config)
    evaluation = task.evaluation(config.evaluation)
    with locked(folder.path):
        _run(config, folder, evaluation, resume, trust, wait_for_compiled)


def _run(
    config: ExperimentConfig,
    folder: ResultsFolder,
    evaluation: Evaluation,
    resume: bool,
    trust: bool,
    wait_for_compiled: Callable[[], None] | None,
) -> None:
    problem, task = config.about, evaluation.task
    _prepare_folder(config, folder, task, resume, trust)
    trials = draw_trials(config)
    print(f"experiment {config.name} in {folder.path}: {len(trials)} trials on {task.identity.short}")
    if_lost = f"what is finished is kept: python -m spane_rllib.tune --resume {folder.path} continues"
    with ray_session(config.resources.num_cpus, dashboard=True, if_lost=if_lost) as dashboard:
        if dashboard:
            print(f"Ray dashboard: {dashboard}")
        _check_a_trial_fits(config)
        print(f"TensorBoard: tensorboard --logdir {folder.tune}")
        with (
            folder.stage("compilation"),
            shown_stage(config.name, "compilation"),
            waiting("compilation", "once after an installation"),
        ):
            if wait_for_compiled:
                wait_for_compiled()
            problem.compile_ahead()
        with folder.stage("training"), shown_stage(config.name, "training"):
            _validate_baselines(config, folder, task)
            results = train(config, folder, trials, task, resume)
        finished = trial_table(results, folder)
        best = finished[finished["rank"] <= config.evaluation.top_k]
        evaluated = best.sort_values(["method", "rank"], kind="stable")
        kept = finished if config.keep_weights == "all" else evaluated
        export_models(results, folder, set(kept["trial"]), task)
        write_trial_tables(results, folder)
        with folder.stage("evaluation"), shown_stage(config.name, "evaluation"):
            _evaluate(config, folder, evaluated, evaluation)
    with folder.stage("figures and report"):
        write_report(folder)


def _prepare_folder(
    config: ExperimentConfig, folder: ResultsFolder, task: Task, resume: bool, trust: bool
) -> None:
    """Begin or find the experiment; what is wrong with the folder is said before Ray starts."""
    if resume:
        check_writable(folder.path)
        check_identity(folder, config, task.identity)
        folder.stages()
        if has_trials(folder):
            if not trust:
                check_owner(folder)
            results = read_results(folder)
            check_state(folder)
            drop_torn_lines(folder)
            drop_early_exports(results, folder)
    else:
        folder.create(config)
    record_owner(folder)
    record_identity(folder, config, task.identity)


def _validate_baselines(config: ExperimentConfig, folder: ResultsFolder, task: Task) -> None:
    """Write what the evaluated baselines come to on the trials' validation, for their learning curves."""
    if (folder.path / "validation_baselines.csv").exists():
        return
    values = task.validate_baselines(config.evaluation.heuristics, config.validation)
    if not values:  # a problem that does not validate them
        return
    table = {"policy": list(values), config.about.measure.column: list(values.values())}
    write_tables(folder.path, {"validation_baselines": pd.DataFrame(table)})


def _check_a_trial_fits(config: ExperimentConfig) -> None:
    """Raise a `UserError` if no node of Ray has what a trial needs: Tune would wait for ever."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for resource, key, unit in (("CPU", "cpus_per_trial", "CPU cores"), ("GPU", "gpus_per_trial", "GPUs")):
        needed = getattr(config.resources, key)
        largest = max(node.get(resource, 0) for node in nodes)
        # Where there are no cores at all, workers are still to join the head.
        if needed > largest and (largest or resource == "GPU"):
            raise UserError(
                f"resources.{key} is {needed:g}, but the largest node of Ray has {largest:g} {unit}, so that "
                "no trial would start; set it lower in config.yaml and continue with --resume"
            )


def _evaluate(
    config: ExperimentConfig, folder: ResultsFolder, chosen: pd.DataFrame, evaluation: Evaluation
) -> None:
    task = evaluation.task
    policies = [task.load_policy(name) for name in config.evaluation.heuristics]
    for row in chosen.itertuples():
        model = folder.models / str(row.method) / str(row.trial)
        policies.append(task.load_policy(str(model), name=str(row.trial)))
    parts, store = parts_of(evaluation, policies), PartStore(folder.parts, evaluation)
    workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
    play_parts(evaluation, parts, workers=workers, store=store)
    episodes = joined(parts, store.read)
    write_tables(folder.path, {"episodes": episodes})
    write_recordings(folder, evaluation, policies, set(chosen["trial"]), episodes)
    write_evaluation(folder, task.problem, chosen, task.problem.summarize(episodes))
