"""A study: every policy on the same episodes, then tables with intervals, figures and a report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from spane_rllib.core.bootstrap import Resamples
from spane_rllib.core.files import check_writable, replacing
from spane_rllib.experiments.inputs import configured_splits, configured_trace
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.parts import evaluate_parts
from spane_rllib.experiments.results.wait_time import Pair
from spane_rllib.experiments.studies.config import StudyConfig
from spane_rllib.experiments.studies.figures import draw_figures
from spane_rllib.experiments.studies.models import load_policies
from spane_rllib.experiments.studies.report import write_report
from spane_rllib.experiments.studies.tables import comparison_table, group_table, summary_table
from spane_rllib.problems.vm_scheduling.part_keys import part_key
from spane_rllib.problems.vm_scheduling.simulator import Cluster, compile_workload
from spane_rllib.problems.vm_scheduling.traces.loading import describe_source
from spane_rllib.problems.vm_scheduling.traces.splits import select_starts
from spane_rllib.problems.vm_scheduling.waits.comparison import estimate
from spane_rllib.problems.vm_scheduling.waits.evaluation import read_episodes

MOST_ROWS = 1_000_000
"""Rows of `episodes.csv`; the parts alone hold the episodes of a larger study."""


def run_study(config: StudyConfig, folder: ResultsFolder, resume: bool) -> None:
    """Run (or, with `resume`, continue) the study in `folder` to its report.

    Evaluated parts are found again by what decides them, so that a study whose configuration, models or trace
    have changed evaluates what that concerns, and nothing else.

    Raises:
        UserError: bad input; nothing has been written then.
    """
    trace = configured_trace(config.trace, config.cluster)
    splits = configured_splits(config.splits, trace)
    cluster = Cluster(**config.cluster.model_dump())
    workload = compile_workload(trace, cluster)  # complains about VMs that no server can hold
    settings = config.evaluation
    starts = select_starts(splits, settings.split, settings.episodes, settings.seed)
    workload.check_starts(starts)
    loaded = load_policies(config, splits.train[1])
    if resume:
        check_writable(folder.path)
    else:
        folder.create(config)
    pairs = [
        (policy, servers)
        for servers in config.sizes
        for policy in loaded.policies.values()
        if policy.accepts(servers)
    ]

    def part_of(pair: Pair) -> Path:
        clusters = [replace(cluster, servers=pair[1])]
        key = part_key(loaded.identities[pair[0].name], trace, starts, clusters, settings.seed)
        return folder.path / "parts" / f"{key}.csv"

    print(
        f"study {config.name} in {folder.path}: {len(loaded.policies)} policies on {describe_source(trace)}"
    )
    evaluate_parts(pairs, part_of, trace, cluster, starts, seed=settings.seed, workers=config.workers)

    def episodes() -> Iterator[pd.DataFrame]:
        for pair in pairs:
            yield read_episodes(part_of(pair)).assign(policy=pair[0].name)  # equal models share a part

    resamples = Resamples.draw(
        np.sort(starts), config.bootstrap.resamples, config.seed, config.bootstrap.block_rows
    )
    estimates = [estimate(frame, resamples) for frame in episodes()]
    tables = {
        "summary": summary_table(estimates, loaded),
        "groups": group_table(estimates, loaded.groups, config.top),
        "comparisons": comparison_table(estimates, config.reference),
    }
    if len(pairs) * len(starts) <= MOST_ROWS:
        tables["episodes"] = pd.concat(episodes(), ignore_index=True)
    for name, table in tables.items():
        with replacing(folder.path / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
    figures = draw_figures(folder.figures, tables["summary"], tables["groups"], tables["comparisons"])
    write_report(folder.path, config, loaded, tables, resamples, describe_source(trace), figures)
