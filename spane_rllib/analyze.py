"""`python -m spane_rllib.analyze`: tables and figures of a results folder, without a running Ray."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spane_rllib.console import Parser, format_table, run_command, whole_number


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
    from spane_rllib.experiments.folder import ResultsFolder

    folder = ResultsFolder(Path(arguments.folder))
    folder.load_config()
    from spane_rllib.experiments.results import restore_results, write_trial_tables
    from spane_rllib.experiments.summary import check_readable, is_evaluated, read_evaluation, write_summary
    from spane_rllib.vm_scheduling.evaluation import summary_table

    results = restore_results(folder)
    if is_evaluated(folder):
        check_readable(folder)  # before anything is written
    trials = write_trial_tables(results, folder)
    counts = ", ".join(
        f"{count} {status.lower()}" for status, count in trials["status"].value_counts().items()
    )
    print(f"{folder.path}: {len(trials)} trials ({counts})\n")
    best = trials[trials["rank"] <= arguments.top].sort_values(["method", "rank"], kind="stable")
    rows = [
        (row.method, row.trial, row.best_validation_wait_s, int(row.best_gradient_steps), row.time_s)
        for row in best.itertuples()
    ]
    print(format_table(("method", "trial", "validation wait s", "at gradient step", "time s"), rows))
    if is_evaluated(folder):
        print(f"\n{summary_table(read_evaluation(folder)[1])}")
        for figure in write_summary(folder):
            print(figure)
    else:
        print(f"\nnot evaluated yet; python -m spane_rllib.tune --resume {folder.path} goes on")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
