"""A study: every policy on the same episodes, then tables with intervals, figures and a report."""

from __future__ import annotations

import numpy as np

from spane_rllib.core.bootstrap import Resamples
from spane_rllib.core.files import check_writable
from spane_rllib.core.lock import locked
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.parts import PartStore, joined, parts_of, play_parts
from spane_rllib.experiments.results.tables import write_tables
from spane_rllib.experiments.studies.comparison import estimate
from spane_rllib.experiments.studies.config import StudyConfig
from spane_rllib.experiments.studies.figures import draw_figures
from spane_rllib.experiments.studies.models import load_policies
from spane_rllib.experiments.studies.report import write_report
from spane_rllib.experiments.studies.tables import comparison_table, group_table, summary_table

MOST_ROWS = 1_000_000
"""Rows of `episodes.csv`; the parts alone hold the episodes of a larger study."""


def run_study(config: StudyConfig, folder: ResultsFolder, resume: bool) -> None:
    """Run (or, with `resume`, continue) the study in `folder` to its report.

    Evaluated parts are found again by what decides them, so that a study whose configuration, models or data
    have changed evaluates what that concerns, and nothing else.

    Raises:
        UserError: bad input; nothing has been written then.
    """
    problem = config.about
    task = problem.load(config)
    evaluation = task.evaluation(config.evaluation)
    loaded = load_policies(config, task)
    parts = parts_of(evaluation, list(loaded.policies.values()))
    with locked(folder.path):
        if resume:
            check_writable(folder.path)
        else:
            folder.create(config)
        print(
            f"study {config.name} in {folder.path}: {len(loaded.policies)} policies; {evaluation.description}"
        )
        store = PartStore(folder.parts, evaluation)
        play_parts(evaluation, parts, workers=config.workers, store=store)
        block_rows = config.bootstrap.block_rows or problem.statistics.block_rows
        resamples = Resamples.draw(
            np.sort(evaluation.pairs), config.bootstrap.resamples, config.seed, block_rows
        )
        # A part at a time: those of a large study do not fit in memory together.
        estimates = [estimate(problem, joined([part], store.read), resamples) for part in parts]
        tables = {
            "summary": summary_table(estimates, loaded),
            "groups": group_table(problem, estimates, loaded.groups, config.top),
            "comparisons": comparison_table(problem, estimates, config.reference),
        }
        if len(parts) * len(evaluation.pairs) <= MOST_ROWS:
            tables["episodes"] = joined(parts, store.read)
        write_tables(folder.path, tables)
        figures = draw_figures(
            problem, folder.figures, tables["summary"], tables["groups"], tables["comparisons"]
        )
        write_report(folder.path, config, loaded, evaluation, tables, resamples, figures)
