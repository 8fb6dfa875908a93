"""`python -m spane_rllib.analyze`: tables and figures of a results folder, without a running Ray."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spane_rllib.core.console import Parser, format_table, run_command, whole_number


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m spane_rllib.analyze",
        description="Read a results folder back: trials, best policies, figures. Works while the experiment "
        "runs, after it was interrupted, and after the folder was moved.",
    )
    parser.add_argument("folder", metavar="DIR", help="results folder of an experiment")
    parser.add_argument(
        "--top",
        type=whole_number(1, 1_000_000),
        default=3,
        metavar="K",
        help="trials to show per method (3)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    arguments = _parser().parse_args(argv)
    from spane_rllib.experiments.results.folder import ResultsFolder

    folder = ResultsFolder(Path(arguments.folder))
    config = folder.load_config()
    from spane_rllib.experiments.reports.allocation_report import (
        read_allocation_episodes,
        write_allocation_summary,
    )
    from spane_rllib.experiments.reports.summary import (
        check_readable,
        is_evaluated,
        read_evaluation,
        write_summary,
    )
    from spane_rllib.experiments.results.measures import measure_in
    from spane_rllib.experiments.results.trial_tables import restore_results, write_trial_tables
    from spane_rllib.problems.vm_scheduling.allocations import evaluation as allocation_evaluation
    from spane_rllib.problems.vm_scheduling.waits.evaluation import summary_table

    results = restore_results(folder)
    if is_evaluated(folder) and config.scenario is None:
        check_readable(folder)  # before anything is written
    trials = write_trial_tables(results, folder)
    counts = ", ".join(
        f"{count} {status.lower()}" for status, count in trials["status"].value_counts().items()
    )
    print(f"{folder.path}: {len(trials)} trials ({counts})\n")
    best = trials[trials["rank"] <= arguments.top].sort_values(["method", "rank"], kind="stable")
    measure = measure_in(trials)
    best = best.astype({"best_gradient_steps": int})
    shown = best[["method", "trial", f"best_{measure.column}", "best_gradient_steps", "time_s"]]
    header = ("method", "trial", measure.title.replace(",", ""), "at gradient step", "time s")
    print(format_table(header, list(shown.itertuples(index=False, name=None))))
    if is_evaluated(folder) and config.scenario is not None:
        episodes = read_allocation_episodes(folder.path / "episodes.csv")
        print(f"\n{allocation_evaluation.summary_table(allocation_evaluation.summarize(episodes))}")
        for figure in write_allocation_summary(folder):
            print(figure)
    elif is_evaluated(folder):
        print(f"\n{summary_table(read_evaluation(folder)[1])}")
        for figure in write_summary(folder):
            print(figure)
    else:
        print(f"\nnot evaluated yet; python -m spane_rllib.tune --resume {folder.path} goes on")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
