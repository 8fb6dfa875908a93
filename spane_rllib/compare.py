"""`python -m spane_rllib.compare`: paired comparison of two policies of a problem."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from spane_rllib.core.console import (
    add_table_options,
    format_table,
    print_json,
    run_command,
    tables_chosen,
    whole_number,
)
from spane_rllib.problems.parser import add_workers, open_evaluation, problem_parser
from spane_rllib.problems.problem import Problem

_EPILOG = """Baselines of the problem {name}: {baselines}.

Both play the same episodes. Neighbouring episodes may overlap, so the intervals are from a bootstrap of
blocks of them, the same blocks for both: docs/evaluation.md.

Writes comparison.csv, episodes.csv, report.md and figures to --output."""


def _parser(argv: Sequence[str] | None) -> argparse.ArgumentParser:
    parser = problem_parser(
        "compare", "Compare two policies of a problem, episode by episode.", _EPILOG, argv
    )
    for name in ("a", "b"):
        parser.add_argument(
            name,
            metavar=name.upper(),
            help="a baseline, a shipped model (NAME@pretrained), the directory of a model, or module:Class",
        )
    parser.add_argument("--output", metavar="DIR", help="folder for tables, report and figures")
    parser.add_argument(
        "--resamples",
        type=whole_number(100, 100_000),
        default=2000,
        metavar="R",
        help="resamples of the bootstrap (2000)",
    )
    add_workers(parser)
    add_table_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    arguments = _parser(argv).parse_args(argv)
    from spane_rllib.core.errors import UserError
    from spane_rllib.core.files import check_writable
    from spane_rllib.problems.registry import find_problem

    problem = find_problem(arguments.problem)
    if _same(problem, arguments.a, arguments.b):
        raise UserError(f"A and B are the same policy, {arguments.a}; name two")
    if arguments.output is not None:
        check_writable(arguments.output)
    evaluation = open_evaluation(problem, arguments)
    policies = [evaluation.task.load_policy(text) for text in (arguments.a, arguments.b)]

    import numpy as np

    from spane_rllib.core.bootstrap import Resamples
    from spane_rllib.experiments.results.parts import joined, parts_of, play_parts
    from spane_rllib.experiments.studies.comparison import (
        COMPARISON_HEADER,
        compare,
        comparison_rows,
        episode_counts,
        estimate,
        verdict,
    )

    parts = parts_of(evaluation, policies, strict=True)
    print(evaluation.description, file=sys.stderr)
    played = play_parts(evaluation, parts, workers=arguments.workers, label="evaluated")
    table = joined(parts, lambda part: played[part.key])
    statistics = problem.statistics
    resamples = Resamples.draw(
        np.sort(evaluation.pairs), arguments.resamples, arguments.seed or 0, statistics.block_rows
    )
    pairs = []
    for case in evaluation.cases:
        of_case = table[table[problem.case] == case]
        a, b = (estimate(problem, of_case[of_case["policy"] == p.name], resamples) for p in policies)
        pairs.append((a, b, compare(problem, a, b)))
    if arguments.output is not None:
        from spane_rllib.experiments.studies.comparison_report import write_comparison

        write_comparison(Path(arguments.output), evaluation, pairs, table, resamples)
    if tables_chosen(arguments):
        print_json(row for _, _, comparison in pairs for row in comparison.to_dict("records"))
        return 0
    for a, b, comparison in pairs:
        on = problem.case_text.format(a.case)
        print(f"A: {a.policy}, B: {b.policy}, {on}, {len(a.values):,} episodes")
        print(format_table(COMPARISON_HEADER, comparison_rows(statistics, comparison)))
        print(f"{episode_counts(statistics, comparison)}\n{verdict(statistics, comparison)}\n")
    return 0


def _same(problem: Problem, a: str, b: str) -> bool:
    """Whether both are one baseline or, by whatever path, one directory."""
    return a == b or (not {a, b} & problem.baselines.keys() and os.path.realpath(a) == os.path.realpath(b))


if __name__ == "__main__":
    sys.exit(run_command(main))
