"""`python -m spane_rllib.analyze`: tables and figures of a results folder, without a running Ray."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spane_rllib.core.console import (
    Parser,
    add_table_options,
    format_table,
    print_json,
    run_command,
    tables_chosen,
    whole_number,
)


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
    add_table_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    arguments = _parser().parse_args(argv)
    from spane_rllib.experiments.results.folder import ResultsFolder

    folder = ResultsFolder(Path(arguments.folder))
    config = folder.load_config()
    from spane_rllib.experiments.reports.report import (
        check_readable,
        is_evaluated,
        read_episodes,
        write_report,
    )
    from spane_rllib.experiments.results.trial_results import read_results
    from spane_rllib.experiments.results.trial_tables import write_trial_tables

    problem, measure = config.about, config.about.measure
    results = read_results(folder)
    evaluated = is_evaluated(folder)
    if evaluated:
        check_readable(folder, problem)  # before anything is written
    trials = write_trial_tables(results, folder)
    best = trials[trials["rank"] <= arguments.top].sort_values(["method", "rank"], kind="stable")
    best = best.astype({"best_gradient_steps": int})
    summary = problem.summarize(read_episodes(folder, problem)) if evaluated else None
    if tables_chosen(arguments):
        if summary is not None:
            write_report(folder)
        found = [] if summary is None else summary.to_dict("records")
        print_json({"trials": best.to_dict("records"), "summary": found})
        return 0
    counts = ", ".join(
        f"{count} {status.lower()}" for status, count in trials["status"].value_counts().items()
    )
    print(f"{folder.path}: {len(trials)} trials ({counts})\n")
    shown = best[["method", "trial", f"best_{measure.column}", "best_gradient_steps", "time_s"]]
    header = ("method", "trial", measure.title.replace(",", ""), "at gradient step", "time s")
    print(format_table(header, list(shown.itertuples(index=False, name=None))))
    if summary is not None:
        print(f"\n{problem.summary_text(summary)}")
        for figure in write_report(folder):
            print(figure)
    else:
        print(f"\nnot evaluated yet; python -m spane_rllib.tune --resume {folder.path} goes on")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
