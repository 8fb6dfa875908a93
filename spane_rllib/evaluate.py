"""`python -m spane_rllib.evaluate`: policies of a problem on the same episodes, without training."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spane_rllib.core.console import (
    Progress,
    add_table_options,
    print_json,
    run_command,
    tables_chosen,
    whole_number,
)
from spane_rllib.problems.parser import add_workers, problem_parser

_EPILOG = """Baselines of the problem {name}: {baselines}.

Writes episodes.csv (one row per episode) and summary.csv (one per policy and size) to --output, and keeps the
finished parts there: the same command goes on after an interruption. {title}."""


def _parser(argv: Sequence[str] | None) -> argparse.ArgumentParser:
    parser = problem_parser(
        "evaluate", "Evaluate policies on episodes of a problem and compare them.", _EPILOG, argv
    )
    parser.add_argument(
        "--policy",
        action="append",
        metavar="POLICY",
        help="a baseline, a shipped model (NAME@pretrained), the directory of a trained model, or "
        "module:Class, a policy of your own (docs/extending.md); repeatable",
    )
    parser.add_argument("--output", metavar="DIR", help="folder for episodes.csv and summary.csv")
    parser.add_argument(
        "--parts", metavar="DIR", help="folder of finished parts, to share between commands (OUTPUT/parts)"
    )
    add_workers(parser)
    parser.add_argument(
        "--record",
        metavar="DIR",
        help="folder for recordings of the first episodes, to look at with spane_rllib.view",
    )
    parser.add_argument(
        "--record-episodes",
        type=whole_number(1, 10_000),
        metavar="K",
        help="episodes to record, each under every policy and size (1)",
    )
    add_table_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    parser = _parser(argv)
    arguments = parser.parse_args(argv)
    if arguments.record_episodes is not None and arguments.record is None:
        parser.error("argument --record-episodes: only allowed with argument --record")
    from spane_rllib.core.files import check_writable
    from spane_rllib.experiments.compiling_ahead import compiling_beside
    from spane_rllib.experiments.results.parts import PartStore, joined, parts_of, play_parts
    from spane_rllib.experiments.results.tables import write_results
    from spane_rllib.problems.registry import find_problem

    for folder in (arguments.output, arguments.parts, arguments.record):
        if folder is not None:
            check_writable(folder)
    problem = find_problem(arguments.problem)
    names = list(dict.fromkeys(arguments.policy or ()))
    with compiling_beside(arguments.problem, names) as compile_rest:
        evaluation = problem.evaluation_of(arguments)
        policies = [evaluation.task.load_policy(name) for name in names]
        parts = parts_of(evaluation, policies or evaluation.policies, strict=bool(policies))
        if not parts:
            parser.error("the following arguments are required: --policy")
        print(evaluation.description, file=sys.stderr)
        folder = arguments.parts or (arguments.output and Path(arguments.output) / "parts")
        store = PartStore(Path(folder), evaluation) if folder else None
        compile_rest(policies or evaluation.policies)
    played = play_parts(evaluation, parts, workers=arguments.workers, store=store, label="evaluated")
    episodes = joined(parts, store.read if store else lambda part: played[part.key])
    summary = problem.summarize(episodes)
    if arguments.output is not None:
        write_results(Path(arguments.output), evaluation.results(episodes, summary))
    if arguments.record is not None:
        most = arguments.record_episodes or 1
        progress = Progress("recorded", len(parts) * min(most, len(evaluation.pairs)), "episodes")
        for done, file in enumerate(evaluation.record(policies, Path(arguments.record), most), start=1):
            progress.update(done, f"({file})")
    if tables_chosen(arguments):
        print_json(summary.to_dict("records"))
    else:
        print(evaluation.summary_text(summary))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
