"""What `python -m spane_rllib.evaluate` does with `--scenario` and with `--published-table`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from spane_rllib.core.console import Progress
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import check_writable
from spane_rllib.problems.vm_scheduling.allocations import published
from spane_rllib.problems.vm_scheduling.allocations.evaluation import (
    evaluate_policy,
    summarize,
    summary_table,
)
from spane_rllib.problems.vm_scheduling.allocations.recording import record_allocations
from spane_rllib.problems.vm_scheduling.allocations.scenario import load_scenario
from spane_rllib.problems.vm_scheduling.allocations.workload import compile_allocations
from spane_rllib.problems.vm_scheduling.policies import load_policy
from spane_rllib.problems.vm_scheduling.recordings.recorder import show_progress
from spane_rllib.problems.vm_scheduling.traces.loading import describe_source, load_trace
from spane_rllib.problems.vm_scheduling.traces.splits import read_starts, select_starts, splits_of
from spane_rllib.problems.vm_scheduling.waits.evaluation import write_tables


def evaluate_scenario(arguments: argparse.Namespace) -> None:
    """Play the policies on the scenario, on each number of servers, and print and write the tables.

    Raises:
        UserError: something the arguments name is wrong; nothing has been played then.
    """
    scenario = load_scenario(arguments.scenario)
    scenarios = [scenario.with_servers(n) for n in dict.fromkeys(arguments.servers or ())] or [scenario]
    for folder in (arguments.output, arguments.record):
        if folder is not None:
            check_writable(folder)
    trace = load_trace(arguments.trace, never_ending="keep")
    workloads = [compile_allocations(trace, scenario) for scenario in scenarios]
    splits = splits_of(trace)
    if arguments.starts is not None:
        starts = read_starts(arguments.starts, len(trace))
    else:
        starts = select_starts(splits, arguments.split, arguments.episodes, arguments.seed)
    workloads[0].check_starts(starts)
    policies = [load_policy(name, splits.train[1]) for name in dict.fromkeys(arguments.policy)]
    for policy in policies:
        for workload in workloads:
            if not policy.accepts(workload.cluster.servers):
                raise UserError(
                    f"policy {policy.name}: was made for another number of servers than "
                    f"{workload.cluster.servers}"
                )
    print(f"trace: {describe_source(trace)}", file=sys.stderr)
    pairs = [(policy, workload) for workload in workloads for policy in policies]
    progress = Progress("evaluated", len(pairs) * len(starts), "episodes")
    frames = []
    for policy, workload in pairs:
        frames.append(evaluate_policy(policy, workload, starts, arguments.seed))
        progress.update(len(frames) * len(starts))
    episodes = pd.concat(frames, ignore_index=True)
    summary = summarize(episodes)
    if arguments.output is not None:
        write_tables(Path(arguments.output), episodes, summary)
    if arguments.record is not None:
        recorded, folder = starts[: arguments.record_episodes], Path(arguments.record)
        files = (
            file
            for workload in workloads
            for file in record_allocations(policies, workload, recorded, folder, arguments.seed)
        )
        show_progress(files, len(pairs) * len(recorded))
    print(summary_table(summary))


def compare_with_published(arguments: argparse.Namespace) -> None:
    """Play the protocol of the published table, and print and write ours beside it."""
    if arguments.output is not None:
        check_writable(arguments.output)
    trace = load_trace(arguments.trace, never_ending="keep")
    starts = published.published_starts(trace, arguments.episodes, arguments.seed)
    print(f"trace: {describe_source(trace)}", file=sys.stderr)
    progress = Progress("evaluated", published.EVALUATIONS * len(starts), "episodes")
    frames = []
    for frame in published.play_published(trace, starts):
        frames.append(frame)
        progress.update(len(frames) * len(starts))
    episodes = pd.concat(frames, ignore_index=True)
    summary = summarize(episodes)
    if arguments.output is not None:
        write_tables(Path(arguments.output), episodes, summary)
    print(published.comparison_table(summary))
    print()
    print(published.differences(trace))
