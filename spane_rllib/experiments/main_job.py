"""The main job: trials on Ray Tune, then wait-time evaluation, tables, figures and a report."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import ray

from spane_rllib.cluster.session import ray_session
from spane_rllib.core.console import Progress
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import check_writable
from spane_rllib.experiments.inputs import configured_splits, configured_trace
from spane_rllib.experiments.reports.allocation_report import write_allocation_summary
from spane_rllib.experiments.reports.summary import write_summary
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.identity import check_identity, record_identity
from spane_rllib.experiments.results.parts import evaluate_parts
from spane_rllib.experiments.results.trial_tables import (
    drop_early_exports,
    export_models,
    has_trials,
    restore_results,
    trial_table,
    write_trial_tables,
)
from spane_rllib.experiments.results.wait_time import Pair
from spane_rllib.experiments.tuning.config import ExperimentConfig
from spane_rllib.experiments.tuning.training import train
from spane_rllib.experiments.tuning.trials import draw_trials
from spane_rllib.experiments.tuning.tune_state import drop_torn_lines
from spane_rllib.problems.vm_scheduling.allocations.evaluation import evaluate_policy as evaluate_allocations
from spane_rllib.problems.vm_scheduling.allocations.evaluation import summarize as summarize_allocations
from spane_rllib.problems.vm_scheduling.allocations.scenario import AllocationScenario, load_scenario
from spane_rllib.problems.vm_scheduling.allocations.workload import compile_allocations
from spane_rllib.problems.vm_scheduling.compile_ahead import compile_ahead
from spane_rllib.problems.vm_scheduling.networks.options import MAX_MLP_SERVERS
from spane_rllib.problems.vm_scheduling.networks.weights import load_model
from spane_rllib.problems.vm_scheduling.policies import HeuristicPolicy, Policy, policy_of
from spane_rllib.problems.vm_scheduling.simulator import Cluster, compile_workload
from spane_rllib.problems.vm_scheduling.traces.loading import describe_source
from spane_rllib.problems.vm_scheduling.traces.splits import Splits, sample_starts
from spane_rllib.problems.vm_scheduling.traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.waits.evaluation import read_episodes, summarize, write_tables


def run_main_job(config: ExperimentConfig, folder: ResultsFolder, resume: bool) -> None:
    """Run (or, with `resume`, continue) the experiment in `folder` to its report.

    Every stage picks up what an earlier run has left: finished trials, exported models, evaluated pairs.

    Raises:
        UserError: bad input, or no trial could be trained.
        Interrupted: by Ctrl-C; `resume` continues.
    """
    trace = configured_trace(config.trace, config.cluster)
    splits = configured_splits(config.splits, trace)
    scenario = None if config.scenario is None else load_scenario(config.scenario)
    cluster = Cluster(**config.cluster.model_dump())
    # Both complain about VMs that no server can hold.
    if scenario is None:
        compile_workload(trace, cluster)
    else:
        _check_sizes(config, scenario)
        compile_allocations(trace, scenario)
    _prepare_folder(config, folder, trace, resume)
    trials = draw_trials(config)
    print(f"experiment {config.name} in {folder.path}: {len(trials)} trials on {describe_source(trace)}")
    if_lost = f"what is finished is kept: python -m spane_rllib.tune --resume {folder.path} continues"
    with ray_session(config.resources.num_cpus, dashboard=True, if_lost=if_lost) as dashboard:
        if dashboard:
            print(f"Ray dashboard: {dashboard}")
        _check_a_trial_fits(config)
        print(f"TensorBoard: tensorboard --logdir {folder.tune}")
        with folder.stage("compilation"):
            compile_ahead(allocations=scenario is not None)
        with folder.stage("training"):
            grid = train(config, folder, trials, trace, splits, resume, scenario)
        finished = trial_table(grid, folder)
        evaluated = _choose(finished, config.evaluation.top_k)
        kept = finished if config.keep_weights == "all" else evaluated
        export_models(grid, folder, set(kept["trial"]))
        write_trial_tables(grid, folder)
        with folder.stage("evaluation"):
            if scenario is None:
                _evaluate(config, folder, evaluated, trace, splits, cluster)
            else:
                _evaluate_allocations(config, folder, evaluated, trace, splits, scenario)
    with folder.stage("figures and report"):
        write_summary(folder) if scenario is None else write_allocation_summary(folder)


def _prepare_folder(config: ExperimentConfig, folder: ResultsFolder, trace: VmTrace, resume: bool) -> None:
    """Begin or find the experiment; what is wrong with the folder is said before Ray starts."""
    if resume:
        check_writable(folder.path)
        check_identity(folder, config, trace)
        folder.stages()
        if has_trials(folder):
            drop_torn_lines(folder)
            drop_early_exports(restore_results(folder), folder)
    else:
        folder.create(config)
    record_identity(folder, config, trace)


def _check_a_trial_fits(config: ExperimentConfig) -> None:
    """Raise a `UserError` if no node of Ray has as many cores as a trial needs: Tune would wait for ever."""
    needed = config.resources.cpus_per_trial
    largest = max(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])
    if 0 < largest < needed:  # where there are none at all, workers are still to join the head
        raise UserError(
            f"resources.cpus_per_trial is {needed:g}, but the largest node of Ray has {largest:g} CPU cores, "
            "so that no trial would start; set it lower in config.yaml and continue with --resume"
        )


def _choose(table: pd.DataFrame, top_k: int) -> pd.DataFrame:
    """The best `top_k` trials of each method."""
    return table[table["rank"] <= top_k].sort_values(["method", "rank"], kind="stable")


def _evaluate(
    config: ExperimentConfig,
    folder: ResultsFolder,
    chosen: pd.DataFrame,
    trace: VmTrace,
    splits: Splits,
    cluster: Cluster,
) -> None:
    settings = config.evaluation
    sizes = settings.servers or (cluster.servers,)
    starts = sample_starts(splits, settings.split, settings.episodes, settings.seed)
    policies = _policies(config, folder, chosen, splits)
    pairs = [(policy, servers) for servers in sizes for policy in policies if policy.accepts(servers)]
    evaluate_parts(
        pairs,
        lambda pair: folder.evaluation_part(pair[0].name, pair[1]),
        trace,
        cluster,
        starts,
        seed=settings.seed,
        workers=max(1, int(ray.cluster_resources().get("CPU", 1))),
    )
    write_evaluation(folder, pairs)


def _evaluate_allocations(
    config: ExperimentConfig,
    folder: ResultsFolder,
    chosen: pd.DataFrame,
    trace: VmTrace,
    splits: Splits,
    scenario: AllocationScenario,
) -> None:
    settings = config.evaluation
    starts = sample_starts(splits, settings.split, settings.episodes, settings.seed)
    policies = _policies(config, folder, chosen, splits)
    scenarios = [scenario.with_servers(n) for n in settings.servers or ()] or [scenario]
    workloads = [compile_allocations(trace, scenario) for scenario in scenarios]
    pairs = [
        (policy, workload)
        for workload in workloads
        for policy in policies
        if policy.accepts(workload.cluster.servers)
    ]
    progress = Progress("evaluation", len(pairs), "policies")
    frames = []
    for policy, workload in pairs:
        frames.append(evaluate_allocations(policy, workload, starts, settings.seed))
        progress.update(len(frames))
    episodes = pd.concat(frames, ignore_index=True)
    write_tables(folder.path, episodes, summarize_allocations(episodes))


def _policies(
    config: ExperimentConfig, folder: ResultsFolder, chosen: pd.DataFrame, splits: Splits
) -> list[Policy]:
    """The heuristics and the chosen trials."""
    policies: list[Policy] = [HeuristicPolicy(name, splits.train[1]) for name in config.evaluation.heuristics]
    for row in chosen.itertuples():
        model, _ = load_model(folder.models / row.method / row.trial)
        policies.append(policy_of(str(row.trial), model))
    return policies


def _check_sizes(config: ExperimentConfig, scenario: AllocationScenario) -> None:
    """Raise a `UserError` if the scenario cannot have the numbers of servers, or a network not so many."""
    for servers in config.evaluation.servers or ():
        scenario.with_servers(servers)
    fixed = [name for name, method in config.methods.items() if method.network == "mlp"]
    if fixed and scenario.max_servers > MAX_MLP_SERVERS:
        raise UserError(
            f"methods.{fixed[0]}: network mlp can have at most {MAX_MLP_SERVERS} servers, but "
            f"{scenario.name} has {scenario.max_servers}"
        )


def write_evaluation(folder: ResultsFolder, pairs: Iterable[Pair]) -> None:
    """Join the evaluated parts of `pairs` to `episodes.csv` and `summary.csv`."""
    parts = [read_episodes(folder.evaluation_part(policy.name, servers)) for policy, servers in pairs]
    episodes = pd.concat(parts, ignore_index=True)
    write_tables(folder.path, episodes, summarize(episodes))
