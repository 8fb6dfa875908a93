"""`python -m spane_rllib.compare`: paired comparison of two scheduling policies by the time VMs wait."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spane_rllib.core.console import Parser, format_table, run_command, whole_number
from spane_rllib.evaluate import add_episode_arguments, add_workers_argument, read_episodes
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS

_EPILOG = """Both play the same episodes. Episodes overlap, so the intervals are from a bootstrap of blocks of
2,000 start rows, the same blocks for both: docs/evaluation.md.

Writes comparison.csv, episodes.csv, report.md and a figure per number of servers to --output."""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m spane_rllib.compare",
        description="Compare two scheduling policies, episode by episode, by the time VMs wait.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), help="a heuristic, or the directory of a model")
    add_episode_arguments(parser)
    parser.add_argument("--output", metavar="DIR", help="folder for tables, report and figures")
    parser.add_argument(
        "--resamples",
        type=whole_number(100, 100_000),
        default=2000,
        metavar="R",
        help="resamples of the bootstrap (2000)",
    )
    add_workers_argument(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    arguments = _parser().parse_args(argv)
    from spane_rllib.core.errors import UserError
    from spane_rllib.core.files import check_writable

    if _same(arguments.a, arguments.b):
        raise UserError(f"A and B are the same policy, {arguments.a}; name two")
    if arguments.output is not None:
        check_writable(arguments.output)
    episodes = read_episodes(arguments)
    policies = episodes.load_policies([arguments.a, arguments.b])

    import numpy as np

    from spane_rllib.core.bootstrap import Resamples
    from spane_rllib.problems.vm_scheduling.traces.loading import describe_source
    from spane_rllib.problems.vm_scheduling.waits.comparison import (
        COMPARISON_HEADER,
        compare,
        comparison_rows,
        episode_counts,
        estimate,
        verdict,
    )

    trace = describe_source(episodes.trace)
    print(f"trace: {trace}", file=sys.stderr)
    table = episodes.evaluate(policies, arguments.seed, arguments.workers)
    resamples = Resamples.draw(np.sort(episodes.starts), arguments.resamples, arguments.seed)
    pairs = []
    for cluster in episodes.clusters:
        played = table[table["servers"] == cluster.servers]
        a, b = (estimate(played[played["policy"] == policy.name], resamples) for policy in policies)
        pairs.append((a, b, compare(a, b)))
    if arguments.output is not None:
        from spane_rllib.experiments.reports.comparison_report import write_comparison

        which = arguments.starts or f"the {arguments.split} split"
        description = f"Trace: {trace}; starts from {which}; seed {arguments.seed}."
        write_comparison(Path(arguments.output), pairs, table, resamples, description)
    for a, b, comparison in pairs:
        print(f"A: {a.policy}, B: {b.policy}, {a.servers} servers, {len(a.waits):,} episodes")
        print(format_table(COMPARISON_HEADER, comparison_rows(comparison)))
        print(f"{episode_counts(comparison)}\n{verdict(comparison)}\n")
    return 0


def _same(a: str, b: str) -> bool:
    """Whether both are one heuristic or, by whatever path, one directory."""
    return a == b or (not {a, b} & HEURISTICS.keys() and Path(a).resolve() == Path(b).resolve())


if __name__ == "__main__":
    sys.exit(run_command(main))
